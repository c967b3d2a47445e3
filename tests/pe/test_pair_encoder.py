# SPDX-License-Identifier: BSD-2-Clause
"""The gateware encoder makes the words that `PairPlaneA8.encode` makes; an array of rows gives every row's sums."""

import numpy as np
import pytest
from migen.sim import run_simulation

from mixpe_gateware.baselines import PairEncoder, PairPlaneA8, ShiftAddA8
from mixpe_gateware.baselines.array import RowArray
from mixpe_gateware.contract.errors import ConfigError

SEED = 9


@pytest.mark.parametrize("lanes", [4, 8, 32])
def test_words(lanes):
    rng = np.random.default_rng(SEED)
    params = PairPlaneA8(lanes=lanes)
    dut = PairEncoder(params)
    x = rng.integers(-128, 128, (40, lanes))
    x[0], x[1], x[2] = -128, 127, np.where(np.arange(lanes) % 2, 127, -128)
    got = []

    def drive():
        for row in x:
            yield dut.activations.eq(int.from_bytes(row.astype(np.int8).tobytes(), "little"))
            yield

    def watch():
        for _ in range(dut.latency + 1):
            yield
        for _ in x:
            got.append((yield dut.word))
            yield

    run_simulation(dut, [drive(), watch()])
    assert got == [params.encode(row) for row in x], f"seed {SEED}"


@pytest.mark.parametrize("params", [PairPlaneA8(lanes=4), ShiftAddA8(lanes=4)])
def test_rows_of_an_array(params):
    """Five rows, two to a copy of the weights, groups back to back."""
    rng = np.random.default_rng(SEED)
    dut = RowArray(params, rows=5, group_size=16, rows_per_copy=2)
    q = rng.integers(0, 16, (3, 4, 4))
    x = rng.integers(-128, 128, (3, 4, 5, 4))
    got = []

    def drive():
        for group in range(3):
            for beat in range(4):
                yield dut.weights.eq(params.encode_weights(q[group, beat]))
                for row, port in enumerate(dut.activations):
                    yield port.eq(params.encode(x[group, beat, row]))
                yield dut.first.eq(beat == 0)
                yield dut.last.eq(beat == 3)
                yield
        yield dut.last.eq(0)

    def watch():
        for cycle in range(12 + dut.latency + 3):
            if (yield dut.done):
                totals = []
                for port in dut.totals:
                    totals.append((yield port))
                got.append(totals)
                # The inputs of cycle c are on the ports from c + 1 on.
                assert cycle == 1 + 4*len(got) - 1 + dut.latency
            yield

    run_simulation(dut, [drive(), watch()])
    assert np.array_equal(got, np.einsum("gbl,gbrl->gr", q, x)), f"seed {SEED}"
    with pytest.raises(ConfigError, match="rows"):
        RowArray(params, rows=0)
