# SPDX-License-Identifier: BSD-2-Clause
"""Checksum of a region of memory against zlib's."""

import zlib

import numpy as np
import pytest

from mixpe_gateware.control.checksum import Checksum
from mixpe_sim.ports import PortMemory


@pytest.mark.parametrize("port_bits", (16, 32, 128))
def test_it_is_zlibs(port_bits, seeded, simulate):
    memory = PortMemory(port_bits, 2048, seed=1)
    memory.bytes[:] = seeded(0).integers(0, 256, 2048, dtype=np.uint8)
    dut = Checksum(memory.get_port("read"))
    beat, found = port_bits//8, []
    regions = [(0, 64), (32, beat), (0, 0), (1024, 256)]

    def drive():
        for start, size in regions:
            yield dut.address.eq(start//beat)
            yield dut.length.eq(size//beat)
            yield dut.start.eq(1)
            yield
            yield dut.start.eq(0)
            yield
            yield
            while (yield dut.busy):
                yield
            found.append((yield dut.value))

    simulate(dut, drive(), *memory.generators())
    assert found == [zlib.crc32(memory.bytes[start:start + size].tobytes()) for start, size in regions]


@pytest.mark.parametrize("port_bits", (16, 32, 128))
def test_it_takes_32_bits_a_cycle(port_bits, simulate):
    """As many as the port has where it has fewer; a memory's first answer and the end are on top."""
    size, latency = 2048, 5
    memory = PortMemory(port_bits, size, stall=0.0, latency=latency)
    dut, cycles = Checksum(memory.get_port("read")), []

    def drive():
        yield dut.length.eq(8*size//port_bits)
        yield dut.start.eq(1)
        yield
        yield dut.start.eq(0)
        yield
        count = 0
        while (yield dut.busy):
            count += 1
            yield
        cycles.append(count)

    simulate(dut, drive(), *memory.generators())
    assert 0 <= cycles[0] - 8*size//min(32, port_bits) <= latency + 8
