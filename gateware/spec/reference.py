# SPDX-License-Identifier: BSD-2-Clause
"""Reference arithmetic: what gateware, simulation and host compute, to the bit.

    partial   P[m,n,g]  = Σ_{k∈g} q[n,k]·x[m,k]            exact integer
    row sum   XS[m,g]   = Σ_{k∈g} x[m,k]                   exact integer
    channel   F[m,n]    = round32( Σ_g s[n,g]·2^h[m,g]·(P[m,n,g] − z[n,g]·XS[m,g]) )
    output    Y[m,n]    = F[m,n]·sx[m]                     one FP32 product

The sum of F is exact: FP16 scales are integers in units of 2^-24, so it is a sum of integers, rounded once to the
nearest FP32 (ties to even). h is 0 except for aligned FP16 activations (`spec.wide`).

Source: MixPE, arXiv 2411.16158, equation 5.
"""

import numpy as np
from mixpe.gateware.spec.errors import DtypeError, RangeError, ShapeError

SCALE_UNIT_LOG2 = -24  # an FP16 is an integer times 2**SCALE_UNIT_LOG2


def _grouped(array, group_size, name):
    if array.shape[-1] % group_size:
        raise ShapeError(f"the last axis of {name} must be a multiple of G={group_size}, not {array.shape[-1]}")
    return array.reshape(array.shape[0], -1, group_size)


def _require(array, dtype, name):
    if not isinstance(array, np.ndarray) or array.dtype != dtype:
        found = array.dtype.name if isinstance(array, np.ndarray) else type(array).__name__
        raise DtypeError(f"{name} must be an array of {np.dtype(dtype).name}, not {found}")
    if array.ndim != 2:
        raise ShapeError(f"{name} must have two axes, not the shape {array.shape}")


def partials(x, q, group_size):
    """Group dot products, exact.

    Parameters
    ----------
    x : (m, k) int8
    q : (n, k) uint8, 0 … 15
    group_size : int
        Divides k.

    Returns
    -------
    (m, n, k/G) int32
    """
    _require(x, np.int8, "x")
    _require(q, np.uint8, "q")
    if q.size and q.max() > 15:
        raise RangeError(f"weights are 0 … 15, not {int(q.max())}")
    if x.shape[1] != q.shape[1]:
        raise ShapeError(f"x has k={x.shape[1]}, the weights have k={q.shape[1]}")
    # BLAS on floats is exact while every partial sum is an integer below the mantissa's range.
    dtype = np.float32 if 15*128*group_size < 1 << 24 else np.float64
    xg = _grouped(x, group_size, "x").astype(dtype).transpose(1, 0, 2)
    qg = _grouped(q, group_size, "q").astype(dtype).transpose(1, 2, 0)
    return np.matmul(xg, qg).transpose(1, 2, 0).astype(np.int32)


def row_sums(x, group_size):
    """Sums of the activations of each group: (m, k) int8 → (m, k/G) int32."""
    _require(x, np.int8, "x")
    return _grouped(x, group_size, "x").sum(axis=2, dtype=np.int32)


def split_float16(scales):
    """Integer mantissa and shift of finite FP16 values: value = mantissa·2^(shift + SCALE_UNIT_LOG2).

    Returns
    -------
    mantissa : int64, −2047 … 2047
    shift : int64, 0 … 29
    """
    bits = np.ascontiguousarray(scales, np.float16).view(np.uint16).astype(np.int64)
    field = (bits >> 10) & 31
    if (field == 31).any():
        raise RangeError("scales must be finite FP16, found Inf or NaN")
    mantissa = (bits & 0x3FF) | np.where(field > 0, 0x400, 0)
    return np.where(bits >> 15, -mantissa, mantissa), np.maximum(field, 1) - 1


def round_to_float32(value, exponent):
    """Round integer·2^exponent to the nearest FP32, ties to even, for integers of any size (object or int64)."""
    if value.dtype != object:
        return np.ldexp(value.astype(np.float32), exponent).astype(np.float32)
    out = np.empty(value.shape, np.float32)
    for index, integer in np.ndenumerate(value):
        magnitude = abs(integer)
        drop = max(0, magnitude.bit_length() - 24)
        kept, rest = magnitude >> drop, magnitude & ((1 << drop) - 1)
        half = 1 << drop >> 1
        kept += drop > 0 and (rest > half or (rest == half and kept & 1))
        shift = drop + (int(exponent[index]) if isinstance(exponent, np.ndarray) else int(exponent))
        out[index] = np.ldexp(np.float32(kept if integer >= 0 else -kept), shift)
    return out


def accumulate(partial, sums, scales, zeros, shifts=None):
    """Dequantise group sums and add them over k: F of the module's formula.

    Parameters
    ----------
    partial : (m, n, groups) integers
        P; for A16 the combined 256·P_hi + P_lo.
    sums : (m, groups) integers
        XS, combined likewise.
    scales : (n, groups) float16
    zeros : (n, groups) uint8
    shifts : (m, groups) integers 0 … 15, optional
        h, alignment shifts.

    Returns
    -------
    (m, n) float32
    """
    term = partial.astype(np.int64) - zeros.astype(np.int64)*sums.astype(np.int64)[:, None, :]
    mantissa, shift = split_float16(scales)
    low = shift.min(axis=1) if shift.shape[1] else np.zeros(len(shift), np.int64)
    shift = shift - low[:, None]
    if shifts is not None:
        shift = shift[None] + np.asarray(shifts, np.int64)[:, None, :]
    term_bits = int(np.abs(term).max(initial=0)).bit_length()
    bits = term_bits + 11 + int(shift.max(initial=0)) + max(1, partial.shape[2]).bit_length()
    if bits > 62:
        term, mantissa, shift = term.astype(object), mantissa.astype(object), shift.astype(object)
    total = np.add.reduce((term*mantissa)*(1 << shift if bits > 62 else np.left_shift(1, shift)), axis=2)
    exponent = np.broadcast_to(low + SCALE_UNIT_LOG2, total.shape)
    return round_to_float32(total, exponent)


def output(channel_sums, act_scales):
    """Y of the module's formula: (m, n) float32, (m,) float32 → (m, n) float32."""
    return channel_sums*act_scales.astype(np.float32)[:, None]
