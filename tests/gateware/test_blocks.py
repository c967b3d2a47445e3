# SPDX-License-Identifier: BSD-2-Clause
"""Blocks of the datapath in the Migen simulator, with random stalls."""

import zlib
from collections import deque

import numpy as np
import pytest
from migen import passive, run_simulation

from mixpe_gateware.contract.reference import SCALE_UNIT_LOG2, accumulate, round_to_float32
from mixpe_gateware.contract.registers import COUNTERS
from mixpe_gateware.contract.widths import WIDE_BITS
from mixpe_gateware.control.checksum import Checksum
from mixpe_gateware.control.counters import Counters
from mixpe_gateware.gemm.activations import RowSums
from mixpe_gateware.gemm.scaler import ScaleUnit
from mixpe_gateware.gemm.weights import WeightBuffer
from mixpe_gateware.stream.float32 import IntegerToFloat32
from mixpe_gateware.stream.reader import RegionReader
from mixpe_gateware.stream.writer import Packer
from mixpe_sim.ports import PortMemory

LIMIT_CYCLES = 20_000


def feed(endpoint, items, rng, stall):
    """Offer items (dict of field: value) with random pauses."""
    for item in items:
        while rng.random() < stall:
            yield
        for name, value in item.items():
            yield getattr(endpoint, name).eq(value)
        yield endpoint.valid.eq(1)
        yield
        while not (yield endpoint.ready):
            yield
        yield endpoint.valid.eq(0)


def collect(endpoint, fields, count, out, rng, stall):
    """Take `count` items with random pauses; raise at the cycle limit."""
    for _ in range(LIMIT_CYCLES):
        ready = rng.random() >= stall
        yield endpoint.ready.eq(int(ready))
        yield
        if ready and (yield endpoint.valid):
            item = []
            for name in fields:
                item.append((yield getattr(endpoint, name)))
            out.append(tuple(item))
            if len(out) == count:
                yield endpoint.ready.eq(0)
                return
    raise AssertionError(f"{len(out)} of {count} items after {LIMIT_CYCLES} cycles")


def test_integers_to_float32_round_to_nearest_even():
    top = (1 << WIDE_BITS - 1) - 1
    values = [0, 1, -1, 2, 3, (1 << 24) - 1, 1 << 24, (1 << 24) + 1, (1 << 24) + 3, -(1 << 24) - 1, (1 << 25) - 1,
        top, -top - 1, top - (1 << WIDE_BITS - 26), (1 << 60) + (1 << 36), (1 << 60) + (1 << 36) + 1]
    rng = np.random.default_rng(0)
    values += [int(rng.integers(-1 << 62, 1 << 62)) >> int(rng.integers(0, 62)) << int(rng.integers(0, 26))
        for _ in range(200)]
    dut, out = IntegerToFloat32(WIDE_BITS, SCALE_UNIT_LOG2), []
    run_simulation(dut, [
        feed(dut.sink, [{"value": value} for value in values], np.random.default_rng(1), 0.3),
        collect(dut.source, ["data"], len(values), out, np.random.default_rng(2), 0.4),
    ])
    expected = round_to_float32(np.array(values, object), SCALE_UNIT_LOG2).view(np.uint32)
    assert [word for word, in out] == expected.tolist()


