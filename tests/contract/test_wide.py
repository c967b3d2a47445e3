# SPDX-License-Identifier: BSD-2-Clause
"""A16: aligned activations in two int8 rows."""

import numpy as np
import pytest

from mixpe_gateware.contract.config import SHIFT_LIMIT
from mixpe_gateware.contract.errors import RangeError
from mixpe_gateware.contract.wide import ALIGNED_BITS, align, join, split


def value_of(a, shifts, unit, group_size):
    grouped = a.reshape(len(a), -1, group_size).astype(np.float64)
    return np.ldexp(grouped, shifts[:, :, None].astype(int)).reshape(a.shape)*unit[:, None].astype(np.float64)


def test_every_aligned_integer_splits_and_joins():
    every = np.arange(-(1 << ALIGNED_BITS), (1 << ALIGNED_BITS) + 1, dtype=np.int16)[None]
    rows = split(every)
    assert rows.dtype == np.int8 and rows.shape == (2, every.shape[1])
    np.testing.assert_array_equal(join(rows), every)


def test_rows_of_tokens_alternate():
    a = np.array([[256, 1], [512, -1]], np.int16)
    assert split(a).tolist() == [[1, 0], [0, 1], [2, 0], [0, -1]]


def test_every_fp16_alone_is_exact():
    """A group of one value and zeros: all FP16 codes, subnormals too."""
    codes = np.arange(1 << 16, dtype=np.uint16).view(np.float16)
    codes = codes[np.isfinite(codes)]
    x = np.zeros((len(codes), 32), np.float16)
    x[:, 7] = codes
    a, shifts, unit = align(x, 32)
    np.testing.assert_array_equal(value_of(a, shifts, unit, 32), x.astype(np.float64))


def test_exact_within_three_binades_of_the_largest():
    rng = np.random.default_rng(3)
    x = (rng.choice([-1, 1], (50, 64))*(1 + rng.integers(0, 1024, (50, 64))/1024)*2.0**rng.integers(-3, 1, (50, 64)))
    x = x.astype(np.float16)
    x[:, 0] = x[:, 32] = 1.5
    a, shifts, unit = align(x, 32)
    np.testing.assert_array_equal(value_of(a, shifts, unit, 32), x.astype(np.float64))


@pytest.mark.parametrize("seed", range(5))
def test_error_is_at_most_half_a_step(seed):
    rng = np.random.default_rng(seed)
    x = (rng.standard_normal((20, 128))*10.0**rng.integers(-4, 4, (20, 128))).astype(np.float16)
    a, shifts, unit = align(x, 32)
    assert np.abs(a).max() <= 1 << ALIGNED_BITS and shifts.max() <= SHIFT_LIMIT
    step = np.repeat(np.ldexp(unit[:, None].astype(np.float64), shifts.astype(int)), 32, axis=1)
    assert (np.abs(value_of(a, shifts, unit, 32) - x.astype(np.float64)) <= step/2).all()


def test_groups_keep_their_own_exponents():
    x = np.zeros((1, 64), np.float32)
    x[0, 0], x[0, 32] = 1.0, 2.0**-10
    a, shifts, unit = align(x, 32)
    assert shifts.tolist() == [[SHIFT_LIMIT, SHIFT_LIMIT - 10]]
    np.testing.assert_array_equal(value_of(a, shifts, unit, 32), x)


def test_zeros_and_no_tokens():
    a, shifts, unit = align(np.zeros((2, 64), np.float32), 32)
    assert not a.any() and not shifts.any() and np.isfinite(unit).all() and (unit > 0).all()
    a, shifts, unit = align(np.zeros((0, 64), np.float32), 32)
    assert a.shape == (0, 64) and shifts.shape == (0, 2) and unit.shape == (0,)


@pytest.mark.parametrize("bad", [np.inf, -np.inf, np.nan])
def test_not_finite(bad):
    with pytest.raises(RangeError, match="finite"):
        align(np.array([[bad]*32], np.float32), 32)
