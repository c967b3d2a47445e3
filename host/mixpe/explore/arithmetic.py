# SPDX-License-Identifier: BSD-2-Clause
"""What each design makes of a linear layer: its weights and activations quantised as it does, the product exact.

Every design's array is exact on the numbers it is given, so its result is that of dequantised weights times quantised
activations; both are formed here in float64. Groups are of 128 unless said (k, if that is no multiple).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from mixpe_gateware.baselines import ant, olive
from mixpe_gateware.baselines.float16 import align
from mixpe_gateware.contract.errors import ConfigError
from mixpe_gateware.pe import DESIGNS

GROUP = 128
CLIPS = np.linspace(0.5, 1.0, 11)  # of the largest magnitude: candidates of the MSE search of ANT and OliVe
OLACCEL_OUTLIERS = 0.03


def groups_of(w, group=GROUP):
    """(n, groups, G) view of (n, k); the whole row where G does not divide k."""
    n, k = w.shape
    group = group if k % group == 0 else k
    return w.reshape(n, k//group, group)


def w4_codes(g):
    """Round to nearest, asymmetric UINT4, FP16 scales (MixPE): (q, scale, zero) of (…, G) groups."""
    g = np.asarray(g, np.float64)
    low, high = np.minimum(g.min(-1, keepdims=True), 0), np.maximum(g.max(-1, keepdims=True), 0)
    scale = ((high - low)/15).astype(np.float16).astype(np.float64)
    scale = np.where(scale == 0, 1, scale)
    zero = np.clip(np.rint(-low/scale), 0, 15)
    return np.clip(np.rint(g/scale) + zero, 0, 15), scale, zero


def w4_groups(group):
    """MixPE's weights with groups of a size."""
    def quantise(w):
        q, scale, zero = w4_codes(groups_of(w, group))
        return (scale*(q - zero)).reshape(w.shape)
    return quantise


def symmetric_group_codes(g):
    """Round to nearest, q − 8 in −7 … 7, FP16 scales, as weight-only kernels do: (q, scale) of (…, G) groups."""
    scale = (np.abs(np.asarray(g, np.float64)).max(-1, keepdims=True)/7).astype(np.float16).astype(np.float64)
    scale = np.where(scale == 0, 1, scale)
    return np.clip(np.rint(g/scale), -7, 7) + 8, scale


def fp16_groups(w):
    """fp16((q − 8)·scale), rounded once, as TensorRT-LLM dequantises in the loop."""
    q, scale = symmetric_group_codes(groups_of(w))
    return fp16((q - 8)*scale).reshape(w.shape)


def symmetric_codes(w, bits):
    """Round to nearest, symmetric integers per channel: (integers, scale)."""
    limit = (1 << bits - 1) - 1
    scale = np.abs(w).max(-1, keepdims=True)/limit
    scale = np.where(scale == 0, 1, scale)
    return np.clip(np.rint(w/scale), -limit - 1, limit), scale


def symmetric_channels(bits):
    def quantise(w):
        integers, scale = symmetric_codes(w, bits)
        return scale*integers
    return quantise


def qserve_codes(w, group=GROUP):
    """Two levels: INT8 per channel in ±119, then UINT4 per group with an integer scale and zero.

    Returns
    -------
    q : (n, groups, G)
    s2, zero : (n, groups, 1)
    s1 : (n, 1)
    """
    s1 = np.abs(w).max(-1, keepdims=True)/119
    s1 = np.where(s1 == 0, 1, s1)
    w8 = np.clip(np.rint(w/s1), -119, 119)
    g = groups_of(w8, group)
    low, high = np.minimum(g.min(-1, keepdims=True), 0), np.maximum(g.max(-1, keepdims=True), 0)
    s2 = np.maximum(np.rint((high - low)/15), 1)
    zero = np.clip(np.rint(-low/s2), 0, 15)
    return np.clip(np.rint(g/s2) + zero, 0, 15), s2, zero, s1


def qserve(w):
    q, s2, zero, s1 = qserve_codes(w)
    return s1*(s2*(q - zero)).reshape(w.shape)


def nearest_index(x, values):
    """Places in sorted `values` of the elements nearest to x."""
    return np.searchsorted((values[1:] + values[:-1])/2, x)


