# SPDX-License-Identifier: BSD-2-Clause
"""Hugging Face folders: every family, both wordings of the configuration, shards, heads, and what is refused."""

import json
import os

import numpy as np
import pytest

from mixpe.errors import ModelError
from mixpe.formats import safetensors
from mixpe.formats.convert import exact_matrix
from mixpe.formats.hf_config import architecture_of
from mixpe.formats.matrixfile import load_matrices, save_matrices
from mixpe.formats.open import open_checkpoint
from mixpe.quant.matrix import Int4Matrix, Int8Matrix
from mixpe.quant.quantize import quantize
from mixpe_gateware.contract.scaling import Form


@pytest.fixture
def folder(tmp_path, small):
    """Write a folder and open it: keys of the configuration change or (None) go, tensors alike."""
    def call(family="llama", config=None, tensors=None, shards=1, **files):
        architecture = small.architecture(family)
        values  = small.config(architecture) | (config or {})
        weights = small.weights(architecture) | (tensors or {})
        small.write_folder(tmp_path/family, {k: v for k, v in values.items() if v != "absent"},
            {k: v for k, v in weights.items() if v is not None}, shards, **files)
        return open_checkpoint(tmp_path/family)
    return call


@pytest.mark.parametrize("shards", [1, 3])
@pytest.mark.parametrize("family", ["llama", "mistral", "qwen2", "qwen3"])
def test_every_family(folder, small, family, shards):
    architecture = small.architecture(family)
    found = folder(family, shards=shards)
    assert found.architecture.tensor_shapes() == architecture.tensor_shapes() and found.layout == "Hugging Face"
    for name, values in small.weights(architecture).items():
        assert found.tensors[name].dequantize().tobytes() == values.tobytes()
    assert found.generation.bos_token_id == 1 and found.generation.eos_token_ids == (2,)


@pytest.mark.parametrize("dtype", ["F16", "BF16", "F64"])
def test_precisions(tmp_path, small, dtype):
    weights = small.weights(small.architecture())
    header, data, exact = {}, b"", {}
    for name, values in weights.items():
        upper = values.view(np.uint32) & np.uint32(0xFFFF0000)
        array = {"F16": values.astype(np.float16), "BF16": (upper >> 16).astype(np.uint16), "F64": values.astype("f8")}
        exact[name] = upper.view(np.float32) if dtype == "BF16" else array[dtype].astype(np.float32)
        more = array[dtype].tobytes()
        header[name] = {"dtype": dtype, "shape": values.shape, "data_offsets": [len(data), len(data) + len(more)]}
        data += more
    text = json.dumps(header).encode()
    small.write_folder(tmp_path, small.config(small.architecture()), {})
    (tmp_path/"model.safetensors").write_bytes(len(text).to_bytes(8, "little") + text + data)
    found = open_checkpoint(tmp_path)
    for name, values in exact.items():
        assert found.tensors[name].layout == dtype
        assert found.tensors[name].dequantize().tobytes() == values.tobytes()


def test_head_of_its_own_or_the_embedding(folder):
    name = "lm_head.weight"
    assert not folder().architecture.tie_word_embeddings
    tied = folder(config={"tie_word_embeddings": True}, tensors={name: None})
    assert tied.architecture.tie_word_embeddings and name not in tied.tensors
    own = folder(config={"tie_word_embeddings": True})  # a head in the files counts
    assert not own.architecture.tie_word_embeddings and name in own.tensors
    for flag in (False, "absent", None):
        with pytest.raises(ModelError, match="lacks the tensor lm_head"):
            folder(config={"tie_word_embeddings": flag}, tensors={name: None})


def test_numbers_that_are_left_out(folder, small):
    def architecture(family="llama", **config):
        return architecture_of({k: v for k, v in (small.config(small.architecture(family)) | config).items()
            if v != "absent"}, True)

    assert architecture(head_dim="absent").head_dim == architecture(head_dim=None).head_dim == 16
    assert architecture(head_dim=32).head_dim == 32
    assert architecture("qwen3", head_dim="absent").head_dim == 128
    assert architecture(num_key_value_heads="absent").num_key_value_heads == 4
    assert architecture("mistral", num_attention_heads=16, num_key_value_heads="absent").num_key_value_heads == 8
    assert architecture("mistral", num_key_value_heads=None).num_key_value_heads == 4
    assert architecture(rms_norm_eps="absent").rms_norm_eps == 1e-6
    assert architecture(rope_theta="absent").rope.theta == 10000
    assert architecture(rope_theta=500000).rope.theta == 500000