@pytest.mark.parametrize("slots", (1, 4))
@pytest.mark.parametrize("order", ("turns", "runs", "random"))
def test_scale_unit_is_exact(slots, order):
    """Channels of several groups, over the slots in any order, subnormal, negative and largest scales, every shift."""
    rng = np.random.default_rng(slots)
    groups, dut, totals = 6, ScaleUnit(slots), []
    partial = rng.integers(-(1 << 24), 1 << 24, (slots, 1, groups))
    sums = rng.integers(-(1 << 20), 1 << 20, (slots, groups))
    zeros = rng.integers(0, 16, (1, groups)).astype(np.uint8)
    scales = np.array([[0x7BFF, 0xFBFF, 0x7801, 0x0001, 0x8000, 0x3C01]], np.uint16).view(np.float16)
    shifts = rng.integers(0, 16, (slots, groups))

    slots_in_order = [slot for _ in range(groups) for slot in range(slots)]
    if order == "runs":  # a slot's total is wanted again in the next cycle
        slots_in_order.sort()
    elif order == "random":
        slots_in_order = list(rng.permutation(slots_in_order))
    ended = [slot for place, slot in enumerate(slots_in_order) if slot not in slots_in_order[place + 1:]]

    def drive():
        done = [0]*slots
        for slot in slots_in_order:
            group = done[slot]
            done[slot] += 1
            while order == "random" and rng.random() < 0.3:
                yield dut.valid.eq(0)
                yield
            yield dut.valid.eq(1)
            yield dut.slot.eq(int(slot))
            yield dut.first.eq(group == 0)
            yield dut.last.eq(group == groups - 1)
            yield dut.partial.eq(int(partial[slot, 0, group]))
            yield dut.row_sum.eq(int(sums[slot, group]))
            yield dut.zero.eq(int(zeros[0, group]))
            yield dut.scale.eq(int(scales.view(np.uint16)[0, group]))
            yield dut.shift.eq(int(shifts[slot, group]))
            yield
        yield dut.valid.eq(0)
        yield dut.first.eq(0)
        for _ in range(2*ScaleUnit.LATENCY):
            yield

    @passive
    def watch():
        while True:
            if (yield dut.done):
                totals.append((yield dut.total))
            yield

    run_simulation(dut, [drive(), watch()])
    got = round_to_float32(np.array(totals, object), SCALE_UNIT_LOG2)
    assert (got == accumulate(partial, sums, scales, zeros, shifts)[ended, 0]).all()


