# SPDX-License-Identifier: BSD-2-Clause
"""GPTQ's layers against packers written from its writers' lines: zeros in every convention, columns in any order."""

import json

import numpy as np
import pytest

from mixpe.errors import ModelError
from mixpe.formats import safetensors
from mixpe.formats.convert import exact_matrix
from mixpe.formats.gptq import GptqScheme, GptqTensor
from mixpe.formats.open import open_checkpoint

NAMES = {np.dtype("i4"): "I32", np.dtype("f2"): "F16", np.dtype("f4"): "F32", np.dtype("u2"): "BF16"}


def stored(parts):
    """Parts as the safetensors reader gives them."""
    return {name: (NAMES[array.dtype], array) for name, array in parts.items()}


@pytest.mark.parametrize("writer, label", [("v2", {"checkpoint_format": "gptq_v2"}),
    ("gptqmodel", {"checkpoint_format": "gptq", "meta": {"quantizer": ["gptqmodel:7.7.0"]}}),
    ("autogptq", {"checkpoint_format": "gptq"}), ("autogptq", {"checkpoint_format": None})])
@pytest.mark.parametrize("bits, group_size, act_order", [(4, 32, False), (4, 32, True), (8, 64, True), (4, 128, False)])
def test_every_weight_is_the_one_that_was_written(tmp_path, small, bits, group_size, act_order, writer, label):
    """Zeros from 1, which every convention keeps."""
    architecture = small.architecture(intermediate_size=128)
    exact = small.write_quantised(tmp_path, "gptq", architecture, group_size, bits, act_order=act_order, low=1,
        writer=writer, quantization=label)
    found = open_checkpoint(tmp_path)
    assert found.layout == "GPTQ" and not found.notes
    for name, values in exact.items():
        assert found.tensors[name].dequantize().tobytes() == values.tobytes(), name
    tensor = found.tensors["model.layers.0.mlp.down_proj.weight"]
    assert (tensor.permutation is not None) is act_order
    for rows in (slice(3, 5), slice(8, 64), np.array([63, 1, 1, 20])):
        assert tensor.dequantize(rows).tobytes() == exact[tensor.name][rows].tobytes()
    order = slice(None) if tensor.permutation is None else tensor.permutation
    assert exact_matrix(tensor).dequantize().tobytes() == exact[tensor.name][:, order].tobytes()


@pytest.mark.parametrize("bits", [4, 8])
def test_zeros_of_0_that_borrow_from_the_whole_word(tmp_path, small, bits):
    """GPTQModel takes 1 from whole words: only adding 1 to whole words gives the zeros back."""
    architecture = small.architecture()
    for seed in range(3):
        exact = small.write_quantised(tmp_path, "gptq", architecture, 32, bits, seed, writer="gptqmodel",
            quantization={"checkpoint_format": "gptq", "meta": {"quantizer": ["gptqmodel:7.7.0"]}})
        found = open_checkpoint(tmp_path)
        assert not found.notes
        for name, values in exact.items():
            assert found.tensors[name].dequantize().tobytes() == values.tobytes(), name
    q_proj = found.tensors["model.layers.0.self_attn.q_proj.weight"]
    assert bits == 8 or (q_proj.groups().zeros == 0).any()


def test_zeros_of_0_that_smear_over_their_word(small):
    """AutoGPTQ: 0 − 1 fills its word upwards with ones; they read as 0, as its own reader has it, with a note."""
    zeros = np.array([3, 0, 9, 1, 15, 8, 2, 4, 5, 1, 1, 1, 1, 1, 1, 1], np.uint8).reshape(16, 1)
    parts = stored(small.gptq_parts(np.zeros((16, 32), np.uint8), zeros, np.ones((16, 1), np.float16),
        np.zeros(32, int), writer="autogptq"))
    assert parts["qzeros"][1].view(np.uint32).tolist() == [[0xFFFFFFF2, 0x00000004]]
    scheme = GptqScheme({"bits": 4, "group_size": 32}, {"m": parts})
    assert scheme.tensor("m", parts).groups().zeros.ravel().tolist() == [3] + [0] * 7 + zeros[8:, 0].tolist()
    assert len(scheme.notes) == 1 and scheme.notes[0].startswith("7 of its zeros")


