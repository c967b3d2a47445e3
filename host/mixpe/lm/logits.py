# SPDX-License-Identifier: BSD-2-Clause
"""Tokens to logits: a decoder of the Llama family whose linear layers are anywhere, all else in numpy on the host."""

from copy import copy

import numpy as np

from mixpe.errors import RangeError
from mixpe.formats.mapping import release
from mixpe.lm.decoder import DecoderArithmetic
from mixpe.lm.layers import FloatArithmetic
from mixpe.lm.linear import FloatLinear, Timed, job_tensors, job_weight
from mixpe.lm.offload import DeviceLoader
from mixpe.lm.request import as_batch, as_tokens
from mixpe.lm.weights import TABLE, Weights, job_biases
from mixpe.program.jobs import job_names

ARITHMETICS = {"float32": FloatArithmetic, "decoder": DecoderArithmetic}


class Logits:
    """A Llama, Mistral, Qwen2 or Qwen3: RMSNorm, rotary positions, grouped-query attention with a cache, SwiGLU.

    Biases are added on the host to what a device gives.

    Parameters
    ----------
    config : Architecture
    tensors : Mapping of name → array or Tensor
        Those of `Architecture.tensor_shapes`. Each is made float32 when it is loaded, one at a time.
    linear : callable or DeviceLoader, optional
        Called with each job's name and its weight (n, k) float32; returns what computes (m, k) float32 →
        (m, n) float32. Default: float32 on the host. A `DeviceLoader` gets the tensors as they are stored.
    device : device, optional
        Where the layers are, for the statistics of a generation.
    arithmetic : "float32" or "decoder"
        Of everything between the linear layers: numpy's float32, or that of the decoder (`lm.decoder`), with an INT8
        KV cache.

    Raises
    ------
    RangeError
        `arithmetic` is neither.
    """

    def __init__(self, config, tensors, linear=None, device=None, arithmetic="float32"):
        self.config = config
        self.device = device
        self._weights = tensors if isinstance(tensors, Weights) else Weights(tensors)
        self.jobs     = {name: Timed(self._made(name, linear)) for name in job_names(config)}
        self._set_arithmetic(arithmetic)
        self._frequencies = config.rope.frequencies(config.head_dim)

    def _set_arithmetic(self, name):
        if name not in ARITHMETICS:
            raise RangeError(f"arithmetic must be one of {tuple(ARITHMETICS)}, not {name!r}")
        self._arithmetic = ARITHMETICS[name]
        read = self._arithmetic.read
        self._biases = {job: read(bias) for job, bias in job_biases(self.config, self._weights).items()}
        self._norms  = {norm: read(self._weights[norm]) for norm in self._weights if norm.endswith("norm.weight")}

    def _made(self, name, linear):
        """What computes a job."""
        weights = self._weights
        if isinstance(linear, DeviceLoader):
            layer = linear.load(name, [weights.stored(source) for source in job_tensors(weights, name)])
            release()
            return layer
        weight = job_weight(weights, name)
        return FloatLinear(weight) if linear is None else linear(name, weight)

    def in_arithmetic(self, arithmetic):
        """The same model, with the same linear layers, in another arithmetic between them; caches are not shared.

        Parameters
        ----------
        arithmetic : "float32" or "decoder"
        """
        twin = copy(self)
        twin._set_arithmetic(arithmetic)
        return twin

    def new_cache(self, batch=1):
        """Empty cache for `forward`."""
        return self._arithmetic.new_cache(self.config, batch)

    def forward(self, tokens, cache, last_only=False):
        """Run tokens through the model; the cache grows by them.

        Parameters
        ----------
        tokens : (b, t) integers
        cache : of `new_cache`, of b sequences
        last_only : bool
            Compute the logits of the last token alone.

        Returns
        -------
        (b, t, vocab) float32, or (b, 1, vocab)

        Raises
        ------
        ModelError
            No token, a token outside the vocabulary, or more than the trained context.
        """
        tokens = as_batch(tokens, cache, self.config)
        b, t = tokens.shape
        x = self.hidden([(tokens, cache)])
        if last_only:
            x, t = x.reshape(b, t, -1)[:, -1], 1
        return self.head(x).reshape(b, t, self.config.vocab_size)

    def hidden(self, parts):
        """Run new tokens through all layers; the caches grow by them.

        Parameters
        ----------
        parts : list of (tokens, cache)
            (b, t) int64 of `as_batch`, each with a cache of its own; see `lm.batch`.

        Returns
        -------
        (Σ b·t, hidden) float32
            Rows of all parts, one after the other.
        """
        config, arithmetic = self.config, self._arithmetic
        heads, kv_heads, d = config.num_attention_heads, config.num_key_value_heads, config.head_dim
        tokens = np.concatenate([tokens.reshape(-1) for tokens, _ in parts])
        spans, turns, start = [], [], 0
        for part, cache in parts:
            spans.append(slice(start, start + part.size))
            turns.append(arithmetic.tables(np.arange(cache.length, cache.length + part.shape[1]), self._frequencies,
                                           config.rope.magnitude))
            start += part.size

        x = arithmetic.read(self._embedded(tokens))
        for i in range(config.num_hidden_layers):
            layer = f"model.layers.{i}"
            y = self._norm(f"{layer}.input_layernorm", x)
            y = self._job(f"layers.{i}.qkv", y).reshape(len(x), heads + 2 * kv_heads, d)
            q, k, v = y[:, :heads], y[:, heads:heads + kv_heads], y[:, heads + kv_heads:]
            if config.qk_norm:
                q, k = self._norm(f"{layer}.self_attn.q_norm", q), self._norm(f"{layer}.self_attn.k_norm", k)
            mixed = []
            for span, turn, (part, cache) in zip(spans, turns, parts, strict=True):
                q_part, k_part, v_part = (rows[span].reshape(*part.shape, -1, d) for rows in (q, k, v))
                kept = cache.extend(i, arithmetic.rotate(k_part, *turn), v_part)
                y = arithmetic.attention(arithmetic.rotate(q_part, *turn), *kept, window=config.window(i))
                mixed.append(y.reshape(part.size, heads * d))
            x = arithmetic.add(x, self._job(f"layers.{i}.o", np.concatenate(mixed) if len(mixed) > 1 else mixed[0]))
            y = self._norm(f"{layer}.post_attention_layernorm", x)
            y = self._job(f"layers.{i}.gate_up", y)
            inner = config.intermediate_size
            x = arithmetic.add(x, self._job(f"layers.{i}.down", arithmetic.gate(y[:, :inner], y[:, inner:])))
        for part, cache in parts:
            cache.length += part.shape[1]
        return x

    def head(self, x):
        """Logits of rows of `hidden`: (r, hidden) → (r, vocab) float32."""
        return self._job("lm_head", self._norm("model.norm", x))

    def logits(self, tokens):
        """Logits of every token of a sequence: (t,) integers or bytes → (t, vocab) float32; (b, t) → (b, t, vocab)."""
        tokens = as_tokens(tokens, self.config)
        batch = tokens if tokens.ndim == 2 else tokens[None]
        out = self.forward(batch, self.new_cache(len(batch)))
        return out if tokens.ndim == 2 else out[0]

    def _embedded(self, tokens):
        """Rows of the embedding: (r,) integers → (r, hidden) float32."""
        return self._weights.rows(TABLE, tokens)

    def _norm(self, name, x):
        return self._arithmetic.norm(x, self._norms[f"{name}.weight"], self.config.rms_norm_eps)

    def _job(self, name, x):
        y = self._arithmetic.read(self.jobs[name](x))
        return self._arithmetic.add(y, self._biases[name]) if name in self._biases else y
