# SPDX-License-Identifier: BSD-2-Clause
"""Shape of a Llama model, read from the keys of a ``config.json`` as `transformers` writes it."""

import json
from dataclasses import dataclass
from pathlib import Path

from mixpe.errors import ModelError

_REFUSED = {  # key: the only values that change nothing here
    "attention_bias":      (None, False),
    "mlp_bias":            (None, False),
    "hidden_act":          (None, "silu"),
    "rope_scaling":        (None,),
    "quantization_config": (None,),
}


@dataclass(frozen=True, kw_only=True)
class LlamaConfig:
    """Shape of a Llama model; the names are those of `transformers`' LlamaConfig.

    Parameters
    ----------
    vocab_size, hidden_size, intermediate_size, num_hidden_layers, num_attention_heads, num_key_value_heads, head_dim
        Whole numbers from 1; the key-value heads divide the heads; head_dim is even.
    max_position_embeddings : int
        Longest context in tokens.
    rms_norm_eps, rope_theta : float
    tie_word_embeddings : bool
        The output head is the embedding's matrix.
    """

    vocab_size:              int
    hidden_size:             int
    intermediate_size:       int
    num_hidden_layers:       int
    num_attention_heads:     int
    num_key_value_heads:     int
    head_dim:                int
    max_position_embeddings: int
    rms_norm_eps:            float = 1e-5
    rope_theta:              float = 10000.0
    tie_word_embeddings:     bool = False

    @classmethod
    def from_dict(cls, values, source="the configuration"):
        """Build from the keys of a ``config.json``; keys that do not concern the shape are ignored.

        Raises
        ------
        ModelError
            Another architecture, an option that is not supported, or a missing or impossible number.
        """
        if not isinstance(values, dict):
            raise ModelError(f"{source} must be a JSON object, not {type(values).__name__}")
        kind = values.get("model_type")
        if kind != "llama":
            raise ModelError(f"{source} has the model_type {kind!r}; only 'llama' can be run")
        for key, neutral in _REFUSED.items():
            if values.get(key) not in neutral:
                raise ModelError(f"{source} has {key} = {values[key]!r}, which is not supported (only {neutral[-1]!r})")
        values = dict(values)
        rope = values.get("rope_parameters") or {}
        if rope.get("rope_type", "default") != "default":
            raise ModelError(f"{source} has the rope_type {rope['rope_type']!r}; only 'default' is supported")
        if "rope_theta" in rope:
            values["rope_theta"] = rope["rope_theta"]
        heads = values.get("num_attention_heads")
        if values.get("num_key_value_heads") is None:
            values["num_key_value_heads"] = heads
        if values.get("head_dim") is None and type(heads) is int and heads > 0:
            width = values.get("hidden_size")
            values["head_dim"] = width // heads if type(width) is int else None

        taken = {}
        for name, field in cls.__dataclass_fields__.items():
            value = values.get(name)
            if value is None and field.type is not int:
                continue
            if field.type is int and not (type(value) is int and value > 0):
                raise ModelError(f"{source} must have {name} as a whole number from 1, not {value!r}")
            if field.type is float and not (type(value) in (int, float) and value > 0):
                raise ModelError(f"{source} must have {name} as a positive number, not {value!r}")
            if field.type is bool and type(value) is not bool:
                raise ModelError(f"{source} must have {name} as true or false, not {value!r}")
            taken[name] = value
        config = cls(**taken)
        if config.num_attention_heads % config.num_key_value_heads:
            raise ModelError(f"{source} has {config.num_attention_heads} heads, which its "
                             f"{config.num_key_value_heads} key-value heads do not divide")
        if config.head_dim % 2:
            raise ModelError(f"{source} has the odd head_dim {config.head_dim}; rotary positions need an even one")
        return config

    @classmethod
    def from_file(cls, path):
        """Read a ``config.json``."""
        path = Path(path)
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise ModelError(f"{path} cannot be read: {error.strerror}; "
                             "a model is a folder with config.json and model.safetensors") from error
        except ValueError as error:
            raise ModelError(f"{path} is not JSON: {error}") from None
        return cls.from_dict(values, str(path))

    def tensor_shapes(self):
        """Every tensor of the checkpoint: dict of name → shape, linear weights as (n, k)."""
        width, inner = self.hidden_size, self.intermediate_size
        q_width, kv_width = self.num_attention_heads * self.head_dim, self.num_key_value_heads * self.head_dim
        shapes = {"model.embed_tokens.weight": (self.vocab_size, width)}
        for i in range(self.num_hidden_layers):
            prefix = f"model.layers.{i}."
            shapes |= {
                prefix + "input_layernorm.weight":          (width,),
                prefix + "self_attn.q_proj.weight":         (q_width, width),
                prefix + "self_attn.k_proj.weight":         (kv_width, width),
                prefix + "self_attn.v_proj.weight":         (kv_width, width),
                prefix + "self_attn.o_proj.weight":         (width, q_width),
                prefix + "post_attention_layernorm.weight": (width,),
                prefix + "mlp.gate_proj.weight":            (inner, width),
                prefix + "mlp.up_proj.weight":              (inner, width),
                prefix + "mlp.down_proj.weight":            (width, inner),
            }
        shapes["model.norm.weight"] = (width,)
        if not self.tie_word_embeddings:
            shapes["lm_head.weight"] = (self.vocab_size, width)
        return shapes
