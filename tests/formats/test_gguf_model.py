# SPDX-License-Identifier: BSD-2-Clause
"""Models in GGUF files: rows of q and k come back in order, shapes and rotary positions are read, others refused."""

import numpy as np
import pytest

from mixpe.errors import ModelError
from mixpe.formats.gguf_model import head_order, our_name, read_gguf
from mixpe.formats.rope import Rope
from mixpe_gateware.contract.scaling import Form


def reference(stored):
    gguf = pytest.importorskip("gguf")
    kind, data = stored
    return gguf.quants.dequantize(data, gguf.GGMLQuantizationType[kind])


@pytest.mark.parametrize("kind", ["F32", "F16", "BF16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0"])
@pytest.mark.parametrize("family", ["llama", "qwen2", "qwen3"])
def test_every_tensor_is_the_one_that_was_written(tmp_path, small, family, kind):
    architecture = small.architecture(family, tie_word_embeddings=family == "qwen3")
    weights = small.weights(architecture)
    stored  = small.write_gguf(tmp_path/"x.gguf", architecture, weights, lambda name: kind)
    found   = read_gguf(tmp_path/"x.gguf")
    assert list(found.tensors) == list(architecture.tensor_shapes())
    for name, tensor in found.tensors.items():
        assert tensor.dequantize().tobytes() == reference(stored[name]).tobytes(), name
    for name in ("family", "qkv_bias", "qk_norm", "tie_word_embeddings", "head_dim", "num_key_value_heads"):
        assert getattr(found.architecture, name) == getattr(architecture, name)


@pytest.mark.parametrize("kind", ["Q4_K", "Q5_K", "Q6_K", "Q3_K", "Q2_K"])
def test_superblocks(tmp_path, small, kind):
    architecture = small.architecture(**small.wide)
    stored = small.write_gguf(tmp_path/"x.gguf", architecture, small.weights(architecture), lambda name: kind)
    found  = read_gguf(tmp_path/"x.gguf")
    for name, tensor in found.tensors.items():
        assert tensor.dequantize().tobytes() == reference(stored[name]).tobytes(), name
    assert found.tensors["lm_head.weight"].form is (Form.TWO_LEVEL if kind in ("Q4_K", "Q5_K") else None)


def test_a_mixture_of_types_is_read_tensor_by_tensor(tmp_path, small):
    """Q4_K_M has Q6_K for some tensors; rows that are no multiple of 256 fall back to Q5_0 or Q8_0."""
    architecture = small.architecture(**small.wide | {"intermediate_size": 288})
    kinds = {"down_proj": "Q5_0", "v_proj": "Q6_K", "embed_tokens": "Q8_0", "lm_head": "Q6_K"}
    stored = small.write_gguf(tmp_path/"x.gguf", architecture, small.weights(architecture),
        lambda name: kinds.get(name.split(".")[-2], "Q4_K"))
    found  = read_gguf(tmp_path/"x.gguf")
    for name, tensor in found.tensors.items():
        assert tensor.layout == stored[name][0]
        assert tensor.dequantize().tobytes() == reference(stored[name]).tobytes(), name


def test_biases_of_llama_are_moved_with_their_rows(tmp_path, small):
    architecture = small.architecture("llama", qkv_bias=True, o_bias=True, mlp_bias=True)
    weights = small.weights(architecture)
    small.write_gguf(tmp_path/"x.gguf", architecture, weights)
    found = read_gguf(tmp_path/"x.gguf")
    assert {name: tensor.dequantize().tobytes() for name, tensor in found.tensors.items()} == {
        name: values.tobytes() for name, values in weights.items()}


def test_k_is_moved_by_its_own_number_of_heads():
    """The known fault: k with the heads of q. With 4 and 2 heads the two orders differ."""
    assert head_order(2, 4).tolist() == [0, 2, 1, 3, 4, 6, 5, 7]
    assert head_order(4, 8)[:16].tolist() != head_order(2, 16)[:16].tolist()


def test_what_a_generation_starts_with(tmp_path, small):
    architecture = small.architecture()
    small.write_gguf(tmp_path/"x.gguf", architecture, small.weights(architecture), pairs=[
        ("add_bos_token_id", 1), ("add_eos_token_id", 2), ("add_eot_token_id", 7), ("add_add_bos_token", False),
        ("add_tokenizer_model", "gpt2"), ("add_token_list", ["a", "b"])])
    found = read_gguf(tmp_path/"x.gguf")
    assert found.generation.bos_token_id == 1 and found.generation.eos_token_ids == (2, 7)
    assert found.generation.add_bos is False and found.tokenizer.pairs["tokenizer.ggml.tokens"] == ["a", "b"]
    assert not found.notes
    assert found.layout == "GGUF" and found.nbytes == sum(4*np.prod(t.shape) for t in found.tensors.values())


def test_ids_outside_the_vocabulary_and_counts_of_each_layer(tmp_path, small):
    architecture = small.architecture()
    small.write_gguf(tmp_path/"x.gguf", architecture, small.weights(architecture), pairs=[
        ("add_bos_token_id", 2**32 - 1), ("add_eos_token_id", 47),
        ("add_array", "llama.feed_forward_length", [96, 96])])
    found = read_gguf(tmp_path/"x.gguf")
    assert found.generation.bos_token_id is None and found.generation.eos_token_ids == (47,)
    assert len(found.notes) == 1 and "4294967295" in found.notes[0]
    assert found.architecture.intermediate_size == 96