def test_biases(folder, small):
    rng   = np.random.default_rng(0)
    names = {f"model.layers.{i}.self_attn.{part}_proj.bias": width for i in range(2)
             for part, width in (("q", 64), ("k", 32), ("v", 32), ("o", 64))}
    biases = {name: rng.standard_normal(width).astype(np.float32) for name, width in names.items()}
    found  = folder(config={"attention_bias": True}, tensors=biases)
    assert found.architecture.qkv_bias and found.architecture.o_bias and not found.architecture.mlp_bias
    assert found.tensors["model.layers.1.self_attn.o_proj.bias"].dequantize().tobytes() == biases[
        "model.layers.1.self_attn.o_proj.bias"].tobytes()
    with pytest.raises(ModelError, match="q_proj.bias'?, which a llama model"):
        folder(tensors=biases)
    with pytest.raises(ModelError, match="lacks the tensor model.layers.0.self_attn.q_proj.bias"):
        folder(config={"attention_bias": True})
    assert folder("qwen2").architecture.qkv_bias and not folder("qwen2").architecture.o_bias


def test_windows(folder):
    assert folder(config={"sliding_window": 8}).architecture.sliding_window is None  # no key of llama
    assert folder("mistral", {"sliding_window": None}).architecture.sliding_window is None
    assert folder("mistral", {"sliding_window": 8}).architecture.window(1) == 8
    assert folder("mistral").architecture.sliding_window == 4096  # its class's default
    assert folder("qwen2", {"sliding_window": 8}).architecture.sliding_window is None
    some = folder("qwen2", {"sliding_window": 8, "use_sliding_window": True, "max_window_layers": 1}).architecture
    assert (some.window(0), some.window(1)) == (None, 8)
    kinds = ["sliding_attention", "full_attention"]
    some = folder("qwen3", {"sliding_window": 8, "use_sliding_window": True, "layer_types": kinds}).architecture
    assert (some.window(0), some.window(1)) == (8, None)
    for kinds in (["full_attention"], ["full_attention", "chunked_attention"], "full_attention", [["x"], 1]):
        with pytest.raises(ModelError, match="layer_types"):
            folder("qwen3", {"sliding_window": 8, "use_sliding_window": True, "layer_types": kinds})


def test_ends_of_a_text(folder):
    found = folder(config={"eos_token_id": [2, 3]}, generation_config={"eos_token_id": 5, "bos_token_id": 4,
        "temperature": 0.6, "top_p": 0.9, "top_k": 40, "do_sample": True})
    assert found.generation.eos_token_ids == (2, 3, 5) and found.generation.bos_token_id == 4
    assert (found.generation.temperature, found.generation.top_p, found.generation.top_k) == (0.6, 0.9, 40)
    assert found.generation.do_sample is True
    none = folder(config={"eos_token_id": None, "bos_token_id": "absent"}, generation_config={})
    assert none.generation.eos_token_ids == () and none.generation.bos_token_id is None
    far = folder(config={"eos_token_id": [2, 50256], "bos_token_id": -1})
    assert far.generation.eos_token_ids == (2,) and "50256" in far.notes[0] and far.generation.bos_token_id is None
    for value in ("2", [2.0], [[2]], 1.5, True, {"a": 1}, -7, 10**400, list(range(5000))):
        with pytest.raises(ModelError, match="eos_token_id"):
            folder(config={"eos_token_id": value})
    for key, value in (("temperature", "hot"), ("top_k", [1]), ("top_p", True), ("do_sample", 1)):
        with pytest.raises(ModelError, match=key):
            folder(generation_config={key: value})


def test_files_of_the_tokenizer(tmp_path, small):
    path = small.write_folder(tmp_path, small.config(small.architecture()), small.weights(small.architecture()),
        tokenizer={"a": 1}, tokenizer_config={})
    (tmp_path/"chat_template.jinja").write_text("")
    assert set(open_checkpoint(path).tokenizer.files) == {"tokenizer.json", "tokenizer_config.json",
        "chat_template.jinja"}


