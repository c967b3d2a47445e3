# SPDX-License-Identifier: BSD-2-Clause
"""The W4A8 dot products: every product of every lane, extreme groups, random vectors; gateware against reference."""

import numpy as np
import pytest

from mixpe_gateware.baselines import OlAccel
from mixpe_gateware.contract.errors import ConfigError, DtypeError, RangeError, ShapeError
from mixpe_gateware.pe import DESIGNS as OF_THE_ARRAY
from mixpe_gateware.pe import BitPlaneA8, PairPlaneA8

DESIGNS = [pytest.param(design, id=name) for name, design in OF_THE_ARRAY.items()]
SEED = 20251122


@pytest.mark.parametrize("design", DESIGNS)
def test_all_products_on_every_lane(design, products):
    """All 16 × 256 products; lane l sees them rotated by 577·l (odd), so the lanes differ and each sees them all."""
    params = design(lanes=4)
    q, x = np.meshgrid(np.arange(16), np.arange(-128, 128), indexing="ij")
    q = np.stack([np.roll(q.ravel(), 577*lane) for lane in range(4)], axis=-1)
    x = np.stack([np.roll(x.ravel(), 577*lane) for lane in range(4)], axis=-1)
    expected = (q.astype(np.int64)*x).sum(axis=-1)
    assert np.array_equal(params.reference(q, x), expected)
    assert np.array_equal(products(params, q, x), expected)


@pytest.mark.parametrize("design", DESIGNS)
@pytest.mark.parametrize("lanes", [8, 32])
def test_extremes_and_random(design, lanes, products):
    rng = np.random.default_rng(SEED)
    q = rng.integers(0, 16, (240, lanes))
    x = rng.integers(-128, 128, (240, lanes))
    q[:4], x[0], x[1], x[2], x[3] = 15, -128, 127, 0, -1
    q[4], q[5], x[5] = 0, 8, -128
    x[6:40] = rng.choice([-128, 127], (34, lanes))
    params = design(lanes=lanes)
    got, expected = products(params, q, x), params.reference(q, x)
    assert np.array_equal(got, expected), f"seed {SEED}: first bad input {np.flatnonzero(got != expected)[:3]}"


@pytest.mark.parametrize("design", DESIGNS)
def test_groups(design, groups):
    """Extreme and random groups, back to back and with garbage between them."""
    rng = np.random.default_rng(SEED)
    q = rng.integers(0, 16, (12, 4, 8))
    x = rng.integers(-128, 128, (12, 4, 8))
    q[0], x[0] = 15, -128
    q[1], x[1] = 15, 127
    got = groups(design(lanes=8), 32, q, x, gaps=[0, 0, 0, 1, 5, 0, 2, 0, 0, 9, 0, 0])
    assert np.array_equal(got, (q*x).sum(axis=(1, 2))), f"seed {SEED}"


@pytest.mark.parametrize("bits", [12, 19, 32])
@pytest.mark.parametrize("design", [BitPlaneA8, PairPlaneA8])
def test_sums_of_a_given_width(design, bits, groups):
    """Narrower than the dot product, exact, wider: the sum modulo 2^bits, signed."""
    rng = np.random.default_rng(SEED)
    q = rng.integers(0, 16, (6, 4, 8))
    x = rng.integers(-128, 128, (6, 4, 8))
    q[0], x[0], q[1], x[1] = 15, -128, 15, 127
    params = design(lanes=8)
    expected = (q*x).sum(axis=(1, 2))
    half = 1 << bits - 1
    got  = groups(params, 32, q, x, gaps=[0]*6, accumulator_bits=bits)
    assert np.array_equal(got, (expected + half) % (2*half) - half), f"seed {SEED}"
    with pytest.raises(ConfigError, match="accumulator_bits must be in 2..64"):
        params.create_group(32, accumulator_bits=1)
    with pytest.raises(ConfigError, match="fixed"):
        OlAccel().create_group(32, accumulator_bits=16)


@pytest.mark.parametrize("design", DESIGNS)
def test_bad_parameters_and_operands(design):
    with pytest.raises(ConfigError, match="lanes must be a power of two"):
        design(lanes=12)
    with pytest.raises(ConfigError, match="target must be one of"):
        design(lanes=8, target="abacus")
    with pytest.raises(ConfigError, match="multiple of lanes=8"):
        design(lanes=8).create_group(12)
    params = design(lanes=8)
    good = np.zeros(8, np.int8)
    with pytest.raises(DtypeError, match="must be integers"):
        params.reference(good.astype(float), good)
    with pytest.raises(ShapeError, match="8 elements"):
        params.reference(good, good[:7])
    with pytest.raises(RangeError, match="0..15"):
        params.reference(good + 16, good)
