# SPDX-License-Identifier: BSD-2-Clause
"""Inbox: what the bus writes, by words and bytes, the port reads; other addresses lead to the memory."""

import numpy as np
import pytest
from migen import run_simulation

from mixpe.errors import ConfigError
from mixpe_gateware.contract.config import Config
from mixpe_gateware.gemm.inbox import Inbox
from mixpe_sim.ports import PortMemory

MEM_BYTES   = 4096
INBOX_BYTES = 1024
LIMIT_CYCLES = 20_000


@pytest.mark.parametrize("width", [16, 32, 64, 128])
def test_written_by_the_bus_read_by_the_port(width):
    rng    = np.random.default_rng(width)
    memory = PortMemory(width, MEM_BYTES, seed=width, stall=0.4)
    memory.bytes[:] = rng.integers(0, 256, MEM_BYTES)
    dut    = Inbox(Config(port_bits=width, inbox_bytes=INBOX_BYTES), memory.get_port("read"), MEM_BYTES)
    inbox  = np.zeros(INBOX_BYTES, np.uint8)
    found  = []

    def access(adr, data=None, sel=0xF):
        yield dut.bus.adr.eq(adr)
        yield dut.bus.we.eq(data is not None)
        yield dut.bus.dat_w.eq(data or 0)
        yield dut.bus.sel.eq(sel)
        yield dut.bus.cyc.eq(1)
        yield dut.bus.stb.eq(1)
        yield
        while not (yield dut.bus.ack):
            yield
        value = yield dut.bus.dat_r
        yield dut.bus.cyc.eq(0)
        yield dut.bus.stb.eq(0)
        yield
        return value

    def host():
        words = inbox.view("<u4")
        for adr in range(len(words)):
            words[adr] = rng.integers(0, 1 << 32)
            yield from access(adr, int(words[adr]))
        for _ in range(100):  # single bytes, in any order
            place, value = int(rng.integers(INBOX_BYTES)), int(rng.integers(256))
            inbox[place] = value
            yield from access(place//4, value << 8*(place % 4), 1 << place % 4)
        for adr in rng.permutation(len(words))[:40]:
            assert (yield from access(int(adr))) == words[adr]
        yield from reader()

    size    = width//8
    regions = [(0, 8), (MEM_BYTES//size, INBOX_BYTES//size), (MEM_BYTES//size - 3, 3), (MEM_BYTES//size + 5, 2)]

    def reader():
        """Region after region, as the accelerator reads: the next when all answers have come."""
        for start, beats in regions:
            got, index = [], 0
            for _ in range(LIMIT_CYCLES):
                yield dut.port.cmd.addr.eq(start + index)
                yield dut.port.cmd.valid.eq(index < beats)
                yield
                if (yield dut.port.rdata.valid):
                    got.append((yield dut.port.rdata.data))
                if (yield dut.port.cmd.valid) and (yield dut.port.cmd.ready):
                    index += 1
                if len(got) == beats:
                    break
            yield dut.port.cmd.valid.eq(0)
            yield
            found.append(got)

    run_simulation(dut, [host(), *memory.generators()])
    whole = np.concatenate([memory.bytes, inbox])
    for (start, beats), got in zip(regions, found, strict=True):
        raw = b"".join(value.to_bytes(size, "little") for value in got)
        assert raw == whole[size*start:size*(start + beats)].tobytes()


def test_sizes_that_cannot_be():
    port = PortMemory(32, 4096).get_port("read")
    with pytest.raises(ConfigError, match="multiple"):
        Inbox(Config(port_bits=32, inbox_bytes=4096), port, 6144)
    with pytest.raises(ConfigError, match="4 GiB"):
        Inbox(Config(port_bits=32, inbox_bytes=4096), port, 1 << 32)
    for size in (1, 512, 3000, 1 << 21):
        with pytest.raises(ConfigError, match="inbox_bytes"):
            Config(inbox_bytes=size)
