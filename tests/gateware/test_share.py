# SPDX-License-Identifier: BSD-2-Clause
"""Readers and writers on one port: nothing lost, doubled or swapped, a chunk at a time, under random stalls."""

import numpy as np
import pytest
from litex.gen import LiteXModule
from migen import passive

from mixpe_gateware.stream.share import ReadShare, Turns, WriteShare
from mixpe_sim.ports import PortMemory

BYTES = 4096


class Bench(LiteXModule):
    """A share on a memory of 32 bits."""

    def __init__(self, share, mode, count, *, seed, stall, **options):
        self.memory = memory = PortMemory(32, BYTES, seed=seed, stall=stall, latency=1 + seed % 7)
        self.share  = share(memory.get_port(mode), count, **options)
        self.rng, self.stall = np.random.default_rng(seed), stall
        memory.bytes[:] = self.rng.integers(0, 256, BYTES, dtype=np.uint8)

    def ask(self, port, addresses):
        """Commands with random pauses; between them the address must not matter."""
        for address in addresses:
            while self.rng.random() < self.stall/2:
                yield port.cmd.addr.eq(int(self.rng.integers(1 << 10)))
                yield
            yield port.cmd.addr.eq(address)
            yield port.cmd.valid.eq(1)
            yield
            while not (yield port.cmd.ready):
                yield
            yield port.cmd.valid.eq(0)

    def hear(self, port, found, count):
        while len(found) < count:
            yield
            if (yield port.rdata.valid):
                found.append((yield port.rdata.data))


@pytest.mark.parametrize("buffered", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_readers(seed, buffered, simulate, seeded):
    rng   = seeded(seed)
    count = 2 + seed % 3
    bench = Bench(ReadShare, "read", count, seed=seed, stall=[0, 0.3, 0.6, 0.8][seed], depth=[4, 32][seed % 2],
        buffered=buffered)
    asked = [[int(address) for address in rng.integers(0, BYTES//4, 60)] for _ in range(count)]
    found = [[] for _ in range(count)]
    words = bench.memory.bytes.view("<u4").tolist()
    simulate(bench, *[bench.ask(port, each) for port, each in zip(bench.share.ports, asked, strict=True)],
        *[bench.hear(port, each, 60) for port, each in zip(bench.share.ports, found, strict=True)],
        *bench.memory.generators())
    assert found == [[words[address] for address in each] for each in asked]


@pytest.mark.parametrize("buffered", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_writers(seed, buffered, simulate, seeded):
    """Each to addresses of its own, with random byte enables; data wait until the memory takes them."""
    rng   = seeded(seed)
    count = 2 + seed % 2
    bench = Bench(WriteShare, "write", count, seed=seed, stall=[0, 0.3, 0.6, 0.8][seed], depth=[2, 16][seed % 2],
        buffered=buffered)
    expected = np.array(bench.memory.bytes)
    places   = rng.permutation(BYTES//4).tolist()
    writes   = [[(places.pop(), int(rng.integers(1 << 32)), int(rng.integers(16))) for _ in range(50)]
        for _ in range(count)]
    done     = [0]*count
    for address, data, enables in (each for writer in writes for each in writer):
        for byte in range(4):
            if enables >> byte & 1:
                expected[4*address + byte] = data >> 8*byte & 255

    @passive
    def offer(port, index):
        """The data of the oldest command that the memory has not taken."""
        while True:
            _, data, enables = writes[index][min(done[index], 49)]
            yield port.wdata.data.eq(data)
            yield port.wdata.we.eq(enables)
            yield port.wdata.valid.eq(done[index] < 50)
            yield
            if (yield port.wdata.ready) and (yield port.wdata.valid):
                done[index] += 1
                _, data, enables = writes[index][min(done[index], 49)]

    def wait():
        while done != [50]*count:
            yield
        for _ in range(5):
            yield

    simulate(bench, wait(), *[bench.ask(port, [address for address, *_ in each])
        for port, each in zip(bench.share.ports, writes, strict=True)],
        *[offer(port, index) for index, port in enumerate(bench.share.ports)], *bench.memory.generators())
    assert (bench.memory.bytes == expected).all()


def test_turns(simulate):
    """One that asks keeps its turn for a chunk; one that pauses loses it; the next in order gets it."""
    dut, seen = Turns(3, chunk=4), []

    def drive(requests, cycles):
        for _ in range(cycles):
            yield dut.requests.eq(requests)
            yield
            turn = (yield dut.turn)
            yield dut.taken.eq(requests >> turn & 1)
            seen.append(turn)

    def check():
        yield from drive(0b001, 12)
        assert set(seen) == {0}, "alone it keeps it"
        del seen[:]
        yield from drive(0b111, 40)
        runs = [len(each) for each in "".join(map(str, seen)).replace("01", "0 1").replace("12", "1 2").replace(
            "20", "2 0").split()]
        assert set(seen) == {0, 1, 2} and set(runs[1:-1]) <= {4, 5}
        del seen[:]
        yield from drive(0b100, 6)
        assert seen[3:] == [2]*3
        yield from drive(0b011, 3)
        assert seen[-1] == 0, "2 pauses: 0 is next"

    simulate(dut, check())
