# SPDX-License-Identifier: BSD-2-Clause
"""Quantisation against its definition, one weight at a time, and at the edges of FP16."""

import numpy as np
import pytest

import mixpe
from mixpe.errors import DtypeError, RangeError, ShapeError
from mixpe_gateware.contract.layout import unpack_nibbles

GROUPS = [32, 64, 128, 256, None]


def by_definition(w, span, symmetric, bits):
    """The module's formulas, a group at a time, in FP32."""
    n, k = w.shape
    top, middle = (1 << bits) - 1, 1 << (bits - 1)
    q = np.empty((n, k), np.uint8)
    scales, zeros = [], []
    for row in range(n):
        for start in range(0, k, span):
            group = w[row, start:start + span]
            low, high = min(np.float32(0), group.min()), max(np.float32(0), group.max())
            if symmetric:
                s, z = np.float16(max(-low, high)/np.float32(middle - 1)), middle
            else:
                s = np.float16((high - low)/np.float32(top))
                z = 0 if s == 0 else int(np.clip(np.rint(-low/np.float32(s)), 0, top))
            scales.append(s)
            zeros.append(z)
            steps = np.zeros(len(group)) if s == 0 else np.rint(group/np.float32(s))
            q[row, start:start + span] = np.clip(steps + z, 0, top)
    return q, np.array(scales).reshape(n, -1), np.array(zeros).reshape(n, -1)


@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("symmetric", [False, True])
@pytest.mark.parametrize("group_size", GROUPS)
@pytest.mark.parametrize("n, k", [(1, 1), (3, 31), (2, 32), (5, 100), (9, 256), (2, 700)])
def test_is_its_definition(n, k, group_size, symmetric, bits):
    rng = np.random.default_rng(n*k + bits)
    w = (rng.standard_normal((n, k))*rng.choice([0.01, 1, 30], (n, 1))).astype(np.float32)
    w[:, ::7] = 0
    matrix = mixpe.quantize(w, group_size, symmetric, bits)
    q, scales, zeros = by_definition(w, group_size or k, symmetric, bits)
    np.testing.assert_array_equal(matrix.scales, scales)
    np.testing.assert_array_equal(matrix.zeros, zeros)
    np.testing.assert_array_equal(matrix.q, q)
    assert matrix.shape == (n, k) and matrix.bits == bits and matrix.group_size == (group_size or k)


def test_blocks_do_not_show():
    """A matrix of several working blocks is quantised row by row as each row alone."""
    w = np.random.default_rng(4).standard_normal((80, 2048)).astype(np.float32)
    whole = mixpe.quantize(w)
    for row in (0, 31, 32, 79):
        alone = mixpe.quantize(w[row:row + 1])
        np.testing.assert_array_equal(whole.packed[row], alone.packed[0])
        np.testing.assert_array_equal(whole.scales[row], alone.scales[0])


def test_ties_go_to_even():
    """s = 1 exactly: halves round to the even neighbour, before the zero point is added."""
    w = np.zeros((1, 32), np.float32)
    w[0, :10] = [-5, 10, 0.5, 1.5, 2.5, -0.5, -1.5, -2.5, 9.5, -4.5]
    matrix = mixpe.quantize(w, 32)
    assert matrix.scales[0, 0] == 1 and matrix.zeros[0, 0] == 5
    assert (matrix.q[0, :10].astype(int) - 5).tolist() == [-5, 10, 0, 2, 2, 0, -2, -2, 10, -4]


@pytest.mark.parametrize("dtype", [np.float16, np.float64])
def test_other_floats_are_float32_first(dtype):
    w = np.random.default_rng(5).standard_normal((4, 128)).astype(dtype)
    np.testing.assert_array_equal(mixpe.quantize(w).packed, mixpe.quantize(w.astype(np.float32)).packed)


def test_strided_input():
    w = np.random.default_rng(6).standard_normal((256, 8)).astype(np.float32)
    np.testing.assert_array_equal(mixpe.quantize(w.T).packed, mixpe.quantize(w.T.copy()).packed)


@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("symmetric", [False, True])
def test_groups_of_zeros_are_exactly_zero(symmetric, bits):
    w = np.zeros((2, 64), np.float32)
    w[1, 40] = 3
    matrix = mixpe.quantize(w, 32, symmetric, bits)
    assert matrix.scales[0].tolist() == [0, 0] and matrix.scales[1, 0] == 0
    np.testing.assert_array_equal(matrix.dequantize()[0], 0)
    np.testing.assert_array_equal(matrix.dequantize()[1, :40], 0)


