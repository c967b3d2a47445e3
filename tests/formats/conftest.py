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
        head += string(name) + struct.pack(f"{order}I{len(dims)}q", len(dims), *dims)
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


def hf_config(architecture, **more):
    """The config.json of an architecture, as transformers 4 words it."""
    a = architecture
    return {
        "model_type": a.family, "vocab_size": a.vocab_size, "hidden_size": a.hidden_size,
        "intermediate_size": a.intermediate_size, "num_hidden_layers": a.num_hidden_layers,
        "num_attention_heads": a.num_attention_heads, "num_key_value_heads": a.num_key_value_heads,
        "head_dim": a.head_dim, "max_position_embeddings": a.max_position_embeddings, "rms_norm_eps": a.rms_norm_eps,
        "rope_theta": a.rope.theta, "tie_word_embeddings": a.tie_word_embeddings, "hidden_act": "silu",
        "bos_token_id": 1, "eos_token_id": 2,
    } | more


def words_of(codes, bits, places=None):
    """Pack the last axis into int32: code j of a word is the one at places[j]."""
    count  = 32//bits
    codes  = codes.reshape(*codes.shape[:-1], -1, count).astype(np.uint64)
    places = range(count) if places is None else places
    words  = sum(codes[..., place] << np.uint64(bits*j) for j, place in enumerate(places))
    return words.astype(np.uint32).view(np.int32)


