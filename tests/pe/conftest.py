# SPDX-License-Identifier: BSD-2-Clause
"""Drive a processing element in the Migen simulator and compare it with its own reference."""

import numpy as np
import pytest
from migen.sim import run_simulation


def simulate_products(params, q, x):
    """Products of the unit of `params` for weights q (n, lanes) and activations x (n, lanes), one input a cycle."""
    dut = params.create()
    got = []

    def drive():
        for weights, activations in zip(q, x, strict=True):
            yield dut.weights.eq(params.encode_weights(weights))
            yield dut.activations.eq(params.encode(activations))
            yield

    def watch():
        yield
        for _ in range(dut.latency):
            yield
        for _ in range(len(q)):
            got.append((yield dut.product))
            yield

    run_simulation(dut, [drive(), watch()])
    return np.array(got)


def simulate_groups(params, group_size, q, x, gaps):
    """Totals of groups q, x (groups, beats, lanes) with `gaps[g]` idle cycles before group g."""
    dut = params.create_group(group_size)
    got = []

    def drive():
        for group, gap in enumerate(gaps):
            for _ in range(gap):
                yield dut.weights.eq((1 << len(dut.weights)) - 1)  # garbage between groups must not count
                yield dut.activations.eq((1 << len(dut.activations)) - 1)
                yield dut.first.eq(0)
                yield dut.last.eq(0)
                yield
            for beat in range(q.shape[1]):
                yield dut.weights.eq(params.encode_weights(q[group, beat]))
                yield dut.activations.eq(params.encode(x[group, beat]))
                yield dut.first.eq(beat == 0)
                yield dut.last.eq(beat == q.shape[1] - 1)
                yield
        yield dut.last.eq(0)

    def watch():
        for _ in range(int(np.sum(gaps)) + q.shape[0]*q.shape[1] + dut.latency + 4):
            if (yield dut.done):
                got.append((yield dut.total))
            yield

    run_simulation(dut, [drive(), watch()])
    return np.array(got)


@pytest.fixture
def products():
    return simulate_products


@pytest.fixture
def groups():
    return simulate_groups
