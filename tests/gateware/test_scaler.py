# SPDX-License-Identifier: BSD-2-Clause
"""One scale-accumulate unit against the contract's exact sums."""

import numpy as np
import pytest
from migen import passive

from mixpe_gateware.contract.reference import SCALE_UNIT_LOG2, accumulate, round_to_float32
from mixpe_gateware.gemm.scaler import ScaleUnit


@pytest.mark.parametrize("slots", (1, 4))
@pytest.mark.parametrize("order", ("turns", "runs", "random"))
def test_totals_are_exact(slots, order, seeded, simulate):
    """Channels of several groups, over the slots in any order, subnormal, negative and largest scales, every shift."""
    rng = seeded(slots)
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

    simulate(dut, drive(), watch())
    got = round_to_float32(np.array(totals, object), SCALE_UNIT_LOG2)
    assert (got == accumulate(partial, sums, scales, zeros, shifts)[ended, 0]).all()