def test_the_two_ways_of_adding_differ_where_a_code_has_all_ones():
    """0x0FFFFFFF + 0x11111111 carries; code by code it does not."""
    words = np.array([0x0FFFFFFF], np.uint32).view(np.int32).reshape(1, 1)
    parts = stored({"qweight": np.zeros((4, 8), np.int32), "qzeros": words, "scales": np.ones((1, 8), np.float16)})
    assert GptqTensor("m", parts, 4, 32, "v1 by code").groups().zeros.ravel().tolist() == [0] * 7 + [1]
    assert GptqTensor("m", parts, 4, 32, "v1 by word").groups().zeros.ravel().tolist() == [0] + [1] * 6 + [2]
    assert GptqTensor("m", parts, 4, 32, "v2").groups().zeros.ravel().tolist() == [15] * 7 + [0]


@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("writer, label, note", [
    ("v2", "gptq", "says gptq, its zeros are those of gptq_v2"),
    ("gptqmodel", "gptq_v2", "says gptq_v2, its zeros are those of gptq:"),
    ("v2", "gptq_v2", None), ("autogptq", "gptq", None)])
def test_labels_that_symmetric_zeros_contradict(tmp_path, small, writer, label, note, bits):
    architecture = small.architecture()
    exact = small.write_quantised(tmp_path, "gptq", architecture, 32, bits, writer=writer, sym=True,
        quantization={"checkpoint_format": label, "sym": True})
    found = open_checkpoint(tmp_path)
    for name, values in exact.items():
        assert found.tensors[name].dequantize().tobytes() == values.tobytes(), name
    assert [note] == [n[len("its configuration "):][:len(note)] for n in found.notes] if note else not found.notes


def test_without_sym_nothing_is_guessed(tmp_path, small):
    exact = small.write_quantised(tmp_path, "gptq", small.architecture(), writer="v2", sym=True,
        quantization={"checkpoint_format": "gptq", "sym": False})
    name  = "model.layers.0.mlp.up_proj.weight"
    found = open_checkpoint(tmp_path)
    assert (found.tensors[name].groups().zeros == 9).all() and not found.notes
    assert (found.tensors[name].dequantize() != exact[name]).any()


def test_old_folders(tmp_path, small):
    """quantize_config.json without a method, another name of the file, no g_idx, biases of zeros, group size −1."""
    architecture = small.architecture(intermediate_size=64)
    exact   = small.write_quantised(tmp_path, "gptq", architecture, 64, low=1, writer="autogptq")
    tensors = dict(safetensors.load(tmp_path/"model.safetensors"))
    config  = json.loads((tmp_path/"config.json").read_text())
    options = config.pop("quantization_config")
    (tmp_path/"config.json").write_text(json.dumps(config))
    (tmp_path/"quantize_config.json").write_text(json.dumps(
        {"bits": options["bits"], "group_size": -1, "damp_percent": 0.01, "desc_act": False, "sym": False}))
    tensors = {name: array for name, array in tensors.items() if not name.endswith("g_idx")}
    for name in [name for name in tensors if name.endswith("qweight")]:
        module = name.removesuffix(".qweight")
        tensors[f"{module}.bias"] = np.zeros(tensors[f"{module}.scales"].shape[1], np.float16)
    tensors["model.layers.0.self_attn.rotary_emb.inv_freq"] = np.ones(8, np.float32)
    (tmp_path/"model.safetensors").unlink()
    path = tmp_path/"gptq_model-4bit-64g.safetensors"
    safetensors.save(path, tensors)
    found = open_checkpoint(tmp_path)
    assert list(found.tensors) == list(exact)
    for name, values in exact.items():
        assert found.tensors[name].dequantize().tobytes() == values.tobytes(), name
    tensors["model.layers.0.mlp.up_proj.bias"][3] = 1
    safetensors.save(path, tensors)
    with pytest.raises(ModelError, match="up_proj.bias"):
        open_checkpoint(tmp_path)


