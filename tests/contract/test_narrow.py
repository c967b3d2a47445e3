# SPDX-License-Identifier: BSD-2-Clause
"""A8 with a power-of-two scale per group, against its definition in rational numbers."""

from fractions import Fraction

import numpy as np
import pytest

from mixpe_gateware.contract.config import SHIFT_LIMIT
from mixpe_gateware.contract.errors import RangeError
from mixpe_gateware.contract.narrow import align

TINY    = np.float32(2.0**-149)
HUGEST  = np.finfo(np.float32).max
SPECIAL = np.array([0.0, -0.0, 1, -1, 127, 127.5, -127.5, 128, -128, 0.5, 1.5, -2.5, 2.0**-15, 2.0**-16, 2.0**-22,
    2.0**-23, 2.0**-104, 2.0**-110, 2.0**-126, 2.0**-127, 1.5*2.0**-127, TINY, -TINY, HUGEST, -HUGEST], np.float32)


def step_of(group):
    """Exponent of a group's step: its largest magnitude is in 2^(e − 1) … 2^e, the step is 2^(e − 7)."""
    largest, exponent = max(abs(value) for value in group), 200
    if not largest:
        return None
    while Fraction(2)**(exponent - 1) > largest:
        exponent -= 1
    return exponent - 7


def defined(row, group_size):
    """Codes, shifts and the exponent of the unit of one token, by the module's text."""
    groups = [[Fraction(float(value)) for value in row[start:start + group_size]]
        for start in range(0, len(row), group_size)]
    steps  = [step_of(group) for group in groups]
    unit   = max([step - SHIFT_LIMIT for step in steps if step is not None], default=-126)
    unit   = max(unit, -126)
    shifts = [0 if step is None else min(max(step - unit, 0), SHIFT_LIMIT) for step in steps]
    codes  = [min(round(value/Fraction(2)**(unit + shift)), 127)  # round() takes ties to even
        for group, shift in zip(groups, shifts, strict=True) for value in group]
    return codes, shifts, unit


def check(x, group_size):
    codes, shifts, unit = align(x, group_size)
    assert (codes.dtype, shifts.dtype, unit.dtype) == (np.int8, np.uint8, np.float32)
    for token, row in enumerate(x):
        wanted = defined(row, group_size)
        assert (codes[token].tolist(), shifts[token].tolist()) == wanted[:2]
        assert Fraction(float(unit[token])) == Fraction(2)**wanted[2]


@pytest.mark.parametrize("group_size", [32, 64, 96])
@pytest.mark.parametrize("seed", range(6))
def test_random_activations(seed, group_size):
    rng = np.random.default_rng([seed, group_size])
    x = rng.standard_normal((6, 192)).astype(np.float32)
    x *= np.float32(2)**rng.integers(-24, 3, (6, 192//32)).astype(np.float32).repeat(32, axis=1)
    check(x, group_size)
    check(x.astype(np.float16), group_size)


@pytest.mark.parametrize("seed", range(20))
def test_special_values_meet(seed):
    rng = np.random.default_rng(seed)
    x = np.zeros((8, 128), np.float32)
    places = rng.integers(0, 128, (8, 6))
    np.put_along_axis(x, places, rng.choice(SPECIAL, places.shape), axis=1)
    check(x, 32)


@pytest.mark.parametrize("value", SPECIAL)
def test_special_values_alone(value):
    x = np.zeros((1, 64), np.float32)
    x[0, 40] = value
    check(x, 32)


def test_ties_go_to_even_and_the_top_is_cut():
    x = np.zeros((1, 32), np.float32)
    x[0, :7] = 127.75, 127.5, 126.5, 125.5, 0.5, 1.5, -2.5  # the largest is below 128: steps of 1
    x[0, 7:10] = -127.5, -127.75, 127.25
    codes, shifts, unit = align(x, 32)
    assert codes[0, :10].tolist() == [127, 127, 126, 126, 0, 2, -2, -128, -128, 127]
    assert shifts.tolist() == [[SHIFT_LIMIT]] and unit[0] == 2.0**-SHIFT_LIMIT


def test_a_group_far_below_the_largest_is_shifted_out():
    x = np.zeros((1, 128), np.float32)
    x[0, ::32] = 1.0, 2.0**-15, 2.0**-20, 2.0**-23
    codes, shifts, _ = align(x, 32)
    assert shifts.tolist() == [[SHIFT_LIMIT, 0, 0, 0]]
    assert codes[0, ::32].tolist() == [64, 64, 2, 0]


def test_every_fp16_alone_is_within_half_a_step_or_the_top():
    every = np.arange(1 << 16, dtype=np.uint16).view(np.float16)
    every = every[np.isfinite(every)]
    x = np.zeros((len(every), 32), np.float16)
    x[:, 9] = every
    found, shifts, unit = align(x, 32)
    codes, step = found[:, 9].astype(int), np.ldexp(unit.astype(np.float64), shifts[:, 0])
    off = np.abs(codes*step - every)
    assert ((off <= step/2) | (codes == 127) & (off < step)).all()
    assert (np.abs(codes[every != 0]) >= 64).all()


def test_zeros_and_no_tokens():
    codes, shifts, unit = align(np.zeros((2, 64), np.float32), 32)
    assert not codes.any() and not shifts.any() and unit.tolist() == [2.0**-126]*2
    codes, shifts, unit = align(np.zeros((0, 64), np.float32), 32)
    assert codes.shape == (0, 64) and shifts.shape == (0, 2) and unit.shape == (0,)


@pytest.mark.parametrize("bad", [np.inf, -np.inf, np.nan])
def test_not_finite(bad):
    x = np.zeros((2, 64), np.float32)
    x[1, 40] = bad
    with pytest.raises(RangeError, match="finite"):
        align(x, 32)
