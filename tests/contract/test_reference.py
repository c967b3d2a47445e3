# SPDX-License-Identifier: BSD-2-Clause
"""The reference arithmetic against exact rational numbers and hand-made cases."""

from fractions import Fraction

import numpy as np
import pytest

from mixpe_gateware.contract.errors import DtypeError, RangeError, ShapeError
from mixpe_gateware.contract.reference import accumulate, dequantise, output, partials, row_sums, split_float16
from mixpe_gateware.contract.scaling import Form, Scaling


def round_exactly(value):
    """Nearest FP32 of a Fraction, ties to even, by the definition."""
    near = np.float32(value.numerator/value.denominator)  # right to one step, which the search below repairs
    candidates = [near, np.nextafter(near, np.float32(np.inf)), np.nextafter(near, np.float32(-np.inf))]
    return min(candidates, key=lambda c: (abs(Fraction(float(c)) - value), int(c.view(np.uint32)) & 1))


def accumulate_exactly(partial, sums, scales, zeros, shifts=None):
    m, n, groups = partial.shape
    out = np.empty((m, n), np.float32)
    for i in range(m):
        for j in range(n):
            total = sum(Fraction(float(scales[j, g]))*2**(0 if shifts is None else int(shifts[i, g]))
                *(int(partial[i, j, g]) - int(zeros[j, g])*int(sums[i, g])) for g in range(groups))
            out[i, j] = round_exactly(Fraction(total))
    return out


def same_bits(found, expected):
    np.testing.assert_array_equal(found.view(np.uint32), expected.view(np.uint32))


@pytest.mark.parametrize("group_size", [32, 64, 128, 256, 1024])
def test_partials_at_the_extremes(group_size):
    x = np.repeat(np.array([[-128], [127], [0], [-1]], np.int8), 2*group_size, axis=1)
    q = np.repeat(np.array([[15], [0], [1]], np.uint8), 2*group_size, axis=1)
    expected = group_size*np.array([[-1920, 0, -128], [1905, 0, 127], [0, 0, 0], [-15, 0, -1]])
    found = partials(x, q, group_size)
    assert found.dtype == np.int32
    np.testing.assert_array_equal(found, np.repeat(expected[:, :, None], 2, axis=2))
    np.testing.assert_array_equal(row_sums(x, group_size), group_size*np.array([[-128]*2, [127]*2, [0]*2, [-1]*2]))


@pytest.mark.parametrize("seed", range(6))
def test_partials_are_integer_sums(seed):
    rng = np.random.default_rng(seed)
    m, n, groups, group_size = rng.integers(1, 5), rng.integers(1, 9), rng.integers(1, 5), 32
    x = rng.integers(-128, 128, (m, groups*group_size), np.int8)
    q = rng.integers(0, 16, (n, groups*group_size), np.uint8)
    expected = np.einsum("mgi,ngi->mng", x.reshape(m, groups, -1), q.reshape(n, groups, -1), dtype=np.int64)
    np.testing.assert_array_equal(partials(x, q, group_size), expected)


def test_longest_reduction_is_exact():
    """One group of 16 384 largest products: beyond what FP32 holds."""
    x = np.full((1, 16384), -128, np.int8)
    q = np.full((1, 16384), 15, np.uint8)
    x[0, 0], q[0, 0] = 1, 1
    assert partials(x, q, 16384)[0, 0, 0] == -128*15*16383 + 1


@pytest.mark.parametrize("bits, mantissa, shift", [
    (0x0000, 0, 0), (0x8000, 0, 0), (0x0001, 1, 0), (0x8001, -1, 0), (0x03FF, 1023, 0), (0x0400, 1024, 0),
    (0x07FF, 2047, 0), (0x0800, 1024, 1), (0x3C00, 1024, 14), (0xBC00, -1024, 14), (0x7BFF, 2047, 29),
])
def test_fp16_as_integers(bits, mantissa, shift):
    scale = np.array([bits], np.uint16).view(np.float16)
    found = split_float16(scale)
    assert (int(found[0][0]), int(found[1][0])) == (mantissa, shift)
    assert float(scale[0]) == mantissa*2.0**(shift - 24)


