# SPDX-License-Identifier: BSD-2-Clause
"""What a decoder of the Llama family needs to know of its checkpoint, whatever file it came from.

    x += o(attention(rope(norm(q(n))), rope(norm(k(n))), v(n))),   n = rms_norm(x)
    x += down(silu(gate(n))·up(n)),                                n = rms_norm(x)

Llama, Mistral, Qwen2 and Qwen3 differ in which biases there are, in norms of q and k, and in the window of attention.
"""

from dataclasses import dataclass, field

from mixpe.errors import ModelError
from mixpe.formats.brief import brief
from mixpe.formats.rope import Rope, positive

FAMILIES = ("llama", "mistral", "qwen2", "qwen3")
LIMITS   = {  # far over every model that there is; what is larger is a damaged file
    "vocab_size":              1 << 24,
    "hidden_size":             1 << 20,
    "intermediate_size":       1 << 22,
    "num_hidden_layers":       1 << 12,
    "num_attention_heads":     1 << 14,
    "num_key_value_heads":     1 << 14,
    "head_dim":                1 << 14,
    "max_position_embeddings": 1 << 26,
}


def whole(value, what, limit, least=1):
    """A whole number least … limit.

    Raises
    ------
    ModelError
    """
    if type(value) is not int or not least <= value <= limit:
        raise ModelError(f"{what} must be a whole number {least} … {limit}, not {brief(value)}")
    return value


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """Shape of a decoder; the names are those of `transformers`.

    Parameters
    ----------
    family : str
        "llama", "mistral", "qwen2" or "qwen3".
    vocab_size, hidden_size, intermediate_size, num_hidden_layers, num_attention_heads, num_key_value_heads, head_dim
        Whole numbers from 1; the key-value heads divide the heads; head_dim is even.
    max_position_embeddings : int
        Longest context in tokens.
    rms_norm_eps : float
    rope : Rope
    tie_word_embeddings : bool
        The head is the embedding's matrix.
    qkv_bias, o_bias, mlp_bias : bool
        Which linear layers have a bias.
    qk_norm : bool
        Each head of q and k goes through an RMS norm of its own before it is turned.
    sliding_window : int or None
        A token sees this many, itself included.
    sliding_layers : tuple of bool
        Which layers have the window; empty: all.
    """

    family:                  str
    vocab_size:              int
    hidden_size:             int
    intermediate_size:       int
    num_hidden_layers:       int
    num_attention_heads:     int
    num_key_value_heads:     int
    head_dim:                int
    max_position_embeddings: int
    rms_norm_eps:            float = 1e-5
    rope:                    Rope = field(default_factory=Rope)
    tie_word_embeddings:     bool = False
    qkv_bias:                bool = False
    o_bias:                  bool = False
    mlp_bias:                bool = False
    qk_norm:                 bool = False
    sliding_window:          int | None = None
    sliding_layers:          tuple = ()

    def __post_init__(self):
        for name, limit in LIMITS.items():
            whole(getattr(self, name), name, limit)
        positive(self.rms_norm_eps, "rms_norm_eps")
        if self.num_attention_heads % self.num_key_value_heads:
            raise ModelError(f"{self.num_attention_heads} heads are no multiple of {self.num_key_value_heads} "
                             "key-value heads")
        if self.head_dim % 2:
            raise ModelError(f"rotary positions need an even head_dim, not {self.head_dim}")
        if self.rope.divisors is not None and self.rope.divisors.shape != (self.head_dim//2,):
            raise ModelError(f"heads of {self.head_dim} need {self.head_dim//2} divisors of the frequencies, not "
                             f"{self.rope.divisors.shape}")
        if self.sliding_window is not None:
            whole(self.sliding_window, "sliding_window", LIMITS["max_position_embeddings"])
        if self.sliding_layers and len(self.sliding_layers) != self.num_hidden_layers:
            raise ModelError(f"{self.num_hidden_layers} layers need as many entries of layer_types, not "
                             f"{len(self.sliding_layers)}")

    def window(self, layer):
        """Tokens that a layer's token sees, itself included; None: all before it."""
        return self.sliding_window if not self.sliding_layers or self.sliding_layers[layer] else None

    def tensor_shapes(self):
        """Every tensor of the checkpoint: dict of name → shape, linear weights as (n, k)."""
        width, inner = self.hidden_size, self.intermediate_size
        q_width, kv_width = self.num_attention_heads*self.head_dim, self.num_key_value_heads*self.head_dim
        linear = {
            "self_attn.q_proj": (q_width, width,  self.qkv_bias),
            "self_attn.k_proj": (kv_width, width, self.qkv_bias),
            "self_attn.v_proj": (kv_width, width, self.qkv_bias),
            "self_attn.o_proj": (width, q_width,  self.o_bias),
            "mlp.gate_proj":    (inner, width,    self.mlp_bias),
            "mlp.up_proj":      (inner, width,    self.mlp_bias),
            "mlp.down_proj":    (width, inner,    self.mlp_bias),
        }
        norms = {"input_layernorm": width, "post_attention_layernorm": width}
        if self.qk_norm:
            norms |= {"self_attn.q_norm": self.head_dim, "self_attn.k_norm": self.head_dim}
        shapes = {"model.embed_tokens.weight": (self.vocab_size, width)}
        for i in range(self.num_hidden_layers):
            prefix = f"model.layers.{i}."
            for name, (n, k, bias) in linear.items():
                shapes[f"{prefix}{name}.weight"] = (n, k)
                if bias:
                    shapes[f"{prefix}{name}.bias"] = (n,)
            for name, n in norms.items():
                shapes[f"{prefix}{name}.weight"] = (n,)
        shapes["model.norm.weight"] = (width,)
        if not self.tie_word_embeddings:
            shapes["lm_head.weight"] = (self.vocab_size, width)
        return shapes
