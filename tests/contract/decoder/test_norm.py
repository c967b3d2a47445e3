# SPDX-License-Identifier: BSD-2-Clause
"""Sums of squares and RMS norm against fractions."""

from fractions import Fraction

import numpy as np
import pytest

from mixpe_gateware.contract.decoder.functions import reciprocal_root
from mixpe_gateware.contract.decoder.norm import rms_norm, square_sum
from mixpe_gateware.contract.errors import RangeError

LARGEST = np.float32(65536 - 2.0**-8)


def slow_sum(exact, row):
    total = 0
    for x in map(exact.read, row):
        mantissa, power = np.frexp(np.float32(float(abs(x))))
        short  = int(Fraction(float(mantissa))*2**18)           # 18 bits of it
        total += int(Fraction(short)**2*Fraction(2)**(2*(int(power) - 18) + 32))
    return exact.round(Fraction(total, 2**32)) if total else Fraction(0)


def rows():
    rng = np.random.default_rng(7)
    yield np.zeros(5, np.float32)
    yield np.float32([2.0**-16, 2.0**-17, 2.0**-126, 0])     # squares of 1, 0, 0, 0 units
    yield np.full(3, LARGEST)
    yield np.float32([32768, 2.0**-16])                      # 2^62 and 1: a sum between two FP32
    yield np.float32([32768, 4, 2.0**-16])                   # the same next to a tie
    yield np.float32([46340.95, 46340.95, 0.25])
    for width in (1, 64, 300):
        yield rng.normal(size=width).astype(np.float32)
        yield (rng.normal(size=width)*2.0**rng.integers(-20, 13, width)).astype(np.float32)


def test_sums_of_squares(exact):
    for row in rows():
        assert Fraction(float(square_sum(row))) == slow_sum(exact, row)


@pytest.mark.parametrize("upper", [2**20, 2**31 - 1, 2**31, 2**31 + 1, 2**39 + 2**15, 2**39 + 2**15 + 1])
def test_a_sum_is_rounded_once(exact, upper):
    """2^-32·(upper·2^32 + 1) for sums on both sides of 2^63, by squares of 2^14 and smaller."""
    parts, rest = [], upper
    for square in (2**28, 2**14, 1):
        count, rest = divmod(rest, square)
        parts.append(np.full(count, np.sqrt(square), np.float32))
    row = np.concatenate([*parts, np.float32([2.0**-16])])
    if len(row) <= 1 << 16:
        assert Fraction(float(square_sum(row))) == exact.round(upper + Fraction(1, 2**32))
    else:
        with pytest.raises(RangeError, match="at most 65536 values"):
            square_sum(row)


def test_80_bits(exact):
    row = np.full(1 << 16, LARGEST)
    assert Fraction(float(square_sum(row))) == slow_sum(exact, row[:1])*2**16


def test_order_does_not_matter():
    rng = np.random.default_rng(8)
    row = (rng.normal(size=4096)*2.0**rng.integers(-16, 12, 4096)).astype(np.float32)
    assert len({float(square_sum(rng.permutation(row))) for _ in range(10)}) == 1


def test_norm(exact):
    rng = np.random.default_rng(9)
    for row in rows():
        for eps in (1e-5, 1e-6, 2.0**-126):
            weight = rng.normal(1, .3, len(row)).astype(np.float32)
            mean   = exact.add(exact.multiply(slow_sum(exact, row), np.float32(1/len(row))), np.float32(eps))
            root   = reciprocal_root(np.float32(float(mean)))
            wanted = [exact.multiply(exact.multiply(x, root), w) for x, w in zip(row, weight, strict=True)]
            assert [Fraction(float(z)) for z in rms_norm(row, weight, eps)] == wanted


def test_norm_is_close_to_the_real_one():
    rng = np.random.default_rng(10)
    x = (rng.normal(size=(40, 576))*10.0**rng.uniform(-3, 3, (40, 1))).astype(np.float32)
    w = rng.normal(1, .3, 576).astype(np.float16).astype(np.float32)
    square = (x.astype(np.float64)**2).mean(axis=1, keepdims=True) + 1e-5
    real   = x/np.sqrt(square)*w
    bound  = 2.0**-14 + 2.0**-33/square
    assert (np.abs(rms_norm(x, w, 1e-5) - real) <= bound*np.abs(real)).all()


@pytest.mark.parametrize("bad", [65536.0, -65536.0, np.inf, np.nan])
def test_range(bad):
    with pytest.raises(RangeError, match="below 65536"):
        square_sum(np.float32([1, bad]))
