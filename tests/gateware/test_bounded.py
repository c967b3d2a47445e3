# SPDX-License-Identifier: BSD-2-Clause
"""Bounded writes: gathering, masks, seeks, bounds, ends, bursts, and a write path that is switched off."""

import numpy as np
import pytest
from migen import passive

from mixpe_gateware.contract.config import Config
from mixpe_gateware.stream.bounded import BoundedWriter
from mixpe_sim.ports import PortMemory

MEM_BYTES = 1 << 13
SHAPES = [{"port_bits": 16}, {"port_bits": 32}, {"port_bits": 64, "memory_bits": 16},
    {"port_bits": 128, "memory_bits": 32}, {"port_bits": 64, "queue_depth": 2}, {"port_bits": 128}]


def make(options, *, seed, stall, **more):
    config = Config(rows=2, scalers=1, k_max=512, **options)
    memory = PortMemory(config.memory_bits, MEM_BYTES, seed=seed, stall=stall)
    memory.bytes[:] = np.random.default_rng(seed).integers(0, 256, MEM_BYTES)
    port = memory.get_port("write")
    return config, memory, port, BoundedWriter(config, port, fifo_depth=2 if config.is_shallow else 16, **more)


def items_of(rng, expected, low, high, *, places):
    """A record's entries, whose words are written to `expected` where they lie within low … high − 1 bytes."""
    items, outside = [], False
    for place, count in places:
        items.append({"data": place, "halves": int(rng.integers(4)), "seek": 1, "end": 0})
        for address in range(place, place + 4*count, 4):
            data, halves = int(rng.integers(1 << 32)), int(rng.choice([3, 3, 3, 1, 2, 0]))
            items.append({"data": data, "halves": halves, "seek": 0, "end": 0})
            for half in range(2):
                if halves >> half & 1:
                    byte = address + 2*half
                    if low <= byte < high:
                        expected[byte:byte + 2] = np.frombuffer(data.to_bytes(4, "little"), np.uint8)[2*half:2*half + 2]
                    else:
                        outside = True
    return [*items, {"data": 0, "halves": 3, "seek": 0, "end": 1}], outside


@pytest.mark.parametrize("options", SHAPES, ids=lambda options: "-".join(map(str, options.values())))
@pytest.mark.parametrize("stall", (0.0, 0.5))
def test_words_are_in_memory_when_a_record_ends(options, stall, feed, seeded, simulate):
    """Records of no word, of one, of short rows and of more than a burst; within, across and outside the bounds."""
    rng = seeded(options["port_bits"] + int(10*stall))
    config, memory, _, dut = make(options, seed=1, stall=stall, burst_words=16, seeks=4)
    beat, expected = config.beat_bytes, memory.bytes.copy()
    low, high = 1024, 6144
    records = [[], [(low, 1)], [(2048, 5), (2048 + 4, 1), (2060, 3)], [(1024, 100)], [(high - 12, 3)],
        [(high - 8, 3)], [(low - 4, 2)], [(3000 + 200*row, 1 + row) for row in range(12)], [(4096, 0), (4100, 2)],
        [(0xFFFFFFF0, 6)], [(0, 2), (4200, 2), (MEM_BYTES + 4200, 2)],
        [(1024 + 4*int(rng.integers(900)), int(rng.integers(30))) for _ in range(12)]]

    def drive():
        yield dut.low_beat.eq(low//beat)
        yield dut.high_beat.eq(high//beat)
        yield
        for index, places in enumerate(records):
            items, outside = items_of(rng, expected, low, high, places=places)
            yield from feed(dut.sink, items, rng, stall)
            while not (yield dut.source.valid):
                yield
            wrong = np.flatnonzero(memory.bytes != expected)
            assert not wrong.size, f"record {index}: {wrong.size} bytes differ, the first at {wrong[0]:#x}"
            assert (yield dut.source.outside) == outside, f"record {index}"
            yield dut.source.ready.eq(1)
            yield
            yield dut.source.ready.eq(0)
            yield

    simulate(dut, drive(), *memory.generators())


@pytest.mark.parametrize("options, words", [({"port_bits": 128}, 16), ({"port_bits": 64}, 32), ({"port_bits": 32}, 64),
    ({"port_bits": 32, "memory_bits": 16}, 128)])
def test_a_row_costs_a_write_for_each_of_the_memory_s_words(options, words, feed, seeded, simulate):
    """64 words, a word a cycle (16 bits: two), written in one burst when they end."""
    rng = seeded(0)
    _, memory, port, dut = make(options, seed=1, stall=0, burst_words=128)
    items = [{"data": 256, "halves": 3, "seek": 1, "end": 0}]
    items += [{"data": word, "halves": 3, "seek": 0, "end": 0} for word in range(64)]
    items.append({"data": 0, "halves": 3, "seek": 0, "end": 1})
    taken, commands = [], []

    @passive
    def watch():
        cycle = 0
        while True:
            yield
            cycle += 1
            if (yield dut.sink.valid) and (yield dut.sink.ready):
                taken.append(cycle)
            if (yield port.cmd.valid) and (yield port.cmd.ready):
                commands.append(cycle)

    def drive():
        yield dut.high_beat.eq(MEM_BYTES)
        yield from feed(dut.sink, items, rng, 0)
        while not (yield dut.source.valid):
            yield

    simulate(dut, drive(), watch(), *memory.generators())
    assert len(taken) == len(items) and taken[-1] - taken[0] <= max(64, words) + 3
    assert len(memory.writes) == len(commands) == words and commands[-1] - commands[0] == words - 1
    assert (memory.bytes[256:512].view("<u4") == np.arange(64)).all()


@pytest.mark.parametrize("queue_depth", (2, 4))
def test_switched_off_it_writes_nothing_and_loses_nothing(queue_depth, feed, seeded, simulate, switch_writes):
    """`idle` says when the last word was taken; it stays until `enable` is back, and the record is whole in the end."""
    rng = seeded(queue_depth)
    _, memory, _, dut = make({"port_bits": 32, "queue_depth": queue_depth}, seed=2, stall=0.3, burst_words=16)
    expected, stopped, ended = memory.bytes.copy(), [], []
    items, _ = items_of(rng, expected, 0, MEM_BYTES, places=[(400, 300), (4000, 7)])

    def drive():
        yield dut.high_beat.eq(MEM_BYTES)
        yield from feed(dut.sink, items, np.random.default_rng(1), 0.2)
        while not (yield dut.source.valid):
            yield
        ended.append(True)

    simulate(dut, drive(), switch_writes(dut, memory, rng, lambda: not ended, stopped), *memory.generators())
    assert (memory.bytes == expected).all()
    assert len({count for count in stopped if 0 < count < 290}) > 3, stopped