@pytest.mark.parametrize("port_bits", (16, 32, 64, 128))
def test_packer(port_bits):
    """Jobs of 1 … 9 words, each padded to a beat and closed by one end."""
    rng, dut, out = np.random.default_rng(port_bits), Packer(port_bits), []
    items, expected = [], []
    for count in range(1, 10):
        words = rng.integers(0, 1 << 32, count, dtype=np.uint32)
        items += [{"data": int(word), "end": 0} for word in words] + [{"data": 0, "end": 1}]
        raw = words.tobytes()
        raw += bytes(-len(raw) % (port_bits//8))
        expected += [(int.from_bytes(raw[i:i + port_bits//8], "little"), 0) for i in range(0, len(raw), port_bits//8)]
        expected.append((None, 1))
    run_simulation(dut, [
        feed(dut.sink, items, np.random.default_rng(1), 0.3),
        collect(dut.source, ["data", "end"], len(expected), out, np.random.default_rng(2), 0.4),
    ])
    assert [(None if end else data, end) for data, end in out] == expected


def test_row_sums_of_extreme_bytes():
    dut, got, expected = RowSums(32), [], []
    rng = np.random.default_rng(0)
    groups = [np.full((64, 4), -128), np.full((64, 4), 127), rng.integers(-128, 128, (1, 4)),
        rng.integers(-128, 128, (7, 4))]

    def drive():
        for group in groups:
            expected.append(int(group.sum()))
            for index, beat in enumerate(group.astype(np.int8)):
                while rng.random() < 0.3:
                    yield dut.valid.eq(0)
                    yield
                yield dut.data.eq(int.from_bytes(beat.tobytes(), "little"))
                yield dut.valid.eq(1)
                yield dut.first.eq(index == 0)
                yield dut.last.eq(index == len(group) - 1)
                yield
        yield dut.valid.eq(0)
        for _ in range(4):
            yield

    @passive
    def watch():
        while True:
            if (yield dut.done):
                got.append((yield dut.total))
            yield

    run_simulation(dut, [drive(), watch()])
    assert got == expected


def test_weight_buffer_rewinds_and_releases():
    """Every channel is read three times; the last time it is released beat by beat."""
    dut, rng = WeightBuffer(16, 16), np.random.default_rng(0)
    channels = [rng.integers(0, 1 << 16, length).tolist() for length in (1, 5, 16, 7, 16)]
    got = []

    @passive
    def write():
        yield from feed(dut.sink, [{"data": word} for channel in channels for word in channel], rng, 0.3)

    def read():
        pending = deque([None]*WeightBuffer.READ_LATENCY)
        for channel in channels:
            for turn in range(3):
                for index in range(len(channel)):
                    for _ in range(LIMIT_CYCLES):
                        take = (yield dut.available) and rng.random() < 0.7
                        end = index == len(channel) - 1
                        yield dut.take.eq(int(take))
                        yield dut.release.eq(int(turn == 2))
                        yield dut.rewind.eq(int(end and turn < 2))
                        yield
                        yield dut.take.eq(0)
                        pending.append(take)
                        if pending.popleft():
                            got.append((yield dut.data))
                        if take:
                            yield
                            pending.append(False)
                            if pending.popleft():
                                got.append((yield dut.data))
                            break
                    else:
                        raise AssertionError("no beat available")
        for _ in range(4):
            yield
            if pending and pending.popleft():
                got.append((yield dut.data))

    run_simulation(dut, [write(), read()])
    assert got == [word for channel in channels for _ in range(3) for word in channel]


@pytest.mark.parametrize("ports, word_bits", [(1, 32), (2, 32), (4, 32), (1, 16), (2, 8)])
def test_region_reader_keeps_the_order(ports, word_bits):
    """Beats of 32 bits, also gathered from two or four words of the memory."""
    memory = PortMemory(word_bits, 4096, seed=ports)
    memory.bytes[:] = np.random.default_rng(0).integers(0, 256, 4096, dtype=np.uint8)
    dut = RegionReader([memory.get_port("read") for _ in range(ports)], fifo_depth=16, chunk_beats=8, data_width=32)
    regions, out = [(3, 100), (0, 1), (200, 77), (7, 0), (1000, 24)], []
    words = memory.bytes.view(np.uint32)
    expected = [int(word) for start, beats in regions for word in words[start:start + beats]]
    run_simulation(dut, [
        feed(dut.sink, [{"start": start, "beats": beats} for start, beats in regions], np.random.default_rng(1), 0.3),
        collect(dut.source, ["data"], len(expected), out, np.random.default_rng(2), 0.3),
        *memory.generators(),
    ])
    assert [word for word, in out] == expected


@pytest.mark.parametrize("port_bits", (16, 32, 128))
def test_checksum_is_zlibs(port_bits):
    memory = PortMemory(port_bits, 2048, seed=1)
    memory.bytes[:] = np.random.default_rng(0).integers(0, 256, 2048, dtype=np.uint8)
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
            for _ in range(LIMIT_CYCLES):
                yield
                if not (yield dut.busy):
                    break
            else:
                raise AssertionError("the checksum unit does not end")
            found.append((yield dut.value))

    run_simulation(dut, [drive(), *memory.generators()])
    assert found == [zlib.crc32(memory.bytes[start:start + size].tobytes()) for start, size in regions]


def test_counters_are_latched_all_at_once():
    """Totals and copies against counts in Python: clear at any phase of the walk, latch, a latch after a latch."""
    dut, rng, seen = Counters(), np.random.default_rng(0), []
    counts = dict.fromkeys(COUNTERS, 0)
    history = []

    def cycle(clear=0, latch=0):
        events = {name: int(rng.integers(0, 3)) for name in COUNTERS}
        dropped = int(rng.integers(0, 2))
        for name, count in events.items():
            yield dut.events[name].eq(count)
        yield dut.dropped.eq(dropped)
        yield dut.clear.eq(clear)
        yield dut.latch.eq(latch)
        yield
        for name in COUNTERS:
            counts[name] = (0 if clear else counts[name]) + events[name] + (dropped if name == "errors" else 0)
        history.append(dict(counts))

    def drive():
        for pause in (1, 7, 63, 64, 100, 200):
            for _ in range(pause):
                yield from cycle()
            yield from cycle(clear=1)
            for _ in range(pause):
                yield from cycle()
            for _ in range(2):
                first = len(history)
                yield from cycle(latch=1)
                for _ in range(LIMIT_CYCLES):
                    yield from cycle()
                    if not (yield dut.latching):
                        break
                else:
                    raise AssertionError("the copy does not end")
                copied = []
                for index in range(2*len(COUNTERS)):
                    copied.append((yield dut.memory[index]))
                found = dict(zip(COUNTERS, (low | high << 32 for low, high in zip(copied[::2], copied[1::2],
                    strict=True)), strict=True))
                seen.append(any(found == each for each in history[first:first + 66]))

    run_simulation(dut, [drive()])
    assert len(seen) == 12 and all(seen), seen
