# SPDX-License-Identifier: BSD-2-Clause
"""The decoder in a GGUF file: its shape from the key-value pairs, its tensors under the names of `transformers`.

Files of the architecture "llama", Mistral among them, have the rows of q and k, and of their biases, in another order:
the two halves of a head that turn together are interleaved. The rows are moved back whole, blocks intact, with the
number of heads for q and that of key-value heads for k. Files of qwen2 and qwen3 are as `transformers` has them.

Source: convert_hf_to_gguf.py and llama-model.cpp of https://github.com/ggml-org/llama.cpp.
"""

import numpy as np

from mixpe.errors import ModelError
from mixpe.formats.architecture import LIMITS, Architecture, whole
from mixpe.formats.brief import brief, located
from mixpe.formats.checkpoint import Checkpoint, GenerationDefaults, TokenizerSource, checked
from mixpe.formats.ggml_blocks import block_tensor
from mixpe.formats.gguf import GgufFile
from mixpe.formats.rope import Rope, positive, yarn_magnitude

FAMILIES = ("llama", "qwen2", "qwen3")

_WHOLE = {  # name in the file: ours
    "token_embd.weight":  "model.embed_tokens.weight",
    "output_norm.weight": "model.norm.weight",
    "output.weight":      "lm_head.weight",
}
_OF_LAYER = {
    "attn_norm":   "input_layernorm",
    "attn_q":      "self_attn.q_proj",
    "attn_k":      "self_attn.k_proj",
    "attn_v":      "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "attn_q_norm": "self_attn.q_norm",
    "attn_k_norm": "self_attn.k_norm",
    "ffn_norm":    "post_attention_layernorm",
    "ffn_gate":    "mlp.gate_proj",
    "ffn_up":      "mlp.up_proj",
    "ffn_down":    "mlp.down_proj",
}
_DIVISORS = "rope_freqs.weight"


def our_name(name):
    """A tensor's name as `transformers` has it; None where the family has no such tensor."""
    if name in _WHOLE:
        return _WHOLE[name]
    block, _, rest = name.partition(".")
    layer, _, rest = rest.partition(".")
    part, _, kind  = rest.rpartition(".")
    if (block != "blk" or part not in _OF_LAYER or kind not in ("weight", "bias")
            or not (layer.isascii() and layer.isdecimal() and layer == str(int(layer[:9])))):
        return None
    return f"model.layers.{layer}.{_OF_LAYER[part]}.{kind}"