BIG = 10**400
WRONG = [
    ("model_type", "mixtral", "model_type 'mixtral'"), ("model_type", None, "model_type None"),
    ("model_type", ["llama"], "model_type"), ("model_type", "absent", "model_type None"),
    ("hidden_act", "gelu", "hidden_act = 'gelu'"), ("quantization", {"bits": 4}, "MLX"),
    ("quantization_config", {"quant_method": "bitsandbytes"}, "'bitsandbytes'; gptq, awq"),
    ("quantization_config", {"load_in_4bit": True}, "bitsandbytes"),
    ("quantization_config", {"quant_method": "exl2"}, "exl2"), ("quantization_config", {"quant_method": "fp8"}, "fp8"),
    ("quantization_config", {"quant_method": ["gptq"]}, "a text"),
    ("quantization_config", [1], "must be an object"), ("quantization_config", {}, "GPTQ weights of None bits"),
    ("attention_bias", 1, "true or false"), ("tie_word_embeddings", "no", "true or false"),
    ("partial_rotary_factor", 0.5, "turns 0.5 of each head"),
    ("rope_theta", BIG, "positive finite"), ("rope_theta", 0, "positive"), ("rope_theta", -1.0, "positive"),
    ("rope_theta", True, "positive number"), ("rope_theta", "1e4", "positive number"), ("rope_theta", 0.5, "over 1"),
    ("rms_norm_eps", 0, "positive"), ("rms_norm_eps", "x", "positive"), ("rms_norm_eps", BIG, "finite"),
    ("head_dim", 15, "even"), ("num_key_value_heads", 3, "no multiple"), ("num_attention_heads", 5, "no multiple"),
    ("num_hidden_layers", 10**9, "num_hidden_layers must be"), ("num_hidden_layers", 4000, "says 4000 layers"),
    ("num_hidden_layers", 1, "layers.1"), ("num_hidden_layers", 3, "lacks the tensor model.layers.2"),
    ("vocab_size", 49, r"must have the shape \(49, 64\)"), ("sliding_window", 0, None),
    *((key, value, f"{key} must be a whole number") for key in ("vocab_size", "hidden_size", "intermediate_size",
        "num_attention_heads", "max_position_embeddings") for value in (0, -1, BIG, 1.5, "8", [8], True, 1 << 60)),
]


@pytest.mark.parametrize("key, value, message", WRONG, ids=lambda value: str(value)[:24])
def test_configurations_that_cannot_be(folder, key, value, message):
    if message is None:
        folder(config={key: value})
        return
    with pytest.raises(ModelError, match=message) as caught:
        folder(config={key: value})
    assert len(str(caught.value)) < 500 and "\n" not in str(caught.value)


@pytest.mark.parametrize("text", [b"", b"[1]", b"{", b'{"a": NaN}', b'{"a": 1e999}', b'{"a":' * 10**6, b"[" * 10**6,
    b'{"a": ' + b"1" * 10000 + b"}", b"\xff\xfe\x00", b"null", b'{"a": Infinity}', b"\0" * 100],
    ids=lambda text: repr(text[:9]))
@pytest.mark.parametrize("name", ["config.json", "generation_config.json", "model.safetensors.index.json"])
def test_json_that_cannot_be(tmp_path, small, name, text):
    architecture = small.architecture()
    small.write_folder(tmp_path, small.config(architecture), small.weights(architecture), shards=2)
    (tmp_path/name).write_bytes(text)
    with pytest.raises(ModelError, match="JSON") as caught:
        open_checkpoint(tmp_path)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize("name", ["../x.safetensors", "/etc/passwd", "..", ".", "", "a/b", "a\\b", "a\0b", 5, None,
    ["x"], "sub/../model.safetensors"])
def test_an_index_does_not_leave_its_folder(tmp_path, small, name):
    architecture = small.architecture()
    small.write_folder(tmp_path/"m", small.config(architecture), small.weights(architecture), shards=2)
    path  = tmp_path/"m"/"model.safetensors.index.json"
    index = json.loads(path.read_text())
    index["weight_map"]["lm_head.weight"] = name
    path.write_text(json.dumps(index))
    with pytest.raises(ModelError, match="not a plain file name|cannot be read"):
        open_checkpoint(tmp_path/"m")
    for value in ({}, [1], None, "x"):
        path.write_text(json.dumps({"weight_map": value}))
        with pytest.raises(ModelError, match="weight_map"):
            open_checkpoint(tmp_path/"m")


def test_files_that_do_not_fit_together(tmp_path, small):
    architecture = small.architecture()
    weights = small.weights(architecture)
    small.write_folder(tmp_path, small.config(architecture), weights, shards=2)
    second = tmp_path/"model-00002-of-00002.safetensors"
    whole  = dict(safetensors.load(second))
    safetensors.save(second, whole | {"model.embed_tokens.weight": weights["model.embed_tokens.weight"]})
    with pytest.raises(ModelError, match="which another file of the model has too"):
        open_checkpoint(tmp_path)
    second.unlink()
    with pytest.raises(ModelError, match="no such file"):
        open_checkpoint(tmp_path)
    os.mkfifo(second)
    with pytest.raises(ModelError, match="not a plain file"):
        open_checkpoint(tmp_path)


