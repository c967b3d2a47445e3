# SPDX-License-Identifier: BSD-2-Clause
"""AWQ's layers against a packer written from AutoAWQ's order of codes."""

import numpy as np
import pytest

from mixpe.errors import ModelError
from mixpe.formats.awq import AwqTensor
from mixpe.formats.convert import exact_matrix
from mixpe.formats.open import open_checkpoint


@pytest.mark.parametrize("group_size", [32, 64, 128])
def test_every_weight_is_the_one_that_was_written(tmp_path, small, group_size):
    architecture = small.architecture(intermediate_size=128)
    exact = small.write_quantised(tmp_path, "awq", architecture, group_size)
    found = open_checkpoint(tmp_path)
    assert found.layout == "AWQ" and not found.notes
    for name, values in exact.items():
        tensor = found.tensors[name]
        assert tensor.dequantize().tobytes() == values.tobytes(), name
        if tensor.form is not None:
            assert exact_matrix(tensor).dequantize().tobytes() == values.tobytes()
    tensor = found.tensors["model.layers.1.mlp.up_proj.weight"]
    for rows in (slice(0, 1), slice(3, 5), slice(7, 9), slice(8, 64), slice(5, 5), np.array([63, 1, 1, 20])):
        assert tensor.dequantize(rows).tobytes() == exact[tensor.name][rows].tobytes()


def test_order_of_a_word_by_hand():
    """Codes 0 … 7 of a word, from its lowest, belong to outputs 0 2 4 6 1 3 5 7; a zero of 0 stays 0."""
    word  = np.array([[0x76543210]], np.int32)
    parts = {"qweight": ("I32", np.repeat(word, 32, axis=0)), "qzeros": ("I32", np.array([[0x00000210]], np.int32)),
             "scales": ("F16", np.ones((1, 8), np.float16))}
    found = AwqTensor("m", parts, 32).groups()
    assert found.codes[:, 5].tolist() == [0, 4, 1, 5, 2, 6, 3, 7]
    assert found.zeros[:, 0].tolist() == [0, 0, 1, 0, 2, 0, 0, 0]


def test_the_old_keys(tmp_path, small):
    exact = small.write_quantised(tmp_path, "awq", small.architecture(), 64, quantization={"quant_method": None,
        "bits": None, "group_size": None, "w_bit": 4, "q_group_size": 64, "version": "GEMM", "zero_point": True})
    found = open_checkpoint(tmp_path)
    name  = "model.layers.0.self_attn.k_proj.weight"
    assert found.layout == "AWQ" and found.tensors[name].dequantize().tobytes() == exact[name].tobytes()


@pytest.mark.parametrize("changes, message", [
    ({"version": "gemv"}, "layout 'gemv'; only GEMM"), ({"version": "gemv_fast"}, "gemv_fast"),
    ({"version": "marlin"}, "marlin"), ({"backend": "llm-awq"}, "llm-awq"), ({"version": 3}, "layout 3"),
    ({"bits": 3}, "AWQ weights of 3 bits"), ({"bits": [4]}, "only 4"), ({"group_size": -2}, "group size -2"),
    ({"group_size": 48}, "must have the shape"),
])
def test_options(tmp_path, small, changes, message):
    small.write_quantised(tmp_path, "awq", small.architecture(), quantization=changes)
    with pytest.raises(ModelError, match=message):
        open_checkpoint(tmp_path)


@pytest.mark.parametrize("changes, message", [
    ({"qweight": ("F32", np.zeros((32, 1), np.float32))}, "must be I32 or U32"),
    ({"qweight": ("I32", np.zeros((0, 1), np.int32))}, "may be 0"),
    ({"qzeros": ("I32", np.zeros((2, 1), np.int32))}, "qzeros must have"),
    ({"scales": ("F16", np.zeros((1, 7), np.float16))}, "scales must have"),
    ({"scales": ("I32", np.zeros((1, 8), np.int32))}, "scales must be F16 or BF16 or F32"),
])
def test_parts_that_do_not_fit(changes, message):
    parts = {"qweight": ("I32", np.zeros((32, 1), np.int32)), "qzeros": ("I32", np.zeros((1, 1), np.int32)),
             "scales": ("F16", np.ones((1, 8), np.float16))}
    AwqTensor("m", parts, 32)
    with pytest.raises(ModelError, match=message):
        AwqTensor("m", parts | changes, 32)
