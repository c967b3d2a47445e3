# SPDX-License-Identifier: BSD-2-Clause
"""The gateware encoder makes the words that `PairPlaneA8.encode` makes."""

import numpy as np
import pytest
from migen.sim import run_simulation

from mixpe_gateware.pe import PairPlaneA8
from mixpe_gateware.pe.pair_encoder import PairEncoder

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