@pytest.mark.parametrize("tensors, message", [
    ({"model.norm.weight": np.ones(64, np.int32)}, "as I32; it must be floating"),
    ({"extra": np.ones(4, np.float32)}, "has the tensor 'extra'"),
    ({"lm_head.weight": np.ones((48, 64, 1), np.float32)}, "3 axes"),
    ({"model.norm.weight": np.ones((64, 1), np.float32)}, "must have the shape"),
    ({"model.norm.weight": np.ones((), np.float32)}, "0 axes"),
])
def test_tensors_that_cannot_be(folder, tensors, message):
    with pytest.raises(ModelError, match=message):
        folder(tensors=tensors)


def test_values_that_are_not_finite(folder):
    for value in (np.nan, np.inf, -np.inf):
        found = folder(tensors={"model.norm.weight": np.full(64, value, np.float32)})
        with pytest.raises(ModelError, match="not finite"):
            found.tensors["model.norm.weight"].dequantize()


@pytest.mark.parametrize("bits, group_size", [(4, 32), (8, 64), (4, None)])
def test_what_mixpe_quantize_writes(tmp_path, small, bits, group_size):
    architecture = small.architecture()
    weights  = small.weights(architecture)
    matrices = {name: quantize(values, group_size, bits=bits) for name, values in weights.items()
                if values.ndim == 2 and "embed" not in name}
    small.write_folder(tmp_path, small.config(architecture), {})
    save_matrices(tmp_path/"model.safetensors", matrices,
        {name: values for name, values in weights.items() if name not in matrices})
    for path in (tmp_path, tmp_path/"model.safetensors"):
        found = open_checkpoint(path)
        assert found.layout == "mixpe" and list(found.tensors) == list(weights)
        for name, matrix in matrices.items():
            tensor = found.tensors[name]
            assert tensor.dequantize().tobytes() == matrix.dequantize().tobytes()
            again = exact_matrix(tensor)
            assert again.packed.tobytes() == matrix.packed.tobytes() and again.zeros.tobytes() == matrix.zeros.tobytes()
            assert tensor.dequantize(np.array([5, 1])).tobytes() == matrix.dequantize()[[5, 1]].tobytes()


@pytest.mark.parametrize("kind", [Int4Matrix, Int8Matrix])
@pytest.mark.parametrize("form, group_size, k", [(Form.MINIMUM, 32, 64), (Form.MINIMUM, 128, 200),
    (Form.MINIMUM, 64, 64), (Form.TWO_LEVEL, 32, 512), (Form.TWO_LEVEL, 32, 300), (Form.TWO_LEVEL, 32, 20)])
def test_matrices_with_minima_in_files(tmp_path, small, kind, form, group_size, k):
    """A vocabulary of 48 rows; each padding of k."""
    matrix = matrix_with_minima(kind, form, group_size, k)
    architecture = small.architecture(hidden_size=k, num_hidden_layers=1)
    weights = small.weights(architecture)
    del weights["lm_head.weight"]
    small.write_folder(tmp_path, small.config(architecture), {})
    save_matrices(tmp_path/"model.safetensors", {"lm_head.weight": matrix}, weights)
    tensor = open_checkpoint(tmp_path).tensors["lm_head.weight"]
    assert tensor.form is form and tensor.dequantize().tobytes() == matrix.dequantize().tobytes()
    assert tensor.dequantize(np.array([5, 1])).tobytes() == matrix.dequantize()[[5, 1]].tobytes()
    again = exact_matrix(tensor)
    assert again.dequantize().tobytes() == matrix.dequantize().tobytes() and again.form is form
    loaded = load_matrices(tmp_path/"model.safetensors")[0]["lm_head.weight"]
    assert {name: array.tobytes() for name, array in loaded.arrays.items()} == {
        name: array.tobytes() for name, array in matrix.arrays.items()}