def head_order(heads, head_dim):
    """Row of the file for each of our rows: our first half of a head are its even rows there, the second its odd."""
    rows = np.arange(heads*head_dim).reshape(heads, head_dim//2, 2)
    return rows.transpose(0, 2, 1).reshape(-1)


class _Keys:
    """The pairs that describe a model, with the architecture's prefix."""

    def __init__(self, file, family):
        self._pairs  = file.pairs
        self._prefix = family

    def get(self, key, default=None):
        return self._pairs.single(f"{self._prefix}.{key}", default)

    def count(self, key, ours, default=None):
        """A whole number; an array, which some writers give for each layer, must have the same number in all."""
        value = self._pairs.get(f"{self._prefix}.{key}", default)
        if isinstance(value, np.ndarray) and value.size and value.dtype.kind in "iu" and (value == value[0]).all():
            value = value[0].item()
        if value is None:
            raise ModelError(f"lacks the key {self._prefix}.{key}")
        return whole(value, f"{self._prefix}.{key}", LIMITS[ours])

    def number(self, key, default):
        return positive(self.get(key, default), f"{self._prefix}.{key}")


def _rope(keys, head_dim, divisors):
    turned = keys.count("rope.dimension_count", "head_dim", head_dim)
    if turned != head_dim:
        raise ModelError(f"turns {turned} of each head's {head_dim} numbers; all must be turned")
    values  = {"theta": keys.number("rope.freq_base", 10000.0), "divisors": divisors}
    scaling = keys.get("rope.scaling.type", "linear" if keys.get("rope.scale_linear") is not None else "none")
    if scaling == "linear":
        factor = keys.number("rope.scaling.factor", keys.get("rope.scale_linear", 1.0))
        values |= {"kind": "linear", "factor": factor}
    elif scaling == "yarn":
        factor = keys.number("rope.scaling.factor", 1.0)
        scale  = keys.number("rope.scaling.attn_factor", keys.get("rope.scaling.yarn_attn_factor", 1.0))
        values |= {
            "kind":            "yarn",
            "factor":          factor,
            "trained_context": keys.count("rope.scaling.original_context_length", "max_position_embeddings",
                                   keys.get("context_length")),
            "beta_fast":       keys.number("rope.scaling.yarn_beta_fast", 32.0),
            "beta_slow":       keys.number("rope.scaling.yarn_beta_slow", 1.0),
            "magnitude":       scale*yarn_magnitude(factor),
        }
    elif scaling != "none":
        raise ModelError(f"has the rope scaling {brief(scaling)}; known are none, linear and yarn")
    return Rope(**values)


def _architecture(file, family, divisors):
    keys   = _Keys(file, family)
    heads  = keys.count("attention.head_count", "num_attention_heads")
    hidden = keys.count("embedding_length", "hidden_size")
    if keys.get("expert_count", 0) != 0:
        raise ModelError("is a mixture of experts, which is not supported")
    if keys.get("attention.key_length") is None and hidden % heads:
        raise ModelError(f"has {heads} heads, which do not divide its width {hidden}")
    head_dim = keys.count("attention.key_length", "head_dim", hidden//heads)
    if keys.count("attention.value_length", "head_dim", head_dim) != head_dim:
        raise ModelError("has values of another width than its keys, which is not supported")
    embedding = file.tensors.get("token_embd.weight")
    if embedding is None:
        raise ModelError("lacks the tensor token_embd.weight")
    window = keys.get("attention.sliding_window")
    return Architecture(
        family                  = family,
        vocab_size              = embedding.shape[0],
        hidden_size             = hidden,
        intermediate_size       = keys.count("feed_forward_length", "intermediate_size"),
        num_hidden_layers       = keys.count("block_count", "num_hidden_layers"),
        num_attention_heads     = heads,
        num_key_value_heads     = keys.count("attention.head_count_kv", "num_key_value_heads", heads),
        head_dim                = head_dim,
        max_position_embeddings = keys.count("context_length", "max_position_embeddings"),
        rms_norm_eps            = keys.number("attention.layer_norm_rms_epsilon", 1e-5),
        rope                    = _rope(keys, head_dim, divisors),
        tie_word_embeddings     = "output.weight" not in file.tensors,
        qkv_bias                = "blk.0.attn_q.bias" in file.tensors,
        o_bias                  = "blk.0.attn_output.bias" in file.tensors,
        mlp_bias                = "blk.0.ffn_gate.bias" in file.tensors,
        qk_norm                 = family == "qwen3",
        sliding_window          = window or None,
    )


def _tensors(file, architecture):
    heads = {}
    if architecture.family == "llama":
        heads = {"attn_q": architecture.num_attention_heads, "attn_k": architecture.num_key_value_heads}
    tensors = {}
    for info in file.tensors.values():
        if info.name == _DIVISORS:
            continue
        name = our_name(info.name)
        if name is None:
            raise ModelError(f"has the tensor {brief(info.name)}, which a {architecture.family} model does not have")
        if len(info.shape) == 1 and info.kind.weights > 1 or len(info.shape) > 2:
            raise ModelError(f"has the tensor {brief(info.name)} as {info.kind.name} {info.shape}; "
                             "it must be a matrix, or a vector of floats")
        count, order = heads.get(info.name.split(".")[-2]), None
        if count is not None:
            if info.shape[0] != count*architecture.head_dim:
                raise ModelError(f"has {info.shape[0]} rows in {brief(info.name)}, its heads need "
                                 f"{count*architecture.head_dim}")
            order = head_order(count, architecture.head_dim)
        tensors[name] = block_tensor(info.name, info.kind, file.bytes_of(info), info.shape, order)
    return tensors


def _generation(pairs, vocab_size):
    """Generation defaults, and notes."""
    ids, notes = {}, []
    for key in ("bos", "eos", "eot", "eom"):
        name  = f"tokenizer.ggml.{key}_token_id"
        value = pairs.single(name)
        if value is None:
            continue
        if whole(value, name, 1 << 32, -1) in range(vocab_size):
            ids[key] = value
        else:
            notes.append(f"{name} is {value}, which its {vocab_size} tokens do not hold: it is left out")
    add_bos = pairs.single("tokenizer.ggml.add_bos_token")
    if not isinstance(add_bos, bool | None):
        raise ModelError(f"has tokenizer.ggml.add_bos_token = {brief(add_bos)}; it must be true or false")
    ends = dict.fromkeys(ids[key] for key in ("eos", "eot", "eom") if key in ids)
    return GenerationDefaults(bos_token_id=ids.get("bos"), eos_token_ids=tuple(ends), add_bos=add_bos), notes


def read_gguf(path):
    """Read a GGUF file.

    Parameters
    ----------
    path : path

    Returns
    -------
    Checkpoint
        Its tensors decode rows of the mapped file when they are asked for.

    Raises
    ------
    ModelError
        A damaged file, another architecture, a type of weights that is not read.
    """
    file = GgufFile(path)
    try:
        family = file.pairs.single("general.architecture")
        if family not in FAMILIES:
            raise ModelError(f"has the architecture {brief(family)}; {', '.join(FAMILIES)} can be run "
                             "(Mistral, SmolLM2 and TinyLlama are llama)")
        parts = file.pairs.single("split.count", 1)
        if parts not in (0, 1):
            raise ModelError(f"is one of {brief(parts)} parts; llama.cpp's llama-gguf-split --merge joins them")
        info = file.tensors.get(_DIVISORS)
        divisors = None
        if info is not None:
            if info.kind.name != "F32" or len(info.shape) != 1:
                raise ModelError(f"has {_DIVISORS} as {info.kind.name} {info.shape}; it must be a vector of F32")
            divisors = block_tensor(_DIVISORS, info.kind, file.bytes_of(info), info.shape).dequantize()
            if not divisors.min() > 0:
                raise ModelError(f"has a divisor {divisors.min()} in {_DIVISORS}; all must be positive")
        architecture = _architecture(file, family, divisors)
        tensors      = _tensors(file, architecture)
        generation, notes = _generation(file.pairs, architecture.vocab_size)
    except ModelError as error:
        raise ModelError(located(file.path, error)) from None
    return Checkpoint(file.path, "GGUF", architecture, checked(file.path, architecture, tensors),
        TokenizerSource(pairs=file.pairs), generation, tuple(notes))
