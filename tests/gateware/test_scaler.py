# SPDX-License-Identifier: BSD-2-Clause
"""One scale-accumulate unit against the contract's exact sums."""

import numpy as np
import pytest
from migen import passive

from mixpe_gateware.contract.config import K_LIMIT, Config
from mixpe_gateware.contract.reference import SCALE_UNIT_LOG2, dequantise, round_to_float32
from mixpe_gateware.contract.scaling import SUPERBLOCK_GROUPS, TWO_LEVEL_GROUP, Form, Scaling
from mixpe_gateware.gemm.scaler import ScaleUnit


@pytest.mark.parametrize("slots", (1, 4))
@pytest.mark.parametrize("order", ("turns", "runs", "random"))
@pytest.mark.parametrize("form", (None, *Form))
def test_totals_are_exact(slots, order, form, seeded, simulate):
    """Channels of several groups, over the slots in any order, subnormal, negative and largest scales, every shift.

    `form` None: a unit without real minima; ZERO: the same sums in one that has them.
    """
    rng = seeded(slots)
    config = Config(rows=slots, scalers=1, minima=form is not None)
    groups, dut, totals = 8, ScaleUnit(config), []
    two_level = form == Form.TWO_LEVEL
    edge_log2 = 16 - 2 if two_level else 24
    partial = rng.integers(-(1 << edge_log2), 1 << edge_log2, (slots, 1, groups))
    sums = rng.integers(-(1 << 12), 1 << 12, (slots, groups)) if two_level else (
        rng.integers(-(1 << 20), 1 << 20, (slots, groups)))
    if two_level:  # the largest of groups of 32
        partial[:, :, 0], sums[:, 0] = -15*128*32, -128*32
    factors = rng.choice(np.array([0, 1, 63, 42], np.uint8), (1, groups, 2))
    factors[0, 0] = 63
    zeros = rng.integers(0, 16, (1, groups)).astype(np.uint8)
    halves = np.array([0x7BFF, 0xFBFF, 0x7801, 0x0001, 0x8000, 0x3C01, 0x0000, 0x83FF], np.uint16)
    entries = 1 if two_level else groups
    scales  = halves[None, :entries].view(np.float16)
    minima  = np.roll(halves, 3 if slots == 1 else -1)[None, :entries].view(np.float16)
    scaling = Scaling(scales, minima=minima, factors=factors if two_level else None) if form else Scaling(scales, zeros)
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
            yield dut.scale.eq(int(scales.view(np.uint16)[0, group % entries]))
            if config.minima:  # what a form does not use is noise
                yield dut.form.eq(form)
                yield dut.minimum.eq(int(minima.view(np.uint16)[0, group % entries]))
                yield dut.factor_a.eq(int(factors[0, group, 0]))
                yield dut.factor_b.eq(int(factors[0, group, 1]))
            yield dut.shift.eq(int(shifts[slot, group]))
            yield
        yield dut.valid.eq(0)
        yield dut.first.eq(0)
        for _ in range(2*dut.latency):
            yield

    @passive
    def watch():
        while True:
            if (yield dut.done):
                totals.append((yield dut.total))
            yield

    simulate(dut, drive(), watch())
    got = round_to_float32(np.array(totals, object), SCALE_UNIT_LOG2)
    assert (got == dequantise(partial, sums, scaling, shifts)[ended, 0]).all()


@pytest.mark.parametrize("sign", (0x7BFF, 0xFBFF))
def test_the_largest_total_of_two_levels_fits(sign, simulate):
    """A whole reduction of groups of 32 at their edge, with the largest factors, scales and shifts."""
    dut, found = ScaleUnit(Config(rows=1, scalers=1, minima=True)), []
    groups  = K_LIMIT//TWO_LEVEL_GROUP
    partial = np.full((1, 1, groups), -15*128*TWO_LEVEL_GROUP)
    sums    = np.full((1, groups), -128*TWO_LEVEL_GROUP)
    half    = np.array([[sign]], np.uint16)
    scales  = np.repeat(half, groups//SUPERBLOCK_GROUPS, axis=1).view(np.float16)
    scaling = Scaling(scales, minima=scales, factors=np.full((1, groups, 2), 63, np.uint8))

    def drive():
        for signal, value in ((dut.valid, 1), (dut.partial, partial[0, 0, 0]), (dut.row_sum, sums[0, 0]),
                (dut.scale, sign), (dut.minimum, sign), (dut.factor_a, 63), (dut.factor_b, 63), (dut.shift, 15),
                (dut.form, Form.TWO_LEVEL)):
            yield signal.eq(int(value))
        for group in range(groups):
            yield dut.first.eq(group == 0)
            yield dut.last.eq(group == groups - 1)
            yield
        yield dut.valid.eq(0)
        while not (yield dut.done):
            yield
        found.append((yield dut.total))

    simulate(dut, drive())
    expected = dequantise(partial, sums, scaling, np.full((1, groups), 15))
    assert (round_to_float32(np.array(found, object), SCALE_UNIT_LOG2) == expected[0]).all()