def matrix_with_minima(kind, form, group_size, k, n=48):
    rng    = np.random.default_rng(1)
    groups = -(-k//group_size) if form is Form.MINIMUM else -(-k//256)
    return kind.from_parts(rng.integers(0, 1 << kind.bits, (n, k), np.uint8),
        rng.standard_normal((n, groups)).astype(np.float16), group_size=group_size,
        minima=rng.standard_normal((n, groups)).astype(np.float16),
        factors=None if form is Form.MINIMUM else rng.integers(0, 64, (n, 8*groups, 2), np.uint8))


@pytest.mark.parametrize("change, message", [
    ({"zeros": np.zeros((48, 8), np.uint8)}, "must have zeros, or minima, or minima and factors beside its scales"),
    ({"minima": None}, "beside its scales, not factors"), ({"minima": None, "factors": None}, "not nothing"),
    ({"factors": None}, "packed must have the shape"), ({"factors": np.zeros((48, 8), np.uint8)}, "factors must have"),
    ({"factors": np.zeros((48, 8, 2), np.int8)}, "factors must be U8"),
    ({"factors": np.full((48, 8, 2), 64, np.uint8)}, "has 64 among its factors"),
    ({"minima": np.zeros((48, 1), np.float32)}, "minima must be F16"),
    ({"minima": np.zeros((48, 8), np.float16)}, "minima must have the shape"),
    ({"minima": np.full((48, 1), np.nan, np.float16)}, "not finite"), ({"group_size": 64}, "groups of 32 with factors"),
])
def test_damaged_parts_beside_the_scales(tmp_path, small, change, message):
    architecture = small.architecture(num_hidden_layers=1)
    weights = small.weights(architecture)
    del weights["lm_head.weight"]
    matrix  = matrix_with_minima(Int4Matrix, Form.TWO_LEVEL, 32, 64)
    entry   = {"shape": [48, 64], "bits": 4, "group_size": change.pop("group_size", 32)}
    parts   = {name: array for name, array in (matrix.arrays | change).items() if array is not None}
    small.write_folder(tmp_path, small.config(architecture), {})
    safetensors.save(tmp_path/"model.safetensors", weights | {f"lm_head.weight.{name}": array
        for name, array in parts.items()}, {"mixpe.matrices": json.dumps({"lm_head.weight": entry})})
    for use in (lambda tensor: tensor.dequantize(), exact_matrix):
        with pytest.raises(ModelError, match=message):
            use(open_checkpoint(tmp_path).tensors["lm_head.weight"])


@pytest.mark.parametrize("entry, message", [
    (5, "shape, bits and group_size"), ({}, "shape, bits"), ({"shape": [48.0, 64]}, "whole numbers"),
    ({"shape": [48, 10**30]}, "weights must be"), ({"bits": 5}, "4 or 8 bits"), ({"bits": [4]}, "whole numbers"),
    ({"group_size": 48}, "group_size must be"), ({"shape": [0, 64]}, "weights must be"), ({"shape": 7}, "shape, bits"),
    ({"shape": [48, 128]}, "packed must have the shape"), ({"group_size": 64}, "scales must have the shape"),
])
def test_damaged_entries_of_what_mixpe_quantize_writes(tmp_path, small, entry, message):
    architecture = small.architecture()
    weights = small.weights(architecture)
    matrix  = quantize(weights.pop("lm_head.weight"), 32)
    if entry and isinstance(entry, dict):
        entry = {"shape": [48, 64], "bits": 4, "group_size": 32} | entry
    small.write_folder(tmp_path, small.config(architecture), {})
    safetensors.save(tmp_path/"model.safetensors", weights | {f"lm_head.weight.{part}": getattr(matrix, part)
        for part in ("packed", "scales", "zeros")}, {"mixpe.matrices": json.dumps({"lm_head.weight": entry})})
    with pytest.raises(ModelError, match=message):
        open_checkpoint(tmp_path)


def test_zero_points_outside_their_bits(tmp_path, small):
    architecture = small.architecture()
    weights = small.weights(architecture)
    matrix  = quantize(weights.pop("lm_head.weight"), 32)
    zeros   = matrix.zeros.copy()
    zeros[7, 1] = 16
    small.write_folder(tmp_path, small.config(architecture), {})
    safetensors.save(tmp_path/"model.safetensors", weights | {"lm_head.weight.packed": matrix.packed,
        "lm_head.weight.scales": matrix.scales, "lm_head.weight.zeros": zeros}, {"mixpe.matrices": json.dumps(
        {"lm_head.weight": {"shape": [48, 64], "bits": 4, "group_size": 32}})})
    with pytest.raises(ModelError, match="16 among its zeros"):
        open_checkpoint(tmp_path).tensors["lm_head.weight"].dequantize()