def test_every_finite_fp16_is_split_exactly():
    scales = np.arange(1 << 16, dtype=np.uint16).view(np.float16)
    scales = scales[np.isfinite(scales)]
    mantissa, shift = split_float16(scales)
    np.testing.assert_array_equal(np.ldexp(mantissa.astype(np.float64), shift - 24), scales.astype(np.float64))


@pytest.mark.parametrize("bits", [0x7C00, 0xFC00, 0x7E00, 0x7C01])
def test_scales_that_are_not_finite(bits):
    with pytest.raises(RangeError, match="finite"):
        split_float16(np.array([bits], np.uint16).view(np.float16))


@pytest.mark.parametrize("total, rounded", [
    (2**24, 2**24), (2**24 + 1, 2**24), (2**24 + 2, 2**24 + 2), (2**24 + 3, 2**24 + 4), (2**25 + 2, 2**25),
    (2**25 + 6, 2**25 + 8), (-(2**24 + 1), -(2**24)), (-(2**24 + 3), -(2**24 + 4)), (2**26 - 1, 2**26),
])
def test_ties_go_to_even(total, rounded):
    """Scale 1, zero point 0, two groups: the sum lies exactly between two FP32, or at the end of a binade."""
    half = total//2
    partial = np.array([[[half, total - half]]])
    found = accumulate(partial, np.zeros((1, 2), np.int32), np.ones((1, 2), np.float16), np.zeros((1, 2), np.uint8))
    assert found[0, 0] == rounded


def test_one_rounding_only():
    """2^24 + 1 + 2^-24: rounding term by term would lose the last term and then tie to even, downwards."""
    partial = np.array([[[2**24, 1, 1]]])
    scales = np.array([[1, 1, 2.0**-24]], np.float16)
    found = accumulate(partial, np.zeros((1, 3), np.int32), scales, np.zeros((1, 3), np.uint8))
    assert found[0, 0] == 2**24 + 2


def test_exact_cancellation_is_plus_zero():
    found = accumulate(np.array([[[15, -15]]]), np.array([[1, -1]]), np.array([[-2, -2]], np.float16),
        np.array([[15, 15]], np.uint8))
    assert found.view(np.uint32)[0, 0] == 0


SCALES = {
    "alike":     lambda rng, shape: (0.01 + 0.02*rng.random(shape)).astype(np.float16),
    "any":       lambda rng, shape: rng.integers(0, 0x7C00, shape, np.uint16).view(np.float16),
    "negative":  lambda rng, shape: rng.integers(0x8000, 0xFC00, shape, np.uint16).view(np.float16),
    "subnormal": lambda rng, shape: rng.integers(0, 0x400, shape, np.uint16).view(np.float16),
    "with zero": lambda rng, shape: (rng.integers(0, 2, shape)*rng.random(shape)).astype(np.float16),
    "zero":      lambda rng, shape: np.zeros(shape, np.float16),
}


@pytest.mark.parametrize("kind", SCALES)
@pytest.mark.parametrize("factor, with_shifts", [(1, False), (256, False), (256, True), (1 << 24, True)])
def test_accumulate_is_the_rounded_exact_sum(kind, factor, with_shifts):
    """The three ways inside (FP64, 64-bit integers, unlimited integers) are all one exact sum, rounded once."""
    rng = np.random.default_rng(len(kind)*factor)
    m, n, groups = 3, 7, 5
    partial = rng.integers(-128*15*128, 127*15*128, (m, n, groups))*factor
    sums    = rng.integers(-128*128, 127*128, (m, groups))*factor
    zeros   = rng.integers(0, 16, (n, groups), np.uint8)
    shifts  = rng.integers(0, 16, (m, groups), np.uint8) if with_shifts else None
    scales  = SCALES[kind](rng, (n, groups))
    operands = partial, sums, scales, zeros, shifts
    same_bits(accumulate(*operands), accumulate_exactly(*operands))