def test_rotary_positions(tmp_path, small):
    gguf = pytest.importorskip("gguf")
    architecture = small.architecture("qwen2", rope=Rope(theta=1e6))
    weights = small.weights(architecture)

    def rope(*pairs, divisors=None):
        small.write_gguf(tmp_path/"x.gguf", architecture, weights, pairs=pairs, divisors=divisors)
        return read_gguf(tmp_path/"x.gguf").architecture.rope

    plain = rope()
    assert plain.kind == "default" and plain.theta == 1e6
    linear = rope(("add_rope_scaling_type", gguf.RopeScalingType.LINEAR), ("add_rope_scaling_factor", 4.0))
    assert np.allclose(linear.frequencies(16), plain.frequencies(16)/4)
    yarn = rope(("add_rope_scaling_type", gguf.RopeScalingType.YARN), ("add_rope_scaling_factor", 4.0),
        ("add_rope_scaling_orig_ctx_len", 32))
    assert (yarn.kind, yarn.trained_context, yarn.beta_fast) == ("yarn", 32, 32)
    assert yarn.magnitude == pytest.approx(0.1*np.log(4) + 1)
    divisors = np.linspace(1, 8, 8, dtype=np.float32)
    assert np.allclose(rope(divisors=divisors).frequencies(16), plain.frequencies(16)/divisors)
    with pytest.raises(ModelError, match="longrope"):
        rope(("add_rope_scaling_type", gguf.RopeScalingType.LONGROPE))
    with pytest.raises(ModelError, match="turns 8 of each head's 16"):
        rope(("add_rope_dimension_count", 8))
    with pytest.raises(ModelError, match="need 8 divisors"):
        rope(divisors=divisors[:4])
    with pytest.raises(ModelError, match="all must be positive"):
        rope(divisors=divisors - 1)


@pytest.mark.parametrize("pair, message", [
    (("add_expert_count", 8), "mixture of experts"),
    (("add_uint16", "split.count", 3), "one of 3 parts; .*--merge"),
    (("add_value_length", 8), "another width"),
    (("add_uint64", "tokenizer.ggml.bos_token_id", 1 << 40), "whole number -1"),
    (("add_array", "tokenizer.ggml.eos_token_id", [2, 3]), "single value, not an array of 2"),
    (("add_array", "llama.expert_count", [0, 0]), "single value"),
    (("add_array", "split.count", [1, 1]), "single value"),
    (("add_array", "llama.attention.sliding_window", [8, 8]), "single value"),
    (("add_array", "llama.rope.scaling.type", [8, 8]), "single value"),
    (("add_array", "llama.attention.head_count_kv", [2, 4]), "must be a whole number"),
    (("add_float32", "llama.rope.freq_base", float("nan")), "positive finite"),
    (("add_string", "tokenizer.ggml.add_bos_token", "yes"), "must be true or false"),
    (("add_string", "llama.rope.scaling.type", "magic"), "rope scaling 'magic'"),
])
def test_what_is_not_supported_is_named(tmp_path, small, pair, message):
    architecture = small.architecture()
    small.write_gguf(tmp_path/"x.gguf", architecture, small.weights(architecture), pairs=[pair])
    with pytest.raises(ModelError, match=message):
        read_gguf(tmp_path/"x.gguf")


def test_other_architectures_and_tensors(tmp_path, small):
    gguf = pytest.importorskip("gguf")
    writer = gguf.GGUFWriter(tmp_path/"x.gguf", "mamba")
    writer.add_tensor("a", np.zeros(4, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    with pytest.raises(ModelError, match="architecture 'mamba'; llama, qwen2, qwen3 can be run"):
        read_gguf(tmp_path/"x.gguf")

    architecture = small.architecture()
    weights = small.weights(architecture)

    def read(**changed):
        kept = {name: values for name, values in (weights | changed).items() if values is not None}
        small.write_gguf(tmp_path/"x.gguf", architecture, kept)
        return read_gguf(tmp_path/"x.gguf")

    read()
    name = "model.layers.1.mlp.up_proj.weight"
    with pytest.raises(ModelError, match=f"lacks the tensor {name}"):
        read(**{name: None})
    with pytest.raises(ModelError, match=r"must have the shape \(96, 64\)"):
        read(**{name: np.zeros((32, 64), np.float32)})
    with pytest.raises(ModelError, match="q_norm"):
        read(**{"model.layers.0.self_attn.q_norm.weight": np.zeros(16, np.float32)})
    with pytest.raises(ModelError, match="layers.2"):
        read(**{"model.layers.2.mlp.up_proj.bias": np.zeros(96, np.float32)})


@pytest.mark.parametrize("name, found", [
    ("blk.0.attn_q.weight", "model.layers.0.self_attn.q_proj.weight"),
    ("blk.12.ffn_down.bias", "model.layers.12.mlp.down_proj.bias"),
    ("output.weight", "lm_head.weight"),
    ("blk.00.attn_q.weight", None), ("blk.x.attn_q.weight", None), ("blk..attn_q.weight", None), ("blk", None),
    ("blk.1.attn_q.scale", None), ("blk.1.ffn_gate_exps.weight", None), ("", None), ("blk.1", None),
    ("blk.²." + "attn_q.weight", None), ("blk." + "9"*5000 + ".attn_q.weight", None),
])
def test_names(name, found):
    assert our_name(name) == found
