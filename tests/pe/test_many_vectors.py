# SPDX-License-Identifier: BSD-2-Clause
"""10⁵ random and extreme vectors through each integer design in Verilator; on ECP5 through the vendor's cell models."""

import numpy as np
import pytest

from mixpe.gateware.pe import AntA8, BitPlaneA8, OliveA8, PairPlaneA8, QServeA8, ShiftAddA8

SEED = 5
VECTORS = 100_000


@pytest.mark.parametrize("params", [
    ShiftAddA8(lanes=4), BitPlaneA8(lanes=4, target="ecp5"), PairPlaneA8(lanes=4), PairPlaneA8(lanes=4, target="ecp5"),
    PairPlaneA8(lanes=4, target="ecp5", pipelined=False, adders_per_chain=1), OliveA8(lanes=4)],
    ids=lambda params: "-".join(str(value) for value in params.to_dict().values()))
def test_vectors(params, verilated):
    rng = np.random.default_rng(SEED)
    q = rng.integers(0, 16, (VECTORS, 4))
    x = rng.integers(-128, 128, (VECTORS, 4))
    x[:20_000] = rng.choice([-128, -127, -1, 0, 1, 126, 127], (20_000, 4))
    q[5_000:25_000] = rng.choice([0, 1, 7, 8, 14, 15], (20_000, 4))
    weights = [params.encode_weights(row) for row in q]
    words = [params.encode(row) for row in x]
    product, _ = verilated(params, weights, words)
    expected = params.reference(q, x)
    assert np.array_equal(product, expected), f"seed {SEED}, first {np.flatnonzero(product != expected)[:5]}"


@pytest.mark.parametrize("params, options", [
    (QServeA8(lanes=4), {"scale": 17, "zero": -119}), (AntA8(lanes=4), {"kind": "flint"})],
    ids=["qserve", "ant"])
def test_vectors_with_group_parameters(params, options, verilated):
    rng = np.random.default_rng(SEED)
    q = rng.integers(0, 16, (VECTORS, 4))
    x = rng.integers(-128, 128, (VECTORS, 4))
    product, _ = verilated(params, [params.encode_weights(row, **options) for row in q],
                           [params.encode(row) for row in x])
    assert np.array_equal(product, params.reference(q, x, **options)), f"seed {SEED}"