def ant_codes(w):
    """The type and scale of least square error for each channel: (types (n,), codes (n, k), scale (n, 1))."""
    kinds, codes = np.zeros(len(w), np.int64), np.zeros(w.shape, np.int64)
    scales, error = np.ones((len(w), 1)), np.full((len(w), 1), np.inf)
    largest = np.abs(w).max(-1, keepdims=True)
    for kind, name in enumerate(ant.TYPES):
        values, code = np.unique(ant.values(name), return_index=True)
        values = values.astype(np.float64)
        for clip in CLIPS:
            scale = np.where(largest == 0, 1, largest*clip/values[-1])
            index = nearest_index(w/scale, values)
            found = np.square(scale*values[index] - w).sum(-1, keepdims=True)
            better = found < error
            codes, scales = np.where(better, code[index], codes), np.where(better, scale, scales)
            kinds, error = np.where(better[:, 0], kind, kinds), np.minimum(found, error)
    return kinds, codes, scales


def ant_channels(w):
    kinds, codes, scale = ant_codes(w)
    values = np.stack([ant.values(name) for name in ant.TYPES])
    return scale*values[kinds[:, None], codes]


def olive_codes(w):
    """Outlier-victim pairs, one scale a channel by least square error: (codes (n, k), scale (n, 1))."""
    magnitudes, outlier_codes = np.unique([olive.outlier(code) for code in range(1, 8)], return_index=True)
    magnitudes, outlier_codes = magnitudes.astype(np.float64), outlier_codes + 1
    codes, scales = np.zeros(w.shape, np.int64), np.ones((len(w), 1))
    error = np.full((len(w), 1), np.inf)
    deviation = np.maximum(w.std(-1, keepdims=True), 1e-30)
    for threshold in (1.5, 2, 2.5, 3, 3.5, 4, 5, 8):
        scale = threshold*deviation/7
        x = (w/scale).reshape(len(w), -1, 2)
        normal  = np.clip(np.rint(x), -7, 7)
        nearest = nearest_index(np.abs(x), magnitudes)
        larger  = np.abs(x) >= np.abs(x[..., ::-1])
        larger[..., 1] &= ~larger[..., 0]
        paired  = np.where(larger, np.sign(x)*magnitudes[nearest], 0)
        use = (np.abs(x).max(-1, keepdims=True) > 7.5) & (
            np.square(paired - x).sum(-1, keepdims=True) < np.square(normal - x).sum(-1, keepdims=True))
        as_pair   = np.where(larger, outlier_codes[nearest] | (x < 0) << 3, olive.IDENTIFIER)
        candidate = np.where(use, as_pair, normal.astype(np.int64) & 15).reshape(w.shape)
        found  = np.square(scale*olive.decode_pairs(candidate) - w).sum(-1, keepdims=True)
        better = found < error
        codes, scales = np.where(better, candidate, codes), np.where(better, scale, scales)
        error = np.minimum(found, error)
    return codes, scales


def olive_pairs(w):
    codes, scale = olive_codes(w)
    return scale*olive.decode_pairs(codes)


def olaccel_codes(w):
    """4-bit weights with the largest 3 % of a layer at 8 bits: (integers, scale)."""
    scale = np.quantile(np.abs(w), 1 - OLACCEL_OUTLIERS)/7
    return np.clip(np.rint(w/scale), -128, 127), scale


def olaccel_channels(w):
    integers, scale = olaccel_codes(w)
    return scale*integers


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


@dataclass(frozen=True)
class Arithmetic:
    """What becomes of weights and activations.

    Attributes
    ----------
    designs : tuple of str
        Designs that compute so.
    weights, activations : callable
        (n, k) and (m, k) float64 to what the design makes of them, dequantised.
    group : int or None
        Group size, where it matters.
    width : int or None
        Bits of aligned activations.
    sum_bits : int or None
        Group sums wrap at this width; exact if None.
    fp32_sums : bool
        Products are added in order in FP32, rounded each time.
    """

    designs: tuple
    weights: Callable
    activations: Callable
    group: int | None = None
    width: int | None = None
    sum_bits: int | None = None
    fp32_sums: bool = False

    def is_of(self, row):
        """Whether this is the arithmetic of a row of `points.evaluate`."""
        bits = row.get("accumulator_bits")
        if bits is not None and bits >= EXACT_BITS + (row["group_size"] - 1).bit_length():
            bits = None
        return (row["design"] in self.designs and self.group in (None, row["group_size"]) and self.sum_bits == bits
                and self.width in (None, row.get("p_width", 12)))