@pytest.mark.parametrize("changes, message", [
    ({"bits": 3}, "GPTQ weights of 3 bits"), ({"bits": 2}, "2 bits"), ({"bits": True}, "True bits"),
    ({"bits": [4]}, "bits; 4 and 8"), ({"bits": None}, "None bits"),
    ({"group_size": 0}, "group size 0"), ({"group_size": "128"}, "group size '128'"),
    ({"group_size": 10**400}, "group size"), ({"group_size": 64}, "qzeros must have the shape"),
    ({"checkpoint_format": "marlin"}, "format 'marlin'; .* GPTQModel"), ({"checkpoint_format": "exl3"}, "'exl3'"),
    ({"is_marlin_format": True}, "'marlin'"), ({"pack_dtype": "int16"}, "'int16'"),
    ({"dynamic": {r"+:.*down.*": {"bits": 8}}}, "another bits for the modules"),
    ({"dynamic": {".*down.*": {"group_size": 64}}}, "another group_size for the modules"),
    ({"dynamic": [1]}, "dynamic"), ({"meta": [1]}, None), ({"dynamic": {"-:.*lm_head": {}}}, None),
    ({"dynamic": {".*": {"bits": 4, "damp_percent": 0.1}}}, None),
])
def test_options(tmp_path, small, changes, message):
    small.write_quantised(tmp_path, "gptq", small.architecture(), quantization=changes)
    if message is None:
        open_checkpoint(tmp_path)
        return
    with pytest.raises(ModelError, match=message):
        open_checkpoint(tmp_path)


def good():
    return {"qweight": np.zeros((8, 16), np.int32), "qzeros": np.zeros((2, 2), np.int32),
            "scales": np.ones((2, 16), np.float16), "g_idx": (np.arange(64)//32).astype(np.int32)}


@pytest.mark.parametrize("changes, message", [
    ({"qzeros": None}, "lacks qzeros"), ({"scales": None}, "lacks scales"),
    ({"qweight": np.zeros((8, 16), np.float32)}, "must be I32 or U32, not F32"),
    ({"qweight": np.zeros(8, np.int32)}, "must have the shape"), ({"qweight": np.zeros((0, 16), np.int32)}, "may be 0"),
    ({"qweight": np.zeros((8, 12), np.int32)}, "must divide"),
    ({"scales": np.ones((3, 16), np.float16)}, "scales must"),
    ({"qzeros": np.zeros((2, 3), np.int32)}, "qzeros must"), ({"g_idx": np.zeros(63, np.int32)}, "g_idx must"),
    ({"g_idx": np.zeros(64, np.int32)}, "groups are not of 32"), ({"g_idx": np.full(64, -1, np.int32)}, "not of 32"),
    ({"g_idx": np.arange(64, dtype=np.int32)}, "not of 32"),
    ({"scales": np.full((2, 16), np.nan, np.float16)}, None), ({"scales": np.full((2, 16), np.inf, np.float16)}, None),
])
def test_parts_that_do_not_fit(changes, message):
    parts = stored({name: array for name, array in (good() | changes).items() if array is not None})
    if message is None:
        tensor = GptqTensor("m", parts, 4, 32, "v2")
        for read in (tensor.groups, tensor.dequantize):
            with pytest.raises(ModelError, match="m.weight has .* not finite"):
                read()
        return
    with pytest.raises(ModelError, match=message):
        GptqTensor("m", parts, 4, 32, "v2")


def test_a_last_group_that_is_shorter():
    rng   = np.random.default_rng(0)
    parts = good() | {"qweight": rng.integers(-2**31, 2**31, (9, 16), np.int32), "g_idx": np.arange(72)//32,
                      "qzeros": np.zeros((3, 2), np.int32), "scales": np.ones((3, 16), np.float16)}
    parts["g_idx"] = rng.permutation(parts["g_idx"]).astype(np.int32)
    tensor = GptqTensor("m", stored(parts), 4, 32, "v2")
    codes  = tensor.groups().codes
    assert (tensor.dequantize()[:, tensor.permutation] == codes).all()  # s = 1, z = 0
    assert exact_matrix(tensor).dequantize().tobytes() == codes.astype(np.float32).tobytes()
