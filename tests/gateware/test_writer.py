# SPDX-License-Identifier: BSD-2-Clause
"""Way of results to memory: packing, splitting, bursts, ends of jobs, and a write path that is switched off."""

import numpy as np
import pytest
from migen import passive

from mixpe_gateware.contract.config import Config
from mixpe_gateware.stream.writer import Packer, ResultWriter, Splitter
from mixpe_sim.ports import PortMemory

MEM_BYTES = 1 << 14


@pytest.mark.parametrize("port_bits", (16, 32, 64, 128))
def test_packer(port_bits, feed, collect, seeded, simulate):
    """Jobs of 0 … 9 words, each padded to a beat and closed by one end."""
    rng, dut, out = seeded(port_bits), Packer(port_bits), []
    items, expected = [], []
    for count in range(10):
        words = rng.integers(0, 1 << 32, count, dtype=np.uint32)
        items += [{"data": int(word), "end": 0} for word in words] + [{"data": 0, "end": 1}]
        raw = words.tobytes()
        raw += bytes(-len(raw) % (port_bits//8))
        expected += [(int.from_bytes(raw[i:i + port_bits//8], "little"), 0) for i in range(0, len(raw), port_bits//8)]
        expected.append((None, 1))
    simulate(dut,
        feed(dut.sink, items, np.random.default_rng(1), 0.3),
        collect(dut.source, ["data", "end"], len(expected), out, np.random.default_rng(2), 0.4))
    assert [(None if end else data, end) for data, end in out] == expected


@pytest.mark.parametrize("port_bits, cycles", [(16, 400), (32, 200), (64, 200), (128, 200)])
def test_packer_takes_a_word_a_cycle(port_bits, cycles, feed, seeded, simulate):
    """For 16 bits a word every two cycles."""
    rng, dut, taken = seeded(0), Packer(port_bits), []
    dut.comb += dut.source.ready.eq(1)

    @passive
    def watch():
        cycle = 0
        while True:
            yield
            cycle += 1
            if (yield dut.sink.valid) and (yield dut.sink.ready):
                taken.append(cycle)

    simulate(dut, feed(dut.sink, [{"data": word, "end": 0} for word in range(200)], rng, 0), watch())
    assert len(taken) == 200 and taken[-1] - taken[0] == cycles - cycles//200


@pytest.mark.parametrize("port_bits, memory_bits", [(16, 16), (32, 16), (64, 16), (128, 16), (128, 64), (128, 128)])
@pytest.mark.parametrize("stall", (0.0, 0.4))
def test_splitter(port_bits, memory_bits, stall, feed, collect, seeded, simulate):
    """Jobs of 0 … 5 beats; without stalls a word leaves in every cycle."""
    rng, dut, out, items, expected = seeded(port_bits), Splitter(port_bits, memory_bits), [], [], []
    for count in (0, 0, 1, 2, 5, 0, 3):
        raw = rng.bytes(count*port_bits//8)
        items += [{"data": int.from_bytes(raw[i:i + port_bits//8], "little"), "end": 0}
            for i in range(0, len(raw), port_bits//8)] + [{"data": 0, "end": 1}]
        expected += [(int.from_bytes(raw[i:i + memory_bits//8], "little"), 0)
            for i in range(0, len(raw), memory_bits//8)] + [(None, 1)]
    simulate(dut,
        feed(dut.sink, items, np.random.default_rng(1), stall),
        collect(dut.source, ["data", "end"], len(expected), out, np.random.default_rng(2), stall),
        limit_cycles=10*len(expected) if stall else len(expected) + 4)
    assert [(None if end else data, end) for data, end in out] == expected


def beats_of(raw, config):
    return [{"data": int.from_bytes(raw[i:i + config.beat_bytes], "little"), "end": 0}
        for i in range(0, len(raw), config.beat_bytes)] + [{"data": 0, "end": 1}]


@pytest.mark.parametrize("options", [
    {"port_bits": 16, "queue_depth": 2}, {"port_bits": 32}, {"port_bits": 64, "memory_bits": 16},
    {"port_bits": 128, "memory_bits": 32, "queue_depth": 2}, {"port_bits": 128}],
    ids=lambda options: "-".join(map(str, options.values())))
@pytest.mark.parametrize("stall", (0.0, 0.3, 0.8))
def test_jobs_are_in_memory_when_they_end(options, stall, feed, seeded, simulate):
    """Jobs of no beat (refused), of one, and of more than a burst; at both ends of the memory; order, code and time."""
    config = Config(rows=2, scalers=1, k_max=512, **options)
    rng    = seeded(config.port_bits)
    memory = PortMemory(config.memory_bits, MEM_BYTES, seed=1, stall=stall)
    memory.bytes[:] = rng.integers(0, 256, MEM_BYTES)
    dut    = ResultWriter(config, memory.get_port("write"), burst_words=16,
        fifo_depth=2 if config.is_shallow else 16)
    places, size = MEM_BYTES//config.beat_bytes, config.beat_bytes
    shapes = [(places - 1, 1), (0, 1), (5, 0), (7, 0), (100, 16), (200, 17), (300, 15), (0, 0), (3, 50),
        (places - 9, 9)]
    jobs   = [{"out_beat": start, "code": index + 1, "start": int(rng.integers(1 << 32))}
        for index, (start, _) in enumerate(shapes)]
    pieces = [rng.bytes(beats*size) for _, beats in shapes]
    expected, counted = memory.bytes.copy(), [0]

    def take():
        for (start, _), job, raw in zip(shapes, jobs, pieces, strict=True):
            while True:
                ready = rng.random() >= stall
                yield dut.source.ready.eq(int(ready))
                yield
                if ready and (yield dut.source.valid):
                    break
            assert ((yield dut.source.code), (yield dut.source.start)) == (job["code"], job["start"])
            expected[start*size:start*size + len(raw)] = np.frombuffer(raw, np.uint8)
            here = slice(start*size, start*size + len(raw))
            assert (memory.bytes[here] == expected[here]).all(), f"job {job['code']} ended before its last word"
            yield dut.source.ready.eq(0)

    @passive
    def count():
        while True:
            yield
            counted[0] += (yield dut.beat)

    simulate(dut,
        feed(dut.jobs, jobs, np.random.default_rng(2), stall),
        feed(dut.sink, [beat for raw in pieces for beat in beats_of(raw, config)], np.random.default_rng(3), stall),
        take(), count(), *memory.generators())
    wrong = np.flatnonzero(memory.bytes != expected)
    assert not wrong.size, f"{wrong.size} bytes differ, the first at {wrong[0]:#x}"
    assert counted == [sum(beats for _, beats in shapes)]
    assert len(memory.writes) == sum(len(raw) for raw in pieces)//(config.memory_bits//8)


@pytest.mark.parametrize("memory_bits", (32, 16))
def test_words_wait_for_a_burst_or_the_end(memory_bits, feed, seeded, simulate):
    """Nothing is written while there is less than a burst; then all of it in cycles that follow each other."""
    config = Config(rows=2, scalers=1, k_max=512, port_bits=32, memory_bits=memory_bits)
    rng    = seeded(0)
    memory = PortMemory(memory_bits, MEM_BYTES, stall=0)
    burst  = 16
    port   = memory.get_port("write")
    dut    = ResultWriter(config, port, burst_words=burst)
    parts  = config.words_per_beat
    dut.comb += dut.source.ready.eq(1)
    beats  = beats_of(rng.bytes(40*4), config)
    commands, entered = [], []

    def drive():
        whole = burst//parts
        for first, last, pause in ((0, whole - 1, 100), (whole - 1, 2*whole, 100), (2*whole, 40, 0), (40, 41, 0)):
            yield from feed(dut.sink, beats[first:last], rng, 0)
            for _ in range(pause):
                yield
            entered.append((last*parts, len(commands)))
        for _ in range(200):
            yield

    @passive
    def watch():
        cycle = 0
        while True:
            yield
            cycle += 1
            if (yield port.cmd.valid) and (yield port.cmd.ready):
                commands.append(cycle)

    simulate(dut, feed(dut.jobs, [{"out_beat": 0, "code": 1, "start": 0}], rng, 0), drive(), watch(),
        *memory.generators())
    assert entered[0] == (burst - parts, 0)
    assert entered[1] == (2*burst, 2*burst)
    assert len(commands) == 40*parts
    runs = np.split(np.array(commands), np.flatnonzero(np.diff(commands) > 1) + 1)
    assert min(len(run) for run in runs[:-1]) >= burst, [len(run) for run in runs]


@pytest.mark.parametrize("queue_depth", (2, 4))
def test_switched_off_it_writes_nothing_and_loses_nothing(queue_depth, feed, collect, seeded, simulate, switch_writes):
    """`idle` says when the last word was taken; it stays until `enable` is back, and the job is whole in the end."""
    config = Config(rows=2, scalers=1, k_max=512, port_bits=32, queue_depth=queue_depth)
    rng    = seeded(queue_depth)
    memory = PortMemory(32, MEM_BYTES, seed=2, stall=0.3)
    dut    = ResultWriter(config, memory.get_port("write"), burst_words=16, fifo_depth=2 if config.is_shallow else 16)
    raw, out, stopped = rng.bytes(4*300), [], []

    simulate(dut, feed(dut.jobs, [{"out_beat": 3, "code": 9, "start": 77}], rng, 0),
        feed(dut.sink, beats_of(raw, config), np.random.default_rng(1), 0.2),
        collect(dut.source, ["code", "start"], 1, out, np.random.default_rng(3), 0),
        switch_writes(dut, memory, rng, lambda: not out, stopped), *memory.generators())
    assert out == [(9, 77)]
    assert bytes(memory.bytes[12:12 + len(raw)]) == raw and len(memory.writes) == 300
    assert len({count for count in stopped if 0 < count < 300}) > 3, stopped
