# SPDX-License-Identifier: BSD-2-Clause
"""compressed-tensors' layers against a packer written from its own lines."""

import numpy as np
import pytest

from mixpe.errors import ModelError
from mixpe.formats.compressed_tensors import PackedTensor
from mixpe.formats.convert import exact_matrix
from mixpe.formats.open import open_checkpoint

NAMES = {np.dtype("i4"): "I32", np.dtype("f2"): "F16", np.dtype("f4"): "F32", np.dtype("u2"): "BF16",
         np.dtype("i8"): "I64", np.dtype("i1"): "I8"}


def stored(parts):
    return {name: (NAMES[array.dtype], array) for name, array in parts.items()}


def random(n, k, group_size, bits=4, seed=0):
    rng    = np.random.default_rng(seed)
    groups = -(-k//group_size)
    return (rng.integers(0, 1 << bits, (n, k), np.uint8), rng.integers(0, 1 << bits, (n, groups), np.uint8),
            (0.02*rng.standard_normal((n, groups))).astype(np.float16))


def exact_of(q, z, s, g_idx):
    codes = q.astype(np.float64) - z.astype(np.float64)[:, g_idx]
    return (s.astype(np.float64)[:, g_idx]*codes).astype(np.float32)


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("bits", [4, 8])
def test_every_weight_is_the_one_that_was_written(tmp_path, small, bits, symmetric):
    exact = small.write_quantised(tmp_path, "compressed-tensors", small.architecture(), 32, bits, symmetric=symmetric)
    found = open_checkpoint(tmp_path)
    assert found.layout == "compressed-tensors" and not found.notes
    for name, values in exact.items():
        tensor = found.tensors[name]
        assert tensor.dequantize().tobytes() == values.tobytes(), name
        if tensor.form is not None:
            assert exact_matrix(tensor).dequantize().tobytes() == values.tobytes()
            for rows in (slice(3, 5), np.array([5, 0, 5])):
                assert tensor.dequantize(rows).tobytes() == values[rows].tobytes()


@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("n, k, group_size", [(13, 61, 61), (8, 100, 32), (9, 30, 30), (1, 1, 1)])
def test_sizes_that_are_no_whole_words(small, n, k, group_size, bits):
    q, z, s = random(n, k, group_size, bits)
    parts   = stored(small.packed_parts(q, z, s, bits))
    tensor  = PackedTensor("m", parts, [(bits, None if group_size == k else group_size)])
    assert tensor.dequantize().tobytes() == exact_of(q, z, s, np.arange(k)//group_size).tobytes()
    assert exact_matrix(tensor).dequantize().tobytes() == tensor.dequantize().tobytes()


def test_signs_by_hand():
    """Stored is the signed number + 8: 0x8 is 0; a zero point of 0x9 is 1."""
    parts  = {"weight_packed": np.array([[0x10 - 0x80000000]], np.int32), "weight_scale": np.ones((1, 1), np.float16),
              "weight_shape": np.array([1, 8]), "weight_zero_point": np.array([[9]], np.int32)}
    tensor = PackedTensor("m", stored(parts), [(4, None)])
    assert tensor.dequantize().tolist() == [[-9, -8, -9, -9, -9, -9, -9, -1]]
    del parts["weight_zero_point"]
    assert PackedTensor("m", stored(parts), [(4, None)]).dequantize().tolist() == [[-8, -7, -8, -8, -8, -8, -8, 0]]


def test_scales_in_bf16_and_for_all(small):
    q, z, s = random(16, 64, 32)
    bfloat  = (s.astype(np.float32).view(np.uint32) >> 16).astype(np.uint16)
    wide    = (bfloat.astype(np.uint32) << 16).view(np.float32)
    parts   = stored(small.packed_parts(q, z, bfloat))
    tensor  = PackedTensor("m", parts, [(4, 32)])
    assert tensor.dequantize().tobytes() == exact_of(q, z, wide, np.arange(64)//32).tobytes()
    one     = PackedTensor("m", stored(small.packed_parts(q, z, np.float16([[0.5]]), symmetric=True)), [(4, None)])
    assert one.dequantize().tobytes() == ((q.astype(np.float32) - 8)/2).tobytes()
    parts = small.packed_parts(q, z, np.float16([0.5]), symmetric=True) | {"weight_zero_point": np.array([-3], np.int8)}
    one   = PackedTensor("m", stored(parts), [(4, None)])
    assert one.dequantize().tobytes() == ((q.astype(np.float32) - 5)/2).tobytes()


def test_older_files(small):
    """Zero points that nobody packed; groups of columns in any order, or never set."""
    q, z, s = random(16, 64, 32)
    parts   = small.packed_parts(q, z, s)
    exact   = exact_of(q, z, s, np.arange(64)//32)
    parts["weight_zero_point"] = (z.astype(np.int16) - 8).astype(np.int8)
    assert PackedTensor("m", stored(parts), [(4, 32)]).dequantize().tobytes() == exact.tobytes()
    parts["weight_g_idx"] = np.full(64, -1, np.int32)
    assert PackedTensor("m", stored(parts), [(4, 32)]).permutation is None
    g_idx = np.random.default_rng(1).permutation(np.arange(64)//32).astype(np.int32)
    parts["weight_g_idx"] = g_idx
    tensor = PackedTensor("m", stored(parts), [(4, 32)])
    assert tensor.dequantize().tobytes() == exact_of(q, z, s, g_idx).tobytes()
    assert (tensor.groups().codes == q[:, tensor.permutation]).all()
    parts["weight_zero_point"][3, 1] = 8
    with pytest.raises(ModelError, match="outside 4 bits"):
        PackedTensor("m", stored(parts), [(4, 32)]).dequantize()


@pytest.mark.parametrize("changes, message", [
    ({"format": "marlin-24"}, "format 'marlin-24'; only pack-quantized"), ({"format": "float-quantized"}, "float-qua"),
    ({"format": "int-quantized"}, "int-quantized"), ({"format": None}, "format None"), ({"format": [1]}, "format"),
    ({"sparsity_config": {"format": "sparse-24-bitmask"}}, "sparsity_config"), ({"sparsity_config": [1]}, "sparsity"),
    ({"transform_config": {"config_groups": {}}}, "transform_config"), ({"config_groups": {}}, "config_groups"),
    ({"config_groups": {"g": 5}}, "no weights"), ({"config_groups": {"g": {"weights": None}}}, "no weights"),
    ({"config_groups": {"g": {"weights": {"num_bits": 3, "type": "int"}}}}, "3 bits"),
    ({"config_groups": {"g": {"weights": {"num_bits": 4, "type": "float"}}}}, "'float'"),
    ({"config_groups": {"g": {"weights": {"num_bits": [4], "type": "int"}}}}, "int of 4 or 8"),
    ({"config_groups": {"g": {"weights": {"num_bits": 4, "type": "int", "strategy": "block"}}}}, "'block'"),
    ({"config_groups": {"g": {"weights": {"num_bits": 4, "type": "int", "strategy": "group", "group_size": 0}}}},
     "group size 0"),
    ({"config_groups": {"g": {"weights": {"num_bits": 4, "type": "int", "strategy": "group", "group_size": 64}}}},
     "none of the configuration's groups fits"),
    ({"sparsity_config": {"format": "dense"}}, None), ({"transform_config": {}}, None),
])
def test_options(tmp_path, small, changes, message):
    small.write_quantised(tmp_path, "compressed-tensors", small.architecture(), quantization=changes)
    if message is None:
        open_checkpoint(tmp_path)
        return
    with pytest.raises(ModelError, match=message):
        open_checkpoint(tmp_path)


@pytest.mark.parametrize("changes, message", [
    ({"weight_shape": np.array([16, 70])}, "none of"),
    ({"weight_shape": np.array([1 << 62, 64])}, "weight_shape"),
    ({"weight_shape": np.array([16, -8])}, "weight_shape"),
    ({"weight_shape": np.array([16])}, "must have the shape"),
    ({"weight_packed": np.zeros((16, 9), np.int32)}, "none of"),
    ({"weight_packed": np.zeros(16, np.int32)}, "weight_packed must have"),
    ({"weight_zero_point": np.zeros((2, 3), np.int32)}, "weight_zero_point must have"),
    ({"weight_zero_point": np.zeros((2, 2), np.int8)}, "weight_zero_point must have"),
    ({"weight_scale": np.ones((16, 3), np.float16)}, "none of"),
    ({"weight_scale": np.ones(0, np.float16)}, "none of"),
    ({"weight_g_idx": np.full(64, 7, np.int32)}, "groups are not of 32"),
    ({"weight_scale": None}, "lacks weight_scale"),
    ({"weight_shape": None}, "lacks weight_shape"),
])
def test_parts_that_do_not_fit(small, changes, message):
    parts = small.packed_parts(*random(16, 64, 32)) | changes
    with pytest.raises(ModelError, match=message):
        PackedTensor("m", stored({name: array for name, array in parts.items() if array is not None}), [(4, 32)])


def test_two_schemes(small):
    q, z, s = random(16, 64, 32)
    parts   = stored(small.packed_parts(q, z, s))
    assert PackedTensor("m", parts, [(8, 32), (4, 32), (4, None)]).bits == 4
    with pytest.raises(ModelError, match="more than one"):
        PackedTensor("m", parts, [(4, 32), (4, 40)])
