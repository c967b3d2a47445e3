# SPDX-License-Identifier: BSD-2-Clause
"""From tensors to matrices: exact where the numbers allow it, refused or measured where they do not."""

import math
from itertools import product

import numpy as np
import pytest

from mixpe.errors import ModelError, RangeError
from mixpe.formats.convert import device_group, exact_matrix, rounded_matrix, stored_form, stored_matrix
from mixpe.formats.ggml_blocks import TYPES, block_tensor
from mixpe.formats.groups import GroupedTensor, Groups
from mixpe.formats.requantize import requantize
from mixpe.formats.tensor import FloatTensor
from mixpe.quant.matrix import Int4Matrix, Int8Matrix
from mixpe.quant.sqnr import sqnr_db
from mixpe_gateware.contract.scaling import Form


class Held(GroupedTensor):
    """A tensor of given codes, scales and zeros."""

    def __init__(self, codes, scales, zeros, group_size, bits=4, permutation=None):
        super().__init__("w", codes.shape, "held", codes.nbytes, bits=bits, group_size=group_size, form=Form.ZERO,
            permutation=permutation)
        self._parts = codes, scales, zeros

    def stored(self, rows):
        codes, scales, zeros = (part[rows] for part in self._parts)
        return Groups(codes, scales, self.group_size, zeros)


