# SPDX-License-Identifier: BSD-2-Clause
"""ExactLinear against the reference arithmetic, to the bit."""

import numpy as np
import pytest

import mixpe
from mixpe.lm.exact import ExactLinear
from mixpe.quant.matrix import Int4Matrix, Int8Matrix
from mixpe.reference.product import ExactProduct
from mixpe_gateware.contract import narrow, reference, wide


def by_reference(matrix, x, activations):
    """Y by the formula of `contract.reference`, group by group."""
    padded = np.zeros((len(x), matrix.k_padded), np.float32)
    padded[:, :matrix.k] = x
    if activations == "a8":
        rows, unit = mixpe.quantize_activations(padded)
        shifts = None
    else:
        rows, shifts, unit = (wide if activations == "a16" else narrow).align(padded, matrix.span)
    grouped = rows.astype(np.int64).reshape(len(x), -1, matrix.span)
    partial = np.einsum("mgi,ngi->mng", grouped, matrix.q_padded.astype(np.int64).reshape(matrix.n, -1, matrix.span))
    sums    = grouped.sum(axis=2)
    return reference.output(reference.accumulate(partial, sums, matrix.scales, matrix.zeros, shifts), unit)


@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("activations", ["a8", "a8g", "a16"])
@pytest.mark.parametrize("m, n, k, group_size", [(1, 1, 32, 32), (3, 5, 128, 128), (7, 40, 512, 128), (2, 9, 300, 64)])
def test_equals_reference_on_random_layers(activations, m, n, k, group_size, bits):
    rng = np.random.default_rng([m, n, k, group_size])
    matrix = mixpe.quantize(rng.normal(size=(n, k)).astype(np.float32), group_size, bits=bits)
    x = rng.normal(size=(m, k)).astype(np.float32) * np.float32(10)**rng.integers(-3, 3, (m, 1)).astype(np.float32)
    x[0, : k // 2] = 0
    assert ExactLinear(matrix, activations)(x).tobytes() == by_reference(matrix, x, activations).tobytes()


@pytest.mark.parametrize("kind", [Int4Matrix, Int8Matrix])
@pytest.mark.parametrize("activations", ["a8", "a8g", "a16"])
def test_falls_back_where_float64_would_round(activations, kind):
    # Scales of one channel span all of FP16 and activations all of their range: the sum needs more than 53 bits.
    rng = np.random.default_rng(5)
    k = 512
    q = rng.integers(0, 16, (4, k), np.uint8)
    scales = np.tile(np.array([4e3, 6e-8, 1, 6e-8], np.float16), (4, 1))
    matrix = kind.from_parts(q, scales, rng.integers(0, 16, (4, 4)).astype(np.uint8), 128)
    x = rng.normal(size=(3, k)).astype(np.float32)
    x[:, 128:256] *= np.float32(2e4)
    assert ExactLinear(matrix, activations)(x).tobytes() == by_reference(matrix, x, activations).tobytes()
    a, shifts, _ = wide.align(x, 128)
    assert ExactProduct(matrix.dequantize(), matrix.scales, 128)(a, shifts)[1].any()  # A16 does not fit FP64


def test_zero_result_is_positive_zero():
    matrix = mixpe.quantize(np.full((2, 32), -1.0, np.float32), 32)
    y = ExactLinear(matrix)(np.zeros((1, 32), np.float32))
    assert y.tobytes() == np.zeros((1, 2), np.float32).tobytes()