def gptq_parts(q, z, s, g_idx, bits=4, writer="v2"):
    """Parts of a layer as GPTQ's writers pack it; q (n, k), z and s (n, groups).

    writer: "v2"; "gptqmodel", which takes 1 from whole words; "autogptq", whose zero of 0 becomes 2^32 - 1 and
    overwrites what lies above it in the word.
    """
    zeros = words_of(z.T, bits)
    if writer == "gptqmodel":
        zeros = (zeros.view(np.uint32) - np.uint32(sum(1 << i for i in range(0, 32, bits)))).view(np.int32)
    elif writer == "autogptq":
        less   = (z.T.astype(np.int64) - 1).astype(np.uint32).reshape(z.shape[1], -1, 32//bits)
        shifts = (bits*np.arange(32//bits)).astype(np.uint32)
        zeros  = np.bitwise_or.reduce(less << shifts, axis=-1).view(np.int32)
    along_k = q.T.reshape(-1, 32//bits, q.shape[0]).swapaxes(1, 2)
    return {"qweight": np.ascontiguousarray(words_of(along_k, bits)[..., 0]),
            "qzeros": zeros, "scales": np.ascontiguousarray(s.T), "g_idx": g_idx.astype(np.int32)}


AWQ_ORDER = (0, 2, 4, 6, 1, 3, 5, 7)  # output of each code of a word


def awq_parts(q, z, s):
    """Parts of a layer as AutoAWQ's GEMM layout has it."""
    return {"qweight": words_of(q.T, 4, AWQ_ORDER), "qzeros": words_of(z.T, 4, AWQ_ORDER),
            "scales": np.ascontiguousarray(s.T)}


def packed_parts(q, z, s, bits=4, symmetric=False):
    """Parts of a layer as compressed-tensors packs it; k and n need not be multiples of a word."""
    count = 32//bits
    def padded(array):
        return np.pad(array, ((0, 0), (0, -array.shape[1] % count)))

    parts = {"weight_packed": words_of(padded(q), bits), "weight_scale": s,
             "weight_shape": np.array(q.shape, np.int64)}
    if not symmetric:
        parts["weight_zero_point"] = np.ascontiguousarray(words_of(padded(z.T), bits).T)
    return parts


def write_quantised(folder, method, architecture, group_size=32, bits=4, seed=0, act_order=False, quantization=None,
        low=0, **options):
    """A folder whose layers are quantised; returns dict of name → (n, k) float32, every weight rounded once."""
    rng   = np.random.default_rng(seed)
    exact = make_weights(architecture, seed)
    tensors = {}
    for name, values in exact.items():
        if values.ndim == 1 or ".layers." not in name:
            tensors[name] = values
            continue
        n, k   = values.shape
        groups = -(-k//group_size)
        q = rng.integers(0, 1 << bits, (n, k), np.uint8)
        z = rng.integers(low, 1 << bits, (n, groups), np.uint8)
        s = (0.02*rng.standard_normal((n, groups))).astype(np.float16)
        g_idx = np.arange(k)//group_size
        if act_order:
            g_idx = rng.permutation(g_idx)
        if options.get("symmetric") or options.get("sym"):
            z[...] = 1 << (bits - 1)
        module = name.removesuffix(".weight")
        if method == "gptq":
            parts = gptq_parts(q, z, s, g_idx, bits, options.get("writer", "v2"))
        elif method == "awq":
            parts = awq_parts(q, z, s)
        else:
            parts = packed_parts(q, z, s, bits, options.get("symmetric", False))
        tensors |= {f"{module}.{part}": array for part, array in parts.items()}
        codes = q.astype(np.float64) - z.astype(np.float64)[:, g_idx]
        exact[name] = (s.astype(np.float64)[:, g_idx]*codes).astype(np.float32)
    defaults = {
        "gptq": {"quant_method": "gptq", "bits": bits, "group_size": group_size, "checkpoint_format": "gptq_v2"},
        "awq":  {"quant_method": "awq", "bits": 4, "group_size": group_size, "version": "gemm"},
        "compressed-tensors": {"quant_method": "compressed-tensors", "format": "pack-quantized", "ignore": ["lm_head"],
            "config_groups": {"group_0": {"targets": ["Linear"], "weights": {"num_bits": bits, "type": "int",
                "strategy": "group", "group_size": group_size, "symmetric": False}}}},
    }[method]
    write_folder(folder, hf_config(architecture, quantization_config=defaults | (quantization or {})), tensors)
    return exact


def write_llama2c(path, architecture, weights, version, group_size=None):
    """Write a model as llama2.c's export.py does; returns dict of name → float32 that the file stands for."""
    a, exact = architecture, dict(weights)
    numbers  = [a.hidden_size, a.intermediate_size, a.num_hidden_layers, a.num_attention_heads, a.num_key_value_heads,
                a.vocab_size, a.max_position_embeddings]
    def layers(part):
        return [f"model.layers.{i}.{part}.weight" for i in range(a.num_hidden_layers)]

    att, ffn = layers("input_layernorm"), layers("post_attention_layernorm")
    q, k, v, o = (layers(f"self_attn.{part}_proj") for part in "qkvo")
    gate, down, up = (layers(f"mlp.{part}_proj") for part in ("gate", "down", "up"))
    embedding, norm = "model.embed_tokens.weight", "model.norm.weight"
    head = [] if a.tie_word_embeddings else ["lm_head.weight"]

    def there(name):
        heads = {"q_proj": a.num_attention_heads, "k_proj": a.num_key_value_heads}.get(name.split(".")[-2])
        return permute(weights[name], heads) if heads else weights[name]

    with open(path, "wb") as file:
        if version == 0:
            numbers[5] *= 1 if a.tie_word_embeddings else -1
            file.write(struct.pack("7i", *numbers))
            for name in [embedding, *att, *q, *k, *v, *o, *ffn, *gate, *down, *up, norm]:
                file.write(there(name).tobytes())
            file.write(np.ones((2, a.max_position_embeddings, a.head_dim//2), np.float32).tobytes())
            for name in head:
                file.write(there(name).tobytes())
            return exact
        start = struct.pack("<Ii7iB", 0x616B3432, version, *numbers, a.tie_word_embeddings)
        file.write((start + (struct.pack("<i", group_size) if version == 2 else b"")).ljust(256, b"\0"))
        for name in [*att, *ffn, norm]:
            file.write(weights[name].tobytes())
        for name in [embedding, *q, *k, *v, *o, *gate, *down, *up, *head]:
            if version == 1:
                file.write(there(name).tobytes())
                continue
            groups = there(name).reshape(-1, group_size)
            scale  = np.abs(groups).max(axis=1)/np.float32(127)
            codes  = np.rint(groups/scale[:, None]).astype(np.int8)
            file.write(codes.tobytes() + scale.tobytes())
            found = (codes.astype(np.float64)*scale[:, None].astype(np.float64)).astype(np.float32)
            heads = {"q_proj": a.num_attention_heads, "k_proj": a.num_key_value_heads}.get(name.split(".")[-2])
            found = found.reshape(weights[name].shape)
            if heads:  # convert_llama_weights_to_hf.py's way back
                found = found.reshape(heads, -1, 2, found.shape[1]).swapaxes(1, 2).reshape(found.shape)
            exact[name] = found
    return exact


@pytest.fixture(scope="session")
def small():
    """The functions of this file, and the sizes."""
    return SimpleNamespace(sizes=SMALL, wide=WIDE, architecture=make_architecture, weights=make_weights,
        permute=permute, write_gguf=write_gguf, raw_gguf=raw_gguf, gguf_name=gguf_name, write_folder=write_folder,
        config=hf_config, gptq_parts=gptq_parts, awq_parts=awq_parts, packed_parts=packed_parts,
        write_quantised=write_quantised, write_llama2c=write_llama2c)