@pytest.mark.parametrize("value", [1e-45, 1e-30, 1e-9, 2.0**-26])
@pytest.mark.parametrize("symmetric", [False, True])
def test_scales_that_would_underflow(value, symmetric):
    w = np.full((1, 32), value, np.float32)
    matrix = mixpe.quantize(w, 32, symmetric)
    assert matrix.scales[0, 0] == np.float16(2.0**-24)
    assert np.abs(matrix.dequantize() - w).max() <= 2.0**-25


@pytest.mark.parametrize("bits, largest", [(4, 65504), (8, 4094)])
def test_scales_that_would_overflow(bits, largest):
    top = (1 << bits) - 1
    w = np.zeros((2, 32), np.float32)
    w[1, 3] = largest*top
    assert mixpe.quantize(w, 32, False, bits).scales[1, 0] == np.float16(largest)
    w[1, 3] = largest*top*1.01
    with pytest.raises(RangeError, match="needs a scale over"):
        mixpe.quantize(w, 32, False, bits)
    w[1, 3] = -3e38
    w[1, 4] = 3e38
    with pytest.raises(RangeError, match="3e.38"):
        mixpe.quantize(w, 32, False, bits)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("place", [(0, 0), (3, 99), (2, 50)])
def test_not_finite(bad, place):
    w = np.ones((4, 100), np.float32)
    w[place] = bad
    with pytest.raises(RangeError, match="finite"):
        mixpe.quantize(w, 32)


@pytest.mark.parametrize("w, error, text", [
    (np.ones((4, 64), np.int32), DtypeError, "int32"), (np.ones((4, 64), complex), DtypeError, "complex"),
    ([["1"]], DtypeError, "lists of w"), (np.ones(64, np.float32), ShapeError, r"\(64,\)"),
    (np.ones((2, 2, 2), np.float32), ShapeError, r"\(2, 2, 2\)"),
    (np.ones((0, 64), np.float32), ShapeError, r"\(0, 64\)"),
    (np.ones((4, 0), np.float32), ShapeError, r"\(4, 0\)"), (np.ones((1, 65537), np.float32), ShapeError, "65537"),
])
def test_no_weight_matrix(w, error, text):
    with pytest.raises(error, match=text):
        mixpe.quantize(w)


@pytest.mark.parametrize("group_size, error", [
    (0, RangeError), (16, RangeError), (48, RangeError), (-128, RangeError), (512, RangeError),
    ("128", DtypeError), (128.0, DtypeError), (True, DtypeError),
])
def test_group_sizes_that_do_not_exist(group_size, error):
    with pytest.raises(error, match="group_size"):
        mixpe.quantize(np.ones((4, 300), np.float32), group_size)


@pytest.mark.parametrize("bits", [0, 2, 3, 16, "4"])
def test_bits_that_do_not_exist(bits):
    with pytest.raises(RangeError, match="bits"):
        mixpe.quantize(np.ones((4, 64), np.float32), bits=bits)


def test_padding_is_zero_weights():
    matrix = mixpe.quantize(np.full((3, 40), 2.0, np.float32), 64)
    padded = unpack_nibbles(matrix.packed)
    assert padded.shape == (3, 64)
    np.testing.assert_array_equal(padded[:, 40:], np.repeat(matrix.zeros, 24, axis=1))


# Activations.

@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_activations(dtype):
    x = np.random.default_rng(7).standard_normal((20, 50)).astype(dtype)
    codes, act_scales = mixpe.quantize_activations(x)
    assert codes.dtype == np.int8 and act_scales.dtype == np.float32
    largest = np.abs(x.astype(np.float32)).max(axis=1)
    np.testing.assert_array_equal(act_scales, largest/np.float32(127))
    np.testing.assert_array_equal(np.abs(codes).max(axis=1), 127)
    assert (np.abs(codes*act_scales[:, None] - x) <= 0.5001*act_scales[:, None]).all()


def test_activation_edges():
    x = np.zeros((5, 4), np.float32)
    x[1, 0] = 1e-45
    x[2] = [127, 0.5, 1.5, -127]
    x[3, 1] = -3e38
    codes, act_scales = mixpe.quantize_activations(x)
    assert act_scales[[0, 1, 4]].tolist() == [1, 1, 1] and not codes[[0, 1, 4]].any()
    assert codes[2].tolist() == [127, 0, 2, -127]
    assert codes[3].tolist() == [0, -127, 0, 0]
    assert mixpe.quantize_activations(np.zeros((0, 4), np.float32))[0].shape == (0, 4)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_activations_not_finite(bad):
    with pytest.raises(RangeError, match="finite"):
        mixpe.quantize_activations(np.array([[1, bad]], np.float32))
