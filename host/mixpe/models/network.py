# SPDX-License-Identifier: BSD-2-Clause
"""The trained network in PyTorch: a byte-level Llama (RMSNorm, RoPE, grouped-query attention, SwiGLU, no biases).

Used for training only; `mixpe.lm` runs the same weights with numpy. Parameter names are those of the `transformers`
Llama, so the state dictionary is the checkpoint.
"""

import math

import torch
from torch import nn
from torch.nn import functional

# Keys as in transformers' LlamaConfig. All linear widths are multiples of 128, the default group size.
CONFIG = {
    "architectures":           ["LlamaForCausalLM"],
    "model_type":              "llama",
    "vocab_size":              256,
    "hidden_size":             256,
    "intermediate_size":       512,
    "num_hidden_layers":       3,
    "num_attention_heads":     4,
    "num_key_value_heads":     2,
    "head_dim":                64,
    "max_position_embeddings": 256,
    "hidden_act":              "silu",
    "rms_norm_eps":            1e-5,
    "rope_theta":              10000.0,
    "attention_bias":          False,
    "mlp_bias":                False,
    "tie_word_embeddings":     False,
    "bos_token_id":            0,
    "eos_token_id":            0,
    "torch_dtype":             "float16",
}


class RMSNorm(nn.Module):
    def __init__(self, width, eps):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.eps = eps

    def forward(self, x):
        return functional.rms_norm(x, (x.shape[-1],), self.weight, self.eps)


def rope_tables(config):
    """cos and sin, each (context, head_dim), in the half-rotation convention of transformers."""
    head_dim = config["head_dim"]
    inverse = config["rope_theta"] ** (-torch.arange(0, head_dim, 2, dtype=torch.float64) / head_dim)
    angle = torch.outer(torch.arange(config["max_position_embeddings"], dtype=torch.float64), inverse)
    angle = torch.cat([angle, angle], dim=1)
    return angle.cos().float(), angle.sin().float()


def rotate(x, cos, sin):
    low, high = x.chunk(2, dim=-1)
    return x * cos + torch.cat([-high, low], dim=-1) * sin


class Attention(nn.Module):
    def __init__(self, config):
        super().__init__()
        width, head_dim = config["hidden_size"], config["head_dim"]
        self.heads, self.kv_heads = config["num_attention_heads"], config["num_key_value_heads"]
        self.head_dim = head_dim
        self.q_proj = nn.Linear(width, self.heads * head_dim, bias=False)
        self.k_proj = nn.Linear(width, self.kv_heads * head_dim, bias=False)
        self.v_proj = nn.Linear(width, self.kv_heads * head_dim, bias=False)
        self.o_proj = nn.Linear(self.heads * head_dim, width, bias=False)

    def forward(self, x, cos, sin):
        b, t, _ = x.shape
        q = self.q_proj(x).view(b, t, self.heads, self.head_dim).transpose(1, 2)     # (b, heads, t, head_dim)
        k = self.k_proj(x).view(b, t, self.kv_heads, self.head_dim).transpose(1, 2)  # (b, kv_heads, t, head_dim)
        v = self.v_proj(x).view(b, t, self.kv_heads, self.head_dim).transpose(1, 2)
        q, k = rotate(q, cos, sin), rotate(k, cos, sin)
        repeat = self.heads // self.kv_heads
        k, v = k.repeat_interleave(repeat, dim=1), v.repeat_interleave(repeat, dim=1)
        y = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.o_proj(y.transpose(1, 2).reshape(b, t, self.heads * self.head_dim))


class MLP(nn.Module):
    def __init__(self, config):
        super().__init__()
        width, inner = config["hidden_size"], config["intermediate_size"]
        self.gate_proj = nn.Linear(width, inner, bias=False)
        self.up_proj   = nn.Linear(width, inner, bias=False)
        self.down_proj = nn.Linear(inner, width, bias=False)

    def forward(self, x):
        return self.down_proj(functional.silu(self.gate_proj(x)) * self.up_proj(x))


class Block(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.self_attn = Attention(config)
        self.mlp = MLP(config)
        self.input_layernorm = RMSNorm(config["hidden_size"], config["rms_norm_eps"])
        self.post_attention_layernorm = RMSNorm(config["hidden_size"], config["rms_norm_eps"])

    def forward(self, x, cos, sin):
        x = x + self.self_attn(self.input_layernorm(x), cos, sin)
        return x + self.mlp(self.post_attention_layernorm(x))


class Decoder(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.embed_tokens = nn.Embedding(config["vocab_size"], config["hidden_size"])
        self.layers = nn.ModuleList(Block(config) for _ in range(config["num_hidden_layers"]))
        self.norm = RMSNorm(config["hidden_size"], config["rms_norm_eps"])

    def forward(self, tokens, cos, sin):
        x = self.embed_tokens(tokens)
        for layer in self.layers:
            x = layer(x, cos, sin)
        return self.norm(x)


class Llama(nn.Module):
    """Next-byte predictor: tokens (b, t) int64 to logits (b, t, vocab) float32."""

    def __init__(self, config):
        super().__init__()
        self.config = config
        self.model = Decoder(config)
        self.lm_head = nn.Linear(config["hidden_size"], config["vocab_size"], bias=False)
        cos, sin = rope_tables(config)
        self.register_buffer("cos", cos, persistent=False)
        self.register_buffer("sin", sin, persistent=False)
        self._initialise()

    def _initialise(self):
        residual = 1 / math.sqrt(2 * self.config["num_hidden_layers"])
        for name, p in self.named_parameters():
            if p.ndim == 2:
                std = 0.5 if "embed" in name else p.shape[1] ** -0.5
                nn.init.normal_(p, std=std * (residual if name.endswith(("o_proj.weight", "down_proj.weight")) else 1))
        with torch.no_grad():
            self.lm_head.weight.mul_(0.1)  # starts near the uniform distribution

    def forward(self, tokens):
        t = tokens.shape[1]
        return self.lm_head(self.model(tokens, self.cos[:t], self.sin[:t]))
