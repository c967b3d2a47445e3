# SPDX-License-Identifier: BSD-2-Clause
"""Reader of regions of memory: order, throughput, and a read that is switched off in the middle."""

import numpy as np
import pytest
from migen import passive

from mixpe_gateware.stream.reader import RegionReader
from mixpe_sim.ports import PortMemory

MEM_BYTES = 4096
# Ports, bits of a word (a beat is 32 bits), registers on the way to memory, how often streams and memory stand still.
SHAPES = [(1, 32, False, 0.3), (2, 32, True, 0.3), (4, 32, True, 0.7), (1, 16, True, 0.7), (2, 8, False, 0.3),
    (4, 16, False, 0.0)]


def make(ports, word_bits, *, seed, stall=0.3, **options):
    memory = PortMemory(word_bits, MEM_BYTES, seed=seed, stall=stall)
    memory.bytes[:] = np.random.default_rng(0).integers(0, 256, MEM_BYTES, dtype=np.uint8)
    return memory, RegionReader([memory.get_port("read") for _ in range(ports)], **{"fifo_depth": 16, "chunk_beats": 8,
        "data_width": 32, **options})


def items_of(regions):
    return [{"start": start, "beats": beats} for start, beats in regions]


@pytest.mark.parametrize("ports, word_bits, buffered, stall", SHAPES)
def test_beats_come_in_order(ports, word_bits, buffered, stall, feed, collect, seeded, simulate):
    """Regions of no beat, of one, and of many, from the first word to the last, across and inside chunks."""
    rng = seeded(ports)
    memory, dut = make(ports, word_bits, seed=ports, stall=stall, buffered=buffered)
    words   = memory.bytes.view(np.uint32)
    regions = [(len(words) - 1, 1), (0, 1), (7, 0), (3, 45), (8, 8), (0, 0), (len(words) - 30, 30), (15, 2)]
    for _ in range(4):
        start = int(rng.integers(len(words)))
        regions.append((start, int(rng.integers(0, min(40, len(words) - start + 1)))))
    expected, out = [int(word) for start, beats in regions for word in words[start:start + beats]], []
    simulate(dut,
        feed(dut.sink, items_of(regions), np.random.default_rng(1), stall),
        collect(dut.source, ["data"], len(expected), out, np.random.default_rng(2), stall),
        *memory.generators())
    assert [word for word, in out] == expected


@pytest.mark.parametrize("ports, buffered", [(1, False), (2, True), (4, False)])
def test_a_beat_a_cycle_and_a_cycle_between_regions(ports, buffered, feed, collect, seeded, simulate):
    memory, dut = make(ports, 32, seed=0, stall=0, buffered=buffered)
    regions, cycles, out = [(0, 100), (500, 30), (800, 64)], [], []
    total = sum(beats for _, beats in regions)

    @passive
    def watch():
        cycle = 0
        while True:
            yield
            cycle += 1
            if (yield dut.source.valid) and (yield dut.source.ready):
                cycles.append(cycle)

    simulate(dut, feed(dut.sink, items_of(regions), seeded(0), 0),
        collect(dut.source, ["data"], total, out, seeded(1), 0), watch(), *memory.generators())
    assert len(cycles) == total and cycles[-1] - cycles[0] == total - 1 + len(regions) - 1


@pytest.mark.parametrize("ports, word_bits, buffered, stall", SHAPES)
def test_switched_off_in_the_middle(ports, word_bits, buffered, stall, feed, seeded, simulate):
    """No answer is on its way when `idle` says so, whenever that is; it then stays so, and nothing is asked for."""
    for seed in range(4):
        rng = seeded(seed)
        memory, dut = make(ports, word_bits, seed=seed, stall=stall, buffered=buffered)
        flight, asked, wrong = [0], [0], []

        @passive
        def watch(memory=memory, dut=dut, flight=flight, asked=asked, wrong=wrong):
            while True:
                yield
                if (yield dut.idle) and flight[0]:
                    wrong.append(flight[0])
                for port in memory.ports:
                    made = (yield port.cmd.valid) and (yield port.cmd.ready)
                    asked[0]  += made
                    flight[0] += made - (yield port.rdata.valid)

        @passive
        def take(dut=dut, rng=rng):
            while True:
                yield dut.source.ready.eq(int((yield dut.enable) and rng.random() < 0.5))
                yield

        @passive
        def offer(dut=dut, rng=rng):
            yield from feed(dut.sink, items_of([(0, 90), (100, 90), (300, 1), (310, 200), (500, 500)]), rng, 0.2)

        def switch(memory=memory, dut=dut, asked=asked, rng=rng):
            for _ in range(int(rng.integers(10, 250))):
                yield
            before = asked[0]
            yield dut.enable.eq(0)
            yield
            while not (yield dut.idle):
                yield
            assert asked[0] <= before + 1 + 2*ports, "asked for more while switched off"
            last = asked[0]
            for _ in range(60):
                yield
                assert (yield dut.idle)
            assert asked[0] == last
            assert not (yield dut.source.valid), "what arrived was not thrown away"

        simulate(dut, switch(), watch(), take(), offer(), *memory.generators())
        assert asked[0] and not wrong, f"idle with {wrong[0]} answers on their way"