def held(n, k, group_size, bits=4, seed=0, dtype=np.float16, **more):
    rng    = np.random.default_rng(seed)
    groups = -(-k//group_size)
    return Held(rng.integers(0, 1 << bits, (n, k), np.uint8), (0.1*rng.standard_normal((n, groups))).astype(dtype),
        rng.integers(0, 1 << bits, (n, groups), np.uint8), group_size, bits, **more)


def blocks(name, shape, seed=0):
    gguf    = pytest.importorskip("gguf")
    libgguf = pytest.importorskip("libgguf")
    kind    = gguf.GGMLQuantizationType[name]
    weights = np.random.default_rng(seed).standard_t(5, shape).astype(np.float32)
    data    = libgguf.quantize_rows(weights, kind)
    return block_tensor("w", TYPES[int(kind)], data.reshape(-1), shape)


@pytest.mark.parametrize("bits, group_size, k", [*product((4, 8), (32, 64, 128, 256), (256, 512)),
    (4, 512, 512), (4, 40, 40), (8, 1, 1), (4, 128, 200), (8, 64, 96), (4, 512, 1024), (4, 96, 192), (4, 1024, 1536)])
def test_matrix_is_the_tensor(bits, group_size, k):
    tensor = held(11, k, group_size, bits)
    matrix = exact_matrix(tensor)
    assert type(matrix) is (Int4Matrix if bits == 4 else Int8Matrix) and matrix.shape == tensor.shape
    assert matrix.dequantize().tobytes() == tensor.dequantize().tobytes()
    assert (matrix.q == tensor.groups().codes).all()
    assert matrix.group_size == device_group(tensor)


FORMS = {"Q4_0": Form.ZERO, "Q5_0": Form.ZERO, "Q8_0": Form.ZERO, "Q4_1": Form.MINIMUM, "Q5_1": Form.MINIMUM,
         "Q4_K": Form.TWO_LEVEL, "Q5_K": Form.TWO_LEVEL}


@pytest.mark.parametrize("name", FORMS)
def test_blocks_in_groups_of_32_are_exact(name):
    tensor = blocks(name, (600, 512))  # more than one span
    assert len(list(tensor.spans())) > 1
    matrix = exact_matrix(tensor)
    assert (matrix.form, matrix.bits) == (FORMS[name], 4 if name.startswith("Q4") else 8)
    assert matrix.dequantize().tobytes() == tensor.dequantize().tobytes()
    assert (matrix.q == tensor.groups().codes).all()
    gguf = pytest.importorskip("gguf")
    data = tensor._blocks(slice(None)).reshape(600, -1)
    assert matrix.dequantize().tobytes() == gguf.quants.dequantize(data, gguf.GGMLQuantizationType[name]).tobytes()


@pytest.mark.parametrize("name", ["Q6_K", "Q3_K", "Q2_K"])
def test_groups_of_16_are_floats(name):
    tensor = blocks(name, (8, 256))
    for convert in (exact_matrix, rounded_matrix):
        with pytest.raises(ModelError, match="requantize"):
            convert(tensor)


@pytest.mark.parametrize("name", FORMS)
def test_a_minimum_is_never_taken_for_an_integer_zero(name):
    """Where a device has none, the weights are quantised again."""
    tensor = blocks(name, (8, 256))
    found  = stored_matrix(tensor, minima=False)
    if FORMS[name] is Form.ZERO:
        assert found.matrix.dequantize().tobytes() == tensor.dequantize().tobytes() and not found.change
        return
    expected, decibels = requantize(tensor)
    assert found.matrix.dequantize().tobytes() == expected.dequantize().tobytes() and found.matrix.form is Form.ZERO
    assert found.change == "requantised to 8 bits in groups of 32" and found.decibels == decibels > 40
    assert stored_matrix(tensor).matrix.form is FORMS[name] and not stored_matrix(tensor).change


@pytest.mark.parametrize("name", ["Q5_0", "Q5_1", "Q8_0", "Q5_K", "Q4_1"])
def test_scales_that_two_planes_do_not_hold(name):
    """16·s is no FP16 over 4094; 4 bits have one plane and take any."""
    tensor = blocks(name, (8, 256))
    data   = tensor._blocks._data
    data[5, 0, :2] = np.float16([-4096]).view(np.uint8)
    data[5, 0, 2 if name != "Q5_K" else 4:] = 0  # codes, or factors, so that no weight is large but by its scale
    if name == "Q5_K":
        data[5, 0, 4] = 1
    found = stored_matrix(tensor)
    if name == "Q4_1":
        assert not found.change and found.matrix.dequantize().tobytes() == tensor.dequantize().tobytes()
        return
    with pytest.raises(RangeError, match="4094"):
        exact_matrix(tensor)
    assert found.change == "requantised to 8 bits in groups of 32" and found.decibels > 40
    assert stored_form(tensor).form is found.matrix.form is Form.ZERO
    assert stored_form(blocks(name, (8, 256))).form is FORMS[name]


def test_floats_become_a_matrix_only_by_requantisation():
    tensor = FloatTensor("w", "F32", np.ones((4, 32), np.float32))
    with pytest.raises(ModelError, match="gives weights as floats"):
        exact_matrix(tensor)
    with pytest.raises(ModelError, match="only a matrix"):
        requantize(FloatTensor("w", "F32", np.ones(4, np.float32)))


def test_groups_that_no_device_has():
    for group_size in (16, 48, 8, 33):
        with pytest.raises(ModelError, match=f"groups of {group_size}"):
            exact_matrix(held(4, 96 if group_size != 33 else 99, group_size))
    assert device_group(held(2, 768, 384)) == 128


def test_scales_that_are_no_fp16():
    tensor = held(700, 256, 64, 8, dtype=np.float32)
    with pytest.raises(ModelError, match="no FP16"):
        exact_matrix(tensor)
    matrix, decibels = rounded_matrix(tensor)
    assert decibels == pytest.approx(sqnr_db(tensor.dequantize(), matrix.dequantize()), abs=0.01)
    assert 65 < decibels < 85
    assert (matrix.q == tensor.groups().codes).all()
    exact = held(4, 64, 32)
    assert rounded_matrix(exact)[1] == math.inf
    bfloat = held(4, 64, 32, dtype=np.float32)
    bfloat._parts[1][...] = (bfloat._parts[1].view(np.uint32) & 0xFFFF0000).view(np.float32)
    assert exact_matrix(bfloat).dequantize().tobytes() == bfloat.dequantize().tobytes()
    bfloat._parts[1][0, 0] = 2.0**-18*(1 + 1/128)  # BF16, but under FP16's finest step
    with pytest.raises(ModelError, match="no FP16"):
        exact_matrix(bfloat)


def test_scales_out_of_range():
    tensor = held(4, 64, 32, 8)
    tensor._parts[1][2, 1] = 5000
    with pytest.raises(RangeError, match="4094"):
        exact_matrix(tensor)
    tensor = held(4, 64, 32, dtype=np.float32)
    tensor._parts[1][2, 1] = 1e6
    with pytest.raises(RangeError, match="finite FP16"):
        rounded_matrix(tensor)
    tensor._parts[1][2, 1] = np.nan
    for convert in (exact_matrix, rounded_matrix, requantize):
        with pytest.raises(ModelError, match="not finite"):
            convert(tensor)


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_columns_in_another_order(dtype):
    order  = np.random.default_rng(1).permutation(128)
    tensor = held(9, 128, 32, dtype=dtype, permutation=order)
    weights = tensor.dequantize()
    matrix, _ = rounded_matrix(tensor)
    assert np.abs(matrix.dequantize() - weights[:, order]).max() <= np.abs(weights).max()*2.0**-11
    x = np.random.default_rng(2).integers(-9, 9, (3, 128)).astype(np.float32)
    if dtype is np.float16:
        assert matrix.dequantize().tobytes() == weights[:, order].tobytes()
        assert np.allclose(x @ weights.T, x[:, order] @ matrix.dequantize().T, atol=1e-3)
    assert requantize(tensor)[0].shape == (9, 128)
    assert np.abs(requantize(tensor)[0].dequantize() - weights).max() < 0.01  # in the model's order


@pytest.mark.parametrize("name, least", [("Q4_1", 44), ("Q4_K", 44), ("Q5_K", 44), ("Q6_K", 44), ("Q3_K", 44),
    ("Q2_K", 44)])
def test_requantised_to_eight_bits(name, least):
    tensor = blocks(name, (300, 1024))
    matrix, decibels = requantize(tensor)
    assert type(matrix) is Int8Matrix and matrix.group_size == 32
    assert decibels > least
    assert decibels == pytest.approx(sqnr_db(tensor.dequantize(), matrix.dequantize()), abs=0.01)
    four, worse = requantize(tensor, 64, 4)
    assert type(four) is Int4Matrix and four.group_size == 64 and worse < 30
    assert requantize(tensor, None)[0].group_size == 1024


def test_no_loss_is_infinite():
    tensor = FloatTensor("w", "F32", np.zeros((4, 32), np.float32))
    assert requantize(tensor)[1] == math.inf
