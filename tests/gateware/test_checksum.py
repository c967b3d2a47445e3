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
