# SPDX-License-Identifier: BSD-2-Clause
"""Memories of the weight stream: the ring that is read again, and scales and zero points of two blocks."""

from collections import deque

import numpy as np
import pytest
from migen import Signal

from mixpe_gateware.contract.config import CHANNELS_PER_BLOCK, Config
from mixpe_gateware.gemm.weights import ScaleMemory, WeightBuffer


@pytest.mark.parametrize("depth", (2, 16))
@pytest.mark.parametrize("stall, ask", [(0.3, 0.7), (0, 1), (0.8, 1)])
def test_buffer_rewinds_and_releases(depth, stall, ask, feed, seeded, simulate):
    """Every channel is read three times; the last time it is released beat by beat."""
    rng, writing, dut = seeded(depth), np.random.default_rng(1), WeightBuffer(16, depth)
    lengths  = [max(1, depth*part//16) for part in (1, 5, 16, 7, 16, 16, 15)]
    channels = [rng.integers(0, 1 << 16, length).tolist() for length in lengths]
    want, got = Signal(), []
    dut.comb += dut.take.eq(want & dut.available)

    def read():
        taken = deque([False]*WeightBuffer.READ_LATENCY)

        def cycle(ask, release, rewind):
            """Ask for a beat; what was taken `READ_LATENCY` cycles before is on `data` now."""
            yield want.eq(int(ask))
            yield dut.release.eq(int(release))
            yield dut.rewind.eq(int(rewind))
            yield
            taken.append((yield dut.take))
            if taken.popleft():
                got.append((yield dut.data))
            return taken[-1]

        for channel in channels:
            for turn in range(3):
                for index in range(len(channel)):
                    end = index == len(channel) - 1
                    while not (yield from cycle(rng.random() < ask, turn == 2, end and turn < 2)):
                        pass
        for _ in range(WeightBuffer.READ_LATENCY):
            yield from cycle(False, *rng.integers(0, 2, 2))

    simulate(dut, feed(dut.sink, [{"data": word} for channel in channels for word in channel], writing, stall), read())
    assert got == [word for channel in channels for _ in range(3) for word in channel]


def test_buffer_moves_a_beat_in_and_a_beat_out_a_cycle(feed, seeded, simulate):
    """Taken whenever there is one: 200 beats pass in 200 cycles, behind those of the way through."""
    rng, dut = seeded(0), WeightBuffer(32, 8)
    beats, got, taken = rng.integers(0, 1 << 32, 200).tolist(), [], []
    dut.comb += dut.take.eq(dut.available), dut.release.eq(1)

    def read():
        cycle = 0
        while len(got) < len(beats):
            yield
            cycle += 1
            if len(taken) > len(got) and cycle == taken[len(got)] + WeightBuffer.READ_LATENCY:
                got.append((yield dut.data))
            if (yield dut.take):
                taken.append(cycle)

    simulate(dut, feed(dut.sink, [{"data": beat} for beat in beats], rng, 0), read())
    assert got == beats
    assert taken == list(range(taken[0], taken[0] + len(beats)))


def test_buffer_takes_as_many_as_it_holds(feed, seeded, simulate):
    """Full, it takes nothing until a beat is released; a beat that is only taken frees no place."""
    rng, dut, levels = seeded(0), WeightBuffer(16, 8), []

    def read():
        for take, release in ((0, 0), (1, 0), (1, 1), (1, 0), (1, 1), (0, 0)):
            for _ in range(20):
                yield
            levels.append((yield dut.sink.ready))
            yield dut.take.eq(take)
            yield dut.release.eq(release)
            yield
            yield dut.take.eq(0)
            yield
            levels.append((yield dut.sink.ready))

    simulate(dut, feed(dut.sink, [{"data": index} for index in range(12)], rng, 0), read())
    assert levels == [0, 0,  0, 0,  0, 1,  0, 0,  0, 1,  0, 0]


@pytest.mark.parametrize("entry_bits, port_bits, k_max", [
    (16, 16, 512), (4, 16, 512), (16, 32, 1024), (4, 32, 512), (16, 128, 512), (4, 128, 512), (4, 64, 16384)])
def test_scales_of_two_blocks(entry_bits, port_bits, k_max, seeded, simulate):
    """A write and a read in every cycle, of the same beat now and then: a read sees the writes of the cycles before."""
    config  = Config(rows=2, scalers=1, port_bits=port_bits, k_max=k_max)
    rng, dut = seeded(port_bits + entry_bits), ScaleMemory("scales", entry_bits, config)
    entries, per_beat = CHANNELS_PER_BLOCK*config.groups_max, port_bits//entry_bits
    stored  = np.zeros((2, entries), np.int64)
    due     = deque([None]*ScaleMemory.READ_LATENCY)
    edges   = [0, per_beat - 1, per_beat, entries//2 - 1, entries//2, entries - per_beat, entries - 1]
    wrong   = []

    def drive():
        for cycle in range(1500):
            write = rng.random() < 0.6
            half, beat = int(rng.integers(2)), int(rng.choice(edges + [rng.integers(entries)]*5))//per_beat
            values = rng.integers(0, 1 << entry_bits, per_beat)
            if rng.random() < 0.2:
                values[:] = rng.choice([0, (1 << entry_bits) - 1])
            yield dut.write.eq(int(write))
            yield dut.write_buffer.eq(half)
            yield dut.write_beat.eq(beat)
            yield dut.data.eq(sum(int(value) << entry_bits*index for index, value in enumerate(values)))

            buffer, entry = int(rng.integers(2)), int(rng.choice(edges + [rng.integers(entries)]*5))
            if rng.random() < 0.2:
                buffer, entry = half, beat*per_beat + int(rng.integers(per_beat))
            yield dut.buffer.eq(buffer)
            yield dut.entry.eq(entry)
            due.append((buffer, entry, int(stored[buffer, entry])))
            if write:
                stored[half, beat*per_beat:][:per_beat] = values
            yield
            expected = due.popleft()
            if expected and (yield dut.value) != expected[2]:
                wrong.append((cycle, *expected))

    simulate(dut, drive())
    assert not wrong, f"{len(wrong)}, the first: cycle, buffer, entry, value = {wrong[0]}"
