# SPDX-License-Identifier: BSD-2-Clause
"""A Llama language model whose linear layers run on a device and everything else in numpy on the host."""

import numpy as np

from mixpe.errors import DtypeError, ModelError, RangeError, ShapeError
from mixpe.lm import checkpoint
from mixpe.lm.generation import Generation
from mixpe.lm.layers import KVCache, attention, rms_norm, rope_tables, rotate, silu
from mixpe.lm.linear import FloatLinear, Timed, job_names, job_weight
from mixpe.lm.offload import DeviceLoader
from mixpe.lm.sampling import Sampler

ACTIVATIONS = ("a8", "a16")


class LlamaModel:
    """A Llama model: RMSNorm, rotary positions, grouped-query attention with a cache, SwiGLU, no biases.

    Parameters
    ----------
    config : LlamaConfig
    tensors : dict of name → array
        As `checkpoint.read` gives them.
    linear : callable, optional
        Called with each job's name and its weight (n, k) float32; returns what computes (m, k) float32 →
        (m, n) float32. Default: float32 on the host.
    device : device, optional
        Where the layers are, for the statistics of a generation.

    See Also
    --------
    LlamaModel.from_pretrained : reads a checkpoint and puts its layers on a device.
    """

    def __init__(self, config, tensors, linear=None, device=None):
        self.config = config
        self.device = device
        make = linear or (lambda name, weight: FloatLinear(weight))
        self.jobs  = {name: Timed(make(name, job_weight(tensors, name))) for name in job_names(config)}
        self._embedding = np.ascontiguousarray(tensors["model.embed_tokens.weight"], np.float32)
        self._norms = {name: np.ascontiguousarray(tensors[name], np.float32)
                       for name in tensors if name.endswith("norm.weight")}
        self._cos, self._sin = rope_tables(config.max_position_embeddings, config.head_dim, config.rope_theta)

    @classmethod
    def from_pretrained(cls, path=None, device=None, *, group_size=128, activations="a8", quantiser=None):
        """Read a checkpoint and load its linear layers into a device.

        Parameters
        ----------
        path : path, optional
            Folder with config.json and model.safetensors, or such a file. Default: the packaged model.
        device : device from `mixpe.open`, or its URL, optional
            Default: none, float32 on the host. A device opened here from a URL is closed by `close`.
        group_size : int
            G of the weights.
        activations : "a8" or "a16"
        quantiser : callable, optional
            (name, weight (n, k) float32) → Int4Matrix. Default: `mixpe.quantize`, round to nearest.

        Raises
        ------
        ModelError
            The checkpoint is damaged or of another architecture.
        RangeError
            `activations` is neither.
        MixpeError
            What `mixpe.open`, `mixpe.quantize` and the device raise.
        """
        if activations not in ACTIVATIONS:
            raise RangeError(f"activations must be one of {ACTIVATIONS}, not {activations!r}")
        config, tensors = checkpoint.read(path)
        if device is None:
            return cls(config, tensors)
        loader = DeviceLoader(device, group_size=group_size, activations=activations, quantiser=quantiser)
        try:
            model = cls(config, tensors, loader, loader.device)
        except BaseException:
            loader.close()
            raise
        model._loader = loader
        return model

    _loader = None

    def close(self):
        """Give the device back, if `from_pretrained` opened it."""
        if self._loader is not None:
            self._loader.close()

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()

    def new_cache(self, batch=1):
        """Empty cache for `forward`."""
        return KVCache(self.config, batch)

    def forward(self, tokens, cache, last_only=False):
        """Run tokens through the model; the cache grows by them.

        Parameters
        ----------
        tokens : (b, t) integers
        cache : KVCache of b sequences
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
        tokens = self._checked(tokens, cache)
        b, t = tokens.shape
        config, begin = self.config, cache.length
        cos, sin = self._cos[begin:begin + t], self._sin[begin:begin + t]
        heads, kv_heads, d = config.num_attention_heads, config.num_key_value_heads, config.head_dim

        x = self._embedding[tokens.reshape(-1)]                                       # (b·t, hidden)
        for i in range(config.num_hidden_layers):
            y = self._norm(f"model.layers.{i}.input_layernorm.weight", x)
            y = self.jobs[f"layers.{i}.qkv"](y).reshape(b, t, heads + 2 * kv_heads, d)
            q, k, v = y[:, :, :heads], y[:, :, heads:heads + kv_heads], y[:, :, heads + kv_heads:]
            keys, values = cache.extend(i, rotate(k, cos, sin), v)
            y = attention(rotate(q, cos, sin), keys, values).reshape(b * t, heads * d)
            x = x + self.jobs[f"layers.{i}.o"](y)
            y = self._norm(f"model.layers.{i}.post_attention_layernorm.weight", x)
            y = self.jobs[f"layers.{i}.gate_up"](y)
            inner = config.intermediate_size
            x = x + self.jobs[f"layers.{i}.down"](silu(y[:, :inner]) * y[:, inner:])
        cache.length += t
        if last_only:
            x, t = x.reshape(b, t, -1)[:, -1], 1
        logits = self.jobs["lm_head"](self._norm("model.norm.weight", x))
        return logits.reshape(b, t, config.vocab_size)

    def logits(self, tokens):
        """Logits of every token of a sequence: (t,) integers or bytes → (t, vocab) float32; (b, t) → (b, t, vocab)."""
        tokens = self._as_tokens(tokens)
        batch = tokens if tokens.ndim == 2 else tokens[None]
        out = self.forward(batch, self.new_cache(len(batch)))
        return out if tokens.ndim == 2 else out[0]

    def generate(self, prompt, n, *, temperature=0.0, top_p=1.0, seed=0):
        """Continue a text, byte by byte.

        Parameters
        ----------
        prompt : bytes, str (UTF-8) or (t,) integers
        n : int
            Bytes to make, from 1.
        temperature, top_p, seed
            See `Sampler`; the default takes the likeliest byte.

        Returns
        -------
        Generation
            Iterator of single bytes, each as soon as it is made; `statistics()` afterwards.

        Raises
        ------
        ModelError
            Empty prompt, prompt and text longer than the trained context, or a model that is not byte-level.
        """
        if self.config.vocab_size != 256:
            raise ModelError(f"generate needs a byte-level model (vocab_size 256), not {self.config.vocab_size}; "
                             "use generate_tokens with this model's own tokenizer")
        return Generation(self, *self._request(prompt, n), Sampler(temperature, top_p, seed), as_bytes=True)

    def generate_tokens(self, prompt, n, *, temperature=0.0, top_p=1.0, seed=0):
        """As `generate`, for any vocabulary: integers in, an iterator of integers out."""
        return Generation(self, *self._request(prompt, n), Sampler(temperature, top_p, seed), as_bytes=False)

    def _request(self, prompt, n):
        tokens = self._as_tokens(prompt)
        if tokens.ndim != 1:
            raise ShapeError(f"a prompt has one axis, not the shape {tokens.shape}")
        if not tokens.size:
            raise ModelError("the prompt is empty; give at least one byte")
        if isinstance(n, bool) or not isinstance(n, (int, np.integer)) or n < 1:
            raise RangeError(f"the number of tokens to make must be a whole number from 1, not {n!r}")
        context = self.config.max_position_embeddings
        if tokens.size + n - 1 > context:
            raise ModelError(f"a prompt of {tokens.size} and {n} new tokens are more than the trained context of "
                             f"{context}; at most {max(0, context + 1 - tokens.size)} can follow this prompt")
        return tokens, int(n)

    def _as_tokens(self, tokens):
        if isinstance(tokens, str):
            tokens = tokens.encode()
        if isinstance(tokens, (bytes, bytearray, memoryview)):
            if self.config.vocab_size != 256:
                raise ModelError(f"text needs a byte-level model (vocab_size 256), not {self.config.vocab_size}")
            tokens = np.frombuffer(bytes(tokens), np.uint8)
        tokens = np.asarray(tokens)
        if tokens.size and tokens.dtype.kind not in "iu":
            raise DtypeError(f"tokens must be integers, not {tokens.dtype}")
        if tokens.ndim not in (1, 2):
            raise ShapeError(f"tokens must have one axis, or two for several sequences, not the shape {tokens.shape}")
        return tokens.astype(np.int64)

    def _checked(self, tokens, cache):
        tokens = self._as_tokens(tokens)
        if tokens.ndim != 2 or len(tokens) != cache.batch:
            raise ShapeError(f"tokens must have the shape ({cache.batch}, t) for this cache, not {tokens.shape}")
        if not tokens.size:
            raise ModelError("there is no token to run; give at least one")
        context, vocabulary = self.config.max_position_embeddings, self.config.vocab_size
        if cache.length + tokens.shape[1] > context:
            raise ModelError(f"{cache.length + tokens.shape[1]} tokens are more than the trained context of {context}")
        low, high = int(tokens.min()), int(tokens.max())
        if low < 0 or high >= vocabulary:
            raise ModelError(f"tokens must be 0 … {vocabulary - 1}, found {low if low < 0 else high}")
        return tokens

    def _norm(self, name, x):
        return rms_norm(x, self._norms[name], self.config.rms_norm_eps)
