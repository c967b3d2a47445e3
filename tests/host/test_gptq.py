# SPDX-License-Identifier: BSD-2-Clause
"""GPTQ: it lowers the error that it is meant to lower, and refuses what it cannot take."""

import numpy as np
import pytest

import mixpe
from mixpe.errors import DtypeError, RangeError, ShapeError
from mixpe.quant import gptq


def correlated(rng, tokens, k):
    """Inputs as a network has them: few directions carry most of the power."""
    return (rng.normal(size=(tokens, k // 4)) @ rng.normal(size=(k // 4, k)) + 0.3 * rng.normal(size=(tokens, k)))


def output_error(w, matrix, x):
    return float((((w - matrix.dequantize()) @ x.T)**2).sum())


@pytest.mark.parametrize("n, k, group_size", [(16, 128, 32), (24, 256, 128), (8, 96, 96), (8, 100, 32), (4, 64, None)])
def test_output_error_is_below_round_to_nearest(n, k, group_size):
    rng = np.random.default_rng([n, k])
    w = rng.normal(size=(n, k)).astype(np.float32)
    x = correlated(rng, 4 * k, k)
    matrix = gptq.quantize(w, x.T @ x, group_size)
    nearest = mixpe.quantize(w, group_size)
    assert (matrix.shape, matrix.group_size) == (nearest.shape, nearest.group_size)
    assert output_error(w, matrix, x) < 0.6 * output_error(w, nearest, x)


def test_white_inputs_need_no_compensation_and_still_do_not_hurt():
    rng = np.random.default_rng(1)
    w = rng.normal(size=(16, 128)).astype(np.float32)
    x = rng.normal(size=(20000, 128))
    assert output_error(w, gptq.quantize(w, x.T @ x, 32), x) <= 1.01 * output_error(w, mixpe.quantize(w, 32), x)


def test_exact_weights_stay_exact():
    rng = np.random.default_rng(2)
    steps = rng.integers(0, 16, (8, 64)).astype(np.float32)
    steps[:, ::32], steps[:, 1::32] = 0, 15
    w = (steps - 7) * np.float32(0.25)
    x = correlated(rng, 256, 64)
    np.testing.assert_array_equal(gptq.quantize(w, x.T @ x, 32).dequantize(), w)


def test_inputs_that_are_always_zero_and_weights_of_zero():
    rng = np.random.default_rng(3)
    w = rng.normal(size=(8, 64)).astype(np.float32)
    w[2] = 0
    x = correlated(rng, 256, 64)
    x[:, 10:20] = 0
    matrix = gptq.quantize(w, x.T @ x, 32)
    assert np.isfinite(matrix.dequantize()).all()
    assert not matrix.dequantize()[2].any()
    gptq.quantize(w, np.zeros((64, 64)), 32)


@pytest.mark.parametrize("w, hessian, options, error, message", [
    (np.zeros((4, 32), int),    np.eye(32), {},                 DtypeError, "floats, not int64"),
    ([[1.0]],                   np.eye(1),  {},                 DtypeError, "floats, not list"),
    (np.zeros(32),              np.eye(32), {},                 ShapeError, "two axes"),
    (np.zeros((0, 32)),         np.eye(32), {},                 ShapeError, "neither empty"),
    (np.zeros((4, 32)),         np.eye(31), {},                 ShapeError, r"\(32, 32\).*not \(31, 31\)"),
    (np.full((4, 32), np.inf),  np.eye(32), {},                 RangeError, "must be finite"),
    (np.zeros((4, 32)),         np.eye(32), {"damping": 0},     RangeError, "damping must be positive"),
    (np.zeros((4, 32)),         np.eye(32), {"group_size": 48}, RangeError, "group_size must be one of"),
    (np.full((4, 32), 1e7),     np.eye(32), {},                 RangeError, "scale"),
])
def test_wrong_input_is_refused(w, hessian, options, error, message):
    with pytest.raises(error, match=message):
        gptq.quantize(w, hessian, **options)