def dequantise_exactly(partial, sums, scaling, shifts):
    m, n, groups = partial.shape
    out = np.empty((m, n), np.float32)
    for i, j in np.ndindex(m, n):
        total = Fraction(0)
        for g in range(groups):
            level = g if scaling.factors is None else g//8
            a, b  = (1, 1) if scaling.factors is None else scaling.factors[j, g].tolist()
            total += 2**(0 if shifts is None else int(shifts[i, g]))*(
                Fraction(float(scaling.scales[j, level]))*a*int(partial[i, j, g])
                + Fraction(float(scaling.minima[j, level]))*b*int(sums[i, g]))
        out[i, j] = round_exactly(total)
    return out


@pytest.mark.parametrize("form", [Form.MINIMUM, Form.TWO_LEVEL])
@pytest.mark.parametrize("kinds", [("alike", "negative"), ("any", "any"), ("negative", "subnormal"), ("zero", "alike"),
    ("with zero", "zero"), ("subnormal", "any")])
@pytest.mark.parametrize("factor, with_shifts", [(1, False), (256, True), (1 << 24, True)])
def test_minima_are_added_to_the_exact_sum(form, kinds, factor, with_shifts):
    rng = np.random.default_rng([factor, *map(ord, kinds[0])])
    m, n, groups = 2, 3, 16
    entries = groups if form == Form.MINIMUM else groups//8
    partial = rng.integers(-128*15*32, 127*15*32, (m, n, groups))*factor
    sums    = rng.integers(-128*32, 127*32, (m, groups))*factor
    shifts  = rng.integers(0, 16, (m, groups), np.uint8) if with_shifts else None
    scales, minima = (SCALES[kind](rng, (n, entries)) for kind in kinds)
    scaling = Scaling(scales, minima=minima,
        factors=rng.integers(0, 64, (n, groups, 2), np.uint8) if form == Form.TWO_LEVEL else None)
    operands = partial, sums, scaling, shifts
    same_bits(dequantise(*operands), dequantise_exactly(*operands))


def test_zeros_are_dequantised_as_before():
    rng = np.random.default_rng(0)
    partial, sums = rng.integers(-999, 999, (2, 3, 4)), rng.integers(-99, 99, (2, 4))
    scales, zeros = SCALES["any"](rng, (3, 4)), rng.integers(0, 16, (3, 4), np.uint8)
    same_bits(dequantise(partial, sums, Scaling(scales, zeros)), accumulate(partial, sums, scales, zeros))


def test_largest_minima_and_what_cancels():
    """All factors at their largest, and a minimum that takes away exactly what the weights bring."""
    scales  = np.full((1, 1), 65504, np.float16)
    scaling = Scaling(scales, minima=-scales, factors=np.full((1, 8, 2), 63, np.uint8))
    largest = np.full((1, 1, 8), 15*128*32)
    for sums, expected in ((np.full((1, 8), -4096), 8*63*65504*(15*128*32 + 4096)), (largest[0], 0)):
        found = dequantise(largest, sums, scaling)
        assert found[0, 0] == np.float32(expected) and not np.signbit(found[0, 0])


def test_no_tokens():
    found = accumulate(np.zeros((0, 3, 2), np.int32), np.zeros((0, 2), np.int32), np.ones((3, 2), np.float16),
        np.zeros((3, 2), np.uint8))
    assert found.shape == (0, 3) and found.dtype == np.float32


def test_output_is_one_fp32_product():
    sums = np.array([[3.3, -1.7]], np.float32)
    found = output(sums, np.array([0.1], np.float32))
    assert found.dtype == np.float32
    assert found[0, 0] == np.float32(np.float32(3.3)*np.float32(0.1))


def test_bad_input():
    x, q = np.zeros((1, 64), np.int8), np.zeros((1, 64), np.uint8)
    with pytest.raises(DtypeError, match="int8.*float32"):
        partials(x.astype(np.float32), q, 32)
    with pytest.raises(DtypeError, match="list"):
        partials([[1]], q, 32)
    with pytest.raises(ShapeError, match="48"):
        partials(x, q, 48)
    with pytest.raises(ShapeError, match="k=32.*k=64"):
        partials(x[:, :32], q, 32)
    with pytest.raises(ShapeError, match="two axes"):
        partials(x[0], q, 32)
    with pytest.raises(RangeError, match="16"):
        partials(x, q + np.uint8(16), 32)
