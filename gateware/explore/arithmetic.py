# SPDX-License-Identifier: BSD-2-Clause
"""What each design makes of a linear layer: its weights and activations quantised as it does, the product exact.

Every design's array is exact on the numbers it is given, so its result is that of dequantised weights times quantised
activations; both are formed here in float64. W4A8 designs with groups use G = 128 (or k, if k is shorter).
"""

import numpy as np

from mixpe.gateware.pe import ant
from mixpe.gateware.pe.float16 import align
from mixpe.gateware.spec.errors import ConfigError

GROUP = 128
CLIPS = np.linspace(0.5, 1.0, 11)  # of the largest magnitude: candidates of the MSE search of ANT and OliVe
OLACCEL_OUTLIERS = 0.03


def groups_of(w, group=GROUP):
    """(n, groups, G) view of (n, k); the whole row where G does not divide k."""
    n, k = w.shape
    group = group if k % group == 0 else k
    return w.reshape(n, k//group, group)


def w4_groups(w):
    """Round to nearest, asymmetric UINT4 per group, FP16 scales (MixPE)."""
    g = groups_of(np.asarray(w, np.float64))
    low, high = np.minimum(g.min(-1, keepdims=True), 0), np.maximum(g.max(-1, keepdims=True), 0)
    scale = ((high - low)/15).astype(np.float16).astype(np.float64)
    scale = np.where(scale == 0, 1, scale)
    zero = np.clip(np.rint(-low/scale), 0, 15)
    q = np.clip(np.rint(g/scale) + zero, 0, 15)
    return (scale*(q - zero)).reshape(w.shape)


def symmetric_channels(w, bits):
    """Round to nearest, symmetric integers per channel."""
    limit = (1 << bits - 1) - 1
    scale = np.abs(w).max(-1, keepdims=True)/limit
    scale = np.where(scale == 0, 1, scale)
    return scale*np.clip(np.rint(w/scale), -limit - 1, limit)


def qserve(w):
    """Two levels: INT8 per channel in ±119, then UINT4 per group with an integer scale and zero."""
    s1 = np.abs(w).max(-1, keepdims=True)/119
    s1 = np.where(s1 == 0, 1, s1)
    w8 = np.clip(np.rint(w/s1), -119, 119)
    g = groups_of(w8)
    low, high = np.minimum(g.min(-1, keepdims=True), 0), np.maximum(g.max(-1, keepdims=True), 0)
    s2 = np.maximum(np.rint((high - low)/15), 1)
    zero = np.clip(np.rint(-low/s2), 0, 15)
    q = np.clip(np.rint(g/s2) + zero, 0, 15)
    return s1*(s2*(q - zero)).reshape(w.shape)


def nearest_value(x, values):
    """Elements of sorted `values` nearest to x."""
    middles = (values[1:] + values[:-1])/2
    return values[np.searchsorted(middles, x)]


def ant_channels(w):
    """The type and scale of least square error for each channel."""
    best, error = np.zeros_like(w), np.full((len(w), 1), np.inf)
    largest = np.abs(w).max(-1, keepdims=True)
    for kind in ant.TYPES:
        values = np.unique(ant.values(kind)).astype(np.float64)
        for clip in CLIPS:
            scale = np.where(largest == 0, 1, largest*clip/values[-1])
            candidate = scale*nearest_value(w/scale, values)
            found = np.square(candidate - w).sum(-1, keepdims=True)
            best, error = np.where(found < error, candidate, best), np.minimum(found, error)
    return best


def olive_pairs(w):
    """Outlier-victim pairs, one scale a channel by least square error."""
    outliers = np.unique(np.abs([12, 16, 24, 32, 48, 64, 96])).astype(np.float64)
    best, error = np.zeros_like(w), np.full((len(w), 1), np.inf)
    deviation = np.maximum(w.std(-1, keepdims=True), 1e-30)
    for threshold in (1.5, 2, 2.5, 3, 3.5, 4, 5, 8):
        scale = threshold*deviation/7
        x = (w/scale).reshape(len(w), -1, 2)
        normal = np.clip(np.rint(x), -7, 7)
        as_outlier = np.sign(x)*nearest_value(np.abs(x), outliers)
        larger = np.abs(x) >= np.abs(x[..., ::-1])
        larger[..., 1] &= ~larger[..., 0]
        paired = np.where(larger, as_outlier, 0)
        use = (np.abs(x).max(-1, keepdims=True) > 7.5) & (
            np.square(paired - x).sum(-1, keepdims=True) < np.square(normal - x).sum(-1, keepdims=True))
        candidate = (np.where(use, paired, normal)*scale[..., None]).reshape(w.shape)
        found = np.square(candidate - w).sum(-1, keepdims=True)
        best, error = np.where(found < error, candidate, best), np.minimum(found, error)
    return best


def olaccel_channels(w):
    """4-bit weights with the largest 3 % of a layer at 8 bits."""
    scale = np.quantile(np.abs(w), 1 - OLACCEL_OUTLIERS)/7
    return scale*np.clip(np.rint(w/scale), -128, 127)


def int8_tokens(x):
    """INT8 activations, one scale a token."""
    scale = np.abs(x).max(-1, keepdims=True)/127
    return scale*np.rint(x/np.where(scale == 0, 1, scale))


def fp16(x):
    return np.asarray(x, np.float64).astype(np.float16).astype(np.float64)


def aligned(width):
    """Activations aligned to W bits in groups of 128."""
    def quantise(x):
        g = groups_of(np.asarray(x, np.float64).astype(np.float16))
        integers, exponent = align(g, width)
        return np.ldexp(integers.astype(np.float64), exponent).reshape(x.shape)
    return quantise


ARITHMETIC = {  # name: (designs with that arithmetic, weights, activations)
    "W4A8 G128 (MixPE)":    (("mixpe-a8", "bitplane-a8", "mixpe-a8-dense", "table"), w4_groups, int8_tokens),
    "W8A8 (INT8)":          (("int8",), lambda w: symmetric_channels(w, 8), int8_tokens),
    "W4A8 QServe":          (("qserve",), qserve, int8_tokens),
    "W4A8 per channel":     (("bitfusion",), lambda w: symmetric_channels(w, 4), int8_tokens),
    "OLAccel 3 % outliers": (("olaccel",), olaccel_channels, int8_tokens),
    "ANT":                  (("ant",), ant_channels, int8_tokens),
    "OliVe":                (("olive",), olive_pairs, int8_tokens),
    "W4A16 G128 (MixPE)":   (("mixpe-a16", "fp16-dequant"), w4_groups, fp16),
    "W4A16 aligned W=8":    (("aligned-a16",), w4_groups, aligned(8)),
    "W4A16 aligned W=10":   (("aligned-a16",), w4_groups, aligned(10)),
    "W4A16 aligned W=12":   (("aligned-a16",), w4_groups, aligned(12)),
    "W4A16 aligned W=16":   (("aligned-a16",), w4_groups, aligned(16)),
}


def layer(name, weight):
    """A linear layer (m, k) float → (m, n) float64 with an arithmetic of `ARITHMETIC`.

    Raises
    ------
    ConfigError
    """
    if name not in ARITHMETIC:
        raise ConfigError(f"unknown arithmetic {name!r}; known: {', '.join(ARITHMETIC)}")
    _, weights, activations = ARITHMETIC[name]
    transposed = np.ascontiguousarray(weights(np.asarray(weight, np.float64)).T)

    def apply(x):
        shape = x.shape
        rows = np.asarray(x, np.float64).reshape(-1, shape[-1])
        return (activations(rows) @ transposed).reshape(*shape[:-1], -1)

    return apply
