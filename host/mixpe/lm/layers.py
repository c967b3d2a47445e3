# SPDX-License-Identifier: BSD-2-Clause
"""What stays on the host: RMSNorm, rotary positions, attention and SwiGLU in float32, in a fixed order of operations.

The same functions run whatever device the linear layers are on, with the same shapes, so devices that agree to the bit
give logits that agree to the bit.

Axes: b sequences, t new tokens, s tokens in the cache, h heads, c key-value heads, d head width.
"""

import numpy as np

from mixpe.formats.rope import rope_tables
from mixpe.lm.cache import PositionCache


def rms_norm(x, weight, eps):
    """x / sqrt(mean(x²) + eps) · weight over the last axis, float32."""
    mean = np.mean(x * x, axis=-1, keepdims=True)
    return x * (np.float32(1) / np.sqrt(mean + np.float32(eps))) * weight


def silu(x):
    """x · sigmoid(x), float32; the exponential never overflows."""
    decay = np.exp(-np.abs(x))
    return x * np.where(x >= 0, np.float32(1), decay) / (np.float32(1) + decay)


def softmax(x):
    """Softmax over the last axis, float32; entries of -inf become 0."""
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def rotate(x, cos, sin):
    """Turn (b, t, heads, d) by the angles of its tokens, (t, d)."""
    half = x.shape[-1] // 2
    turned = np.concatenate([-x[..., half:], x[..., :half]], axis=-1)
    return x * cos[:, None, :] + turned * sin[:, None, :]


class KVCache(PositionCache):
    """Keys and values in float32; see `PositionCache`."""

    def __init__(self, config, batch=1):
        super().__init__(config, batch, [(np.float32, (config.head_dim,))]*2)

    def extend(self, layer, keys, values):
        """Store the new tokens of one layer, (b, t, c, d) each; returns all, (b, c, s, d) each."""
        return self.store(layer, keys.transpose(0, 2, 1, 3), values.transpose(0, 2, 1, 3))


def attention(q, keys, values, *, window=None):
    """Causal attention of the last t tokens over all s, or over the last `window` before each, itself included.

    Parameters
    ----------
    q : (b, t, h, d) float32
    keys, values : (b, c, s, d) float32
        c divides h: each key-value head serves h/c query heads.

    Returns
    -------
    (b, t, h·d) float32
    """
    b, t, h, d = q.shape
    if window is not None:  # what no token sees is left out, what some do not see is masked
        begin = max(0, keys.shape[2] - t + 1 - window)
        keys, values = keys[:, :, begin:], values[:, :, begin:]
    c, s = keys.shape[1:3]
    q = q.reshape(b, t, c, h // c, d).transpose(0, 2, 3, 1, 4)                            # (b, c, h/c, t, d)
    scores = np.matmul(q, keys[:, :, None].swapaxes(-1, -2)) * np.float32(d ** -0.5)      # (b, c, h/c, t, s)
    if t > 1:
        distance = np.arange(s - t, s)[:, None] - np.arange(s)                                # (t, s)
        hidden = distance < 0 if window is None else (distance < 0) | (distance >= window)
        scores = np.where(hidden, np.float32(-np.inf), scores)
    mixed = np.matmul(softmax(scores), values[:, :, None])                                # (b, c, h/c, t, d)
    return mixed.transpose(0, 3, 1, 2, 4).reshape(b, t, h * d)


class FloatArithmetic:
    """Float32 between the linear layers, by the functions above: the host's own."""

    new_cache = staticmethod(KVCache)
    norm      = staticmethod(rms_norm)
    tables    = staticmethod(rope_tables)
    rotate    = staticmethod(rotate)
    attention = staticmethod(attention)

    @staticmethod
    def read(x):
        """Rows of the embedding and results of linear layers as they are."""
        return x

    @staticmethod
    def add(x, y):
        """Bias and residual."""
        return x + y

    @staticmethod
    def gate(gate, up):
        """SwiGLU."""
        return silu(gate)*up
