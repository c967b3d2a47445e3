# SPDX-License-Identifier: BSD-2-Clause
"""What stays on the host: RMSNorm, rotary positions, attention and SwiGLU in float32, in a fixed order of operations.

The same functions run whatever device the linear layers are on, with the same shapes, so devices that agree to the bit
give logits that agree to the bit.

Axes: b sequences, t new tokens, s tokens in the cache, h heads, c key-value heads, d head width.
"""

import numpy as np


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


def rope_tables(positions, frequencies, magnitude=1.0):
    """Cosines and sines of rotary positions.

    Parameters
    ----------
    positions : (t,) integers
    frequencies : (d/2,) float64
        Angle of one position for each pair.
    magnitude : float
        Factor of both.

    Returns
    -------
    cos, sin : (t, d) float32
        Both halves of the last axis hold the same angles (the half-rotation convention of `transformers`).
    """
    angle = np.outer(np.asarray(positions, np.float64), frequencies)
    angle = np.concatenate([angle, angle], axis=1)
    return (np.cos(angle)*magnitude).astype(np.float32), (np.sin(angle)*magnitude).astype(np.float32)


def rotate(x, cos, sin):
    """Turn (b, t, heads, d) by the angles of its tokens, (t, d)."""
    half = x.shape[-1] // 2
    turned = np.concatenate([-x[..., half:], x[..., :half]], axis=-1)
    return x * cos[:, None, :] + turned * sin[:, None, :]


class KVCache:
    """Keys and values of the tokens seen so far, for every decoder layer; the memory grows with them.

    Parameters
    ----------
    config : Architecture
    batch : int
        Sequences that advance together.

    Attributes
    ----------
    length : int
        Tokens in the cache.
    """

    def __init__(self, config, batch=1):
        shape = (config.num_hidden_layers, batch, config.num_key_value_heads,
                 min(256, config.max_position_embeddings), config.head_dim)
        self._context = config.max_position_embeddings
        self.keys   = np.zeros(shape, np.float32)
        self.values = np.zeros(shape, np.float32)
        self.length = 0

    @property
    def batch(self):
        return self.keys.shape[1]

    def extend(self, layer, keys, values):
        """Store the new tokens of one layer, (b, t, c, d) each; returns all, (b, c, s, d) each."""
        end = self.length + keys.shape[1]
        if end > self.keys.shape[3]:
            self._grow(max(end, min(2*self.keys.shape[3], self._context)))
        self.keys[layer, :, :, self.length:end]   = keys.transpose(0, 2, 1, 3)
        self.values[layer, :, :, self.length:end] = values.transpose(0, 2, 1, 3)
        return self.keys[layer, :, :, :end], self.values[layer, :, :, :end]

    def _grow(self, room):
        for name in ("keys", "values"):
            old = getattr(self, name)
            new = np.zeros((*old.shape[:3], room, old.shape[4]), np.float32)
            new[:, :, :, :self.length] = old[:, :, :, :self.length]
            setattr(self, name, new)


def attention(q, keys, values, window=None):
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
