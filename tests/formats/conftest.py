# SPDX-License-Identifier: BSD-2-Clause
"""Small models as other programs write them."""

import json
import struct
from types import SimpleNamespace

import numpy as np
import pytest

from mixpe.formats import safetensors
from mixpe.formats.architecture import Architecture
from mixpe.formats.rope import Rope

SMALL = dict(vocab_size=48, hidden_size=64, intermediate_size=96, num_hidden_layers=2, num_attention_heads=4,
    num_key_value_heads=2, head_dim=16, max_position_embeddings=64)
WIDE = SMALL | dict(hidden_size=256, intermediate_size=512, num_hidden_layers=1, head_dim=64)  # k of whole superblocks


def make_architecture(family="llama", **changes):
    """A small architecture; qwen2 and qwen3 with their biases and norms."""
    own = {"qwen2": {"qkv_bias": True}, "qwen3": {"qk_norm": True}}.get(family, {})
    return Architecture(family=family, **(SMALL | {"rope": Rope()} | own | changes))


def make_weights(architecture, seed=0):
    """Dict of name → float32: every tensor of an architecture, norms about 1."""
    rng = np.random.default_rng(seed)
    return {name: (0.1*rng.standard_normal(shape) + ("norm" in name)).astype(np.float32)
            for name, shape in architecture.tensor_shapes().items()}


def gguf_name(name):
    """Our name of a tensor → the name in a GGUF file."""
    parts = {
        "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm", "self_attn.q_proj": "attn_q",
        "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output",
        "self_attn.q_norm": "attn_q_norm", "self_attn.k_norm": "attn_k_norm", "mlp.gate_proj": "ffn_gate",
        "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down",
    }
    whole = {"model.embed_tokens.weight": "token_embd.weight", "model.norm.weight": "output_norm.weight",
             "lm_head.weight": "output.weight"}
    if name in whole:
        return whole[name]
    _, _, layer, rest = name.split(".", 3)
    part, _, kind = rest.rpartition(".")
    return f"blk.{layer}.{parts[part]}.{kind}"


def permute(values, heads):
    """Rows of q or k as convert_hf_to_gguf.py and llama2.c's export.py reorder them (their lines)."""
    return values.reshape(heads, 2, values.shape[0]//heads//2, *values.shape[1:]).swapaxes(1, 2).reshape(values.shape)


def write_gguf(path, architecture, weights, types=None, pairs=(), divisors=None):
    """Write a GGUF file with gguf-py.

    Parameters
    ----------
    types : callable, optional
        Our name → ggml type's name. Default: F32.
    pairs : iterable of (method of gguf.GGUFWriter, arguments)

    Returns
    -------
    dict of our name → (type's name, raw data with our order of rows)
    """
    gguf = pytest.importorskip("gguf")
    a, family = architecture, {"mistral": "llama"}.get(architecture.family, architecture.family)
    writer = gguf.GGUFWriter(path, family)
    writer.add_block_count(a.num_hidden_layers)
    writer.add_context_length(a.max_position_embeddings)
    writer.add_embedding_length(a.hidden_size)
    writer.add_feed_forward_length(a.intermediate_size)
    writer.add_head_count(a.num_attention_heads)
    writer.add_head_count_kv(a.num_key_value_heads)
    writer.add_key_length(a.head_dim)
    writer.add_value_length(a.head_dim)
    writer.add_layer_norm_rms_eps(a.rms_norm_eps)
    writer.add_rope_freq_base(a.rope.theta)
    for method, *arguments in pairs:
        getattr(writer, method)(*arguments)
    stored = {}
    for name, values in weights.items():
        kind = types(name) if types and values.ndim == 2 else "F32"
        heads = {"q_proj": a.num_attention_heads, "k_proj": a.num_key_value_heads}.get(name.split(".")[-2])
        there = permute(values, heads) if heads and family == "llama" else values
        number = gguf.GGMLQuantizationType[kind]
        for order, rows in (("there", there), ("ours", values)):
            if kind.endswith("_K"):
                libgguf = pytest.importorskip("libgguf")
                data = libgguf.quantize_rows(rows, libgguf.GGMLQuantizationType[kind])
            else:
                data = gguf.quants.quantize(rows, number)
            if order == "there":
                writer.add_tensor(gguf_name(name), data, raw_dtype=number)
            else:
                stored[name] = kind, data
    if divisors is not None:
        writer.add_tensor("rope_freqs.weight", divisors)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return stored


def raw_gguf(pairs=(), tensors=(), data=b"", version=3, counts=None, order="<", align=32):
    """Bytes of a GGUF file, by the format's own description, with every field in our hands.

    Parameters
    ----------
    pairs : list of (key, type, packed value)
    tensors : list of (name, dims, type, offset)
    counts : (tensors, pairs), optional
        What the header says of them.
    """
    def string(text):
        text = text if isinstance(text, bytes) else text.encode()
        return struct.pack(f"{order}Q", len(text)) + text

    tensor_count, pair_count = counts or (len(tensors), len(pairs))
    head = b"GGUF" + struct.pack(f"{order}IQQ", version, tensor_count, pair_count)
    for key, kind, value in pairs:
        head += string(key) + struct.pack(f"{order}I", kind) + value
    for name, dims, kind, offset in tensors:
        head += string(name) + struct.pack(f"{order}I", len(dims)) + struct.pack(f"{order}{len(dims)}q", *dims)
        head += struct.pack(f"{order}IQ", kind, offset)
    return head + (bytes(-len(head) % align) + data if data else b"")


def write_folder(folder, config, tensors, shards=1, **files):
    """A Hugging Face folder: config.json, the tensors in one file or several with an index, other JSON files."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder/"config.json").write_text(json.dumps(config))
    for name, value in files.items():
        (folder/f"{name}.json").write_text(json.dumps(value))
    if shards == 1:
        safetensors.save(folder/"model.safetensors", tensors)
        return folder
    names = [f"model-{i + 1:05}-of-{shards:05}.safetensors" for i in range(shards)]
    where = {tensor: names[i*shards//len(tensors)] for i, tensor in enumerate(tensors)}
    for name in names:
        safetensors.save(folder/name, {tensor: tensors[tensor] for tensor in tensors if where[tensor] == name})
    (folder/"model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": where}))
    return folder


@pytest.fixture(scope="session")
def small():
    """The functions of this file, and the sizes."""
    return SimpleNamespace(sizes=SMALL, wide=WIDE, architecture=make_architecture, weights=make_weights,
        permute=permute, write_gguf=write_gguf, raw_gguf=raw_gguf, gguf_name=gguf_name, write_folder=write_folder)