MIXPE_A8 = (*DESIGNS, "table")
EXACT_BITS = 12  # of one UINT4 × INT8 product


def mixpe_a8(group, sum_bits=None):
    return Arithmetic(MIXPE_A8, w4_groups(group), int8_tokens, group=group, sum_bits=sum_bits)


def aligned_a16(width):
    return Arithmetic(("aligned-a16",), w4_groups(GROUP), aligned(width), GROUP, width)


ARITHMETIC = {
    "W4A8 G128 (MixPE)":    mixpe_a8(128),
    "W4A8 G32 (MixPE)":     mixpe_a8(32),
    "W4A8 G64 (MixPE)":     mixpe_a8(64),
    "W4A8 G256 (MixPE)":    mixpe_a8(256),
    "W4A8 G128, sums of 16 bits": mixpe_a8(128, 16),
    "W4A8 G128, sums of 14 bits": mixpe_a8(128, 14),
    "W8A8 (INT8)":          Arithmetic(("int8", "bitplane-int8"), symmetric_channels(8), int8_tokens),
    "W4A8 QServe":          Arithmetic(("qserve",), qserve, int8_tokens),
    "W4A8 per channel":     Arithmetic(("bitfusion",), symmetric_channels(4), int8_tokens),
    "OLAccel 3 % outliers": Arithmetic(("olaccel",), olaccel_channels, int8_tokens),
    "ANT":                  Arithmetic(("ant",), ant_channels, int8_tokens),
    "OliVe":                Arithmetic(("olive",), olive_pairs, int8_tokens),
    "W4A16 G128 (MixPE)":   Arithmetic(("mixpe-a16",), w4_groups(GROUP), fp16, GROUP),
    "W4A16 G128, FP16 weights (TensorRT-LLM)": Arithmetic(("fp16-dequant",), fp16_groups, fp16, GROUP, fp32_sums=True),
    **{f"W4A16 aligned W={width}": aligned_a16(width) for width in (8, 10, 12, 14, 16)},
}


def layer(name, weight):
    """A linear layer (m, k) float → (m, n) float64 with an arithmetic of `ARITHMETIC`.

    Raises
    ------
    ConfigError
    """
    if name not in ARITHMETIC:
        raise ConfigError(f"unknown arithmetic {name!r}; known: {', '.join(ARITHMETIC)}")
    arithmetic = ARITHMETIC[name]
    if arithmetic.sum_bits is not None:
        return wrapping_layer(np.asarray(weight, np.float64), arithmetic.group, arithmetic.sum_bits)
    transposed = np.ascontiguousarray(arithmetic.weights(np.asarray(weight, np.float64)).T)

    product = fp32_product if arithmetic.fp32_sums else np.matmul

    def apply(x):
        shape = x.shape
        rows = np.asarray(x, np.float64).reshape(-1, shape[-1])
        return product(arithmetic.activations(rows), transposed).reshape(*shape[:-1], -1)

    return apply


def fp32_product(x, w):
    """(m, k) @ (k, n) of FP16 numbers, added along k in order in FP32; their products are exact there."""
    x, w  = x.astype(np.float32), w.astype(np.float32)
    total = np.zeros((len(x), w.shape[1]), np.float32)
    for index in range(len(w)):
        total += x[:, index, None]*w[index]
    return total


def wrapping_layer(weight, group, sum_bits):
    """W4A8 whose group sums Σ q·x are kept in `sum_bits` bits, modulo 2^sum_bits."""
    q, scale, zero = w4_codes(groups_of(weight, group))
    half = float(1 << sum_bits - 1)

    def apply(x):
        shape = x.shape
        rows = np.asarray(x, np.float64).reshape(-1, shape[-1])
        token_scale = np.abs(rows).max(-1, keepdims=True)/127
        integers = np.rint(rows/np.where(token_scale == 0, 1, token_scale))
        total = np.zeros((len(rows), len(q)))
        for index, part in enumerate(np.split(integers, q.shape[1], axis=-1)):
            sums = part @ q[:, index].T  # exact in float64
            sums = (sums + half) % (2*half) - half
            total += scale[:, index, 0]*(sums - part.sum(-1, keepdims=True)*zero[:, index, 0])
        return (token_scale*total).reshape(*shape[:-1], -1)

    return apply
