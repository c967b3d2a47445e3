# SPDX-License-Identifier: BSD-2-Clause
"""The SoC's array takes any design whose products are added: every row's sums, with gaps, and rows that stand still."""

import numpy as np
import pytest
from migen.sim import run_simulation

from mixpe_gateware.baselines import BitPlaneInt8, Int8, QServeA8
from mixpe_gateware.contract.config import Config
from mixpe_gateware.gemm.array import ArrayDatapath
from mixpe_gateware.pe import DESIGNS
from mixpe_gateware.stream.fanout import levels

SEED = 9
GROUPS, BEATS = 6, 5


@pytest.mark.parametrize("rows, queue_depth", [(1, 16), (4, 2), (16, 16)])
@pytest.mark.parametrize("design", [*DESIGNS.values(), Int8, BitPlaneInt8, QServeA8],
                         ids=lambda design: design.name)
def test_sums(design, rows, queue_depth):
    """Edge values first; beats come with random gaps, and each group is for some of the rows only."""
    rng    = np.random.default_rng(SEED)
    params = design(lanes=4)
    config = Config(rows=rows, port_bits=16, queue_depth=queue_depth, scalers=1)
    dut    = ArrayDatapath(config, design=params)
    low    = -(1 << params.weight_bits - 1) if params.weights_signed else 0
    high   = low + (1 << params.weight_bits) - 1
    q      = rng.integers(low, high + 1, (GROUPS, BEATS, 4))
    x      = rng.integers(-128, 128, (GROUPS, BEATS, rows, 4))
    q[0], x[0] = high, -128
    q[1], x[1] = low, 127
    used   = rng.integers(0, 2, (GROUPS, rows)).astype(bool)
    used[:2] = True
    garbage  = rng.integers(0, 1 << 16, 1000).tolist()
    got      = []

    def drive():
        pending = [None]*levels(config)  # activations on their way behind the weights
        beats = [(group, beat) for group in range(GROUPS) for beat in range(BEATS)]
        while beats or any(entry is not None for entry in pending):
            now = beats.pop(0) if beats and rng.random() < 0.7 else None
            yield dut.valid.eq(now is not None)
            yield dut.weights.eq(garbage.pop() if now is None else params.encode_weights(q[now]))
            yield dut.first.eq(now is not None and now[1] == 0 or now is None and rng.random() < 0.5)
            yield dut.last.eq(now is not None and now[1] == BEATS - 1)
            mask = used[now[0]] if now else rng.integers(0, 2, rows)
            yield dut.rows.eq(sum(int(flag) << row for row, flag in enumerate(mask)))
            pending.append(now)
            late = pending.pop(0)
            for row, port in enumerate(dut.activations):
                yield port.eq(garbage.pop() if late is None and garbage else
                              0 if late is None else params.encode(x[(*late, row)]))
            yield
        yield dut.valid.eq(0)

    def watch():
        for _ in range(20*GROUPS*BEATS):
            if (yield dut.done):
                sums = []
                for total in dut.sums:
                    sums.append((yield total))
                got.append(sums)
                if len(got) == GROUPS:
                    return
            yield
        raise AssertionError(f"only {len(got)} of {GROUPS} groups came out")

    run_simulation(dut, [drive(), watch()])
    expected = params.reference(q[:, :, None], x).sum(axis=1)
    for group in range(GROUPS):
        assert [value for value, flag in zip(got[group], used[group], strict=True) if flag] == \
            expected[group][used[group]].tolist(), f"group {group}, seed {SEED}"


def test_latency():
    """One group, without gaps."""
    params = DESIGNS["dense"](lanes=8)
    dut    = ArrayDatapath(Config(rows=8, port_bits=32), design=params)
    cycles = []

    def drive():
        yield dut.valid.eq(1)
        yield dut.last.eq(1)
        yield
        yield dut.valid.eq(0)

    def watch():
        for cycle in range(dut.latency + 5):
            if (yield dut.done):
                cycles.append(cycle)
            yield

    run_simulation(dut, [drive(), watch()])
    assert cycles == [1 + dut.latency]
