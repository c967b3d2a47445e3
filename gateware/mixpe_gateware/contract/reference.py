# SPDX-License-Identifier: BSD-2-Clause
"""Reference arithmetic: what gateware, simulation and host compute, to the bit.

    partial   P[m,n,g]  = Σ_{k∈g} q[n,k]·x[m,k]            exact integer
    row sum   XS[m,g]   = Σ_{k∈g} x[m,k]                   exact integer
    channel   F[m,n]    = round32( Σ_g s[n,g]·2^h[m,g]·(P[m,n,g] − z[n,g]·XS[m,g]) )
           or F[m,n]    = round32( Σ_g 2^h[m,g]·(s[n,g]·a[n,g]·P[m,n,g] + m[n,g]·b[n,g]·XS[m,g]) )
    output    Y[m,n]    = F[m,n]·sx[m]                     one FP32 product

The sum of F is exact: FP16 scales are integers in units of 2^-24, so it is a sum of integers, rounded once to the
nearest FP32 (ties to even). h is 0 except for aligned FP16 activations (`contract.wide`) and for INT8 with a scale per
group (`contract.narrow`). The second form of F is that of real minima (`contract.scaling`): a and b are 1, or with two
levels integers, and s and m then a superblock's.

Source: MixPE, arXiv 2411.16158, equation 5.
"""

import numpy as np

from mixpe_gateware.contract.errors import DtypeError, RangeError, ShapeError
from mixpe_gateware.contract.scaling import SUPERBLOCK_GROUPS, Form

SCALE_UNIT_LOG2 = -24  # an FP16 is an integer times 2**SCALE_UNIT_LOG2


def _grouped(array, group_size, name):
    if array.shape[-1] % group_size:
        raise ShapeError(f"the last axis of {name} must be a multiple of G={group_size}, not {array.shape[-1]}")
    return array.reshape(array.shape[0], array.shape[1]//group_size, group_size)


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
    return partials_of(x, spread(q, group_size))


def spread(q, group_size):
    """Weights as `partials_of` multiplies them: (n, k) uint8 → (k/G, G, n) float.

    BLAS on floats is exact while every sum is an integer below the mantissa's range.
    """
    dtype = np.float32 if 15*128*group_size < 1 << 24 else np.float64
    return np.ascontiguousarray(_grouped(q, group_size, "q").transpose(1, 2, 0), dtype)


def partials_of(x, weights):
    """Group dot products with weights from `spread`: (m, k) int8 → (m, n, k/G) int32, exact."""
    grouped = x.reshape(len(x), *weights.shape[:2]).transpose(1, 0, 2)
    return np.matmul(grouped.astype(weights.dtype), weights).transpose(1, 2, 0).astype(np.int32)


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
    groups = partial.shape[2]
    mantissa, shift = split_float16(scales)
    used  = shift[mantissa != 0]
    low   = int(used.min(initial=29))
    range_bits = int(used.max(initial=low)) - low + (0 if shifts is None else int(np.max(shifts, initial=0)))
    largest = _largest(partial) + int(zeros.max(initial=0))*_largest(sums)
    bits = largest.bit_length() + 11 + range_bits + groups.bit_length()
    if bits <= 53:
        return _accumulate_float64(partial, sums, scales.astype(np.float64), zeros, shifts)
    kind = np.int64 if bits <= 62 else object
    term = partial.astype(kind) - zeros.astype(kind)*sums.astype(kind)[:, None, :]
    step = np.where(mantissa != 0, shift - low, 0)
    if shifts is not None:
        step = step + np.asarray(shifts, np.int64)[:, None, :]
    total = np.add.reduce(term*(mantissa.astype(kind) << step.astype(kind)), axis=2)
    return round_to_float32(total, low + SCALE_UNIT_LOG2)


def dequantise(partial, sums, scaling, shifts=None):
    """Channel sums F of any form.

    Parameters
    ----------
    partial, sums, shifts
        See `accumulate`.
    scaling : Scaling
        Of the n channels.

    Returns
    -------
    (m, n) float32
    """
    if scaling.form == Form.ZERO:
        return accumulate(partial, sums, scaling.scales, scaling.zeros, shifts)
    # Two terms a group, each with a scale of its own and no zero.
    partial, lower = partial.astype(np.int64), np.asarray(sums, np.int64)[:, None, :]
    scales,  minima = scaling.scales, scaling.minima
    if scaling.form == Form.TWO_LEVEL:
        partial = partial*scaling.factors[:, :, 0]
        lower   = lower*scaling.factors[:, :, 1]
        scales, minima = (np.repeat(array, SUPERBLOCK_GROUPS, axis=1) for array in (scales, minima))
    terms  = np.concatenate([partial, np.broadcast_to(lower, partial.shape)], axis=2)
    scales = np.concatenate([scales, minima], axis=1)
    if shifts is not None:
        shifts = np.concatenate([shifts, shifts], axis=1)
    return accumulate(terms, np.zeros((len(terms), terms.shape[2]), np.int64), scales,
        np.zeros(scales.shape, np.uint8), shifts)


def _largest(array):
    return max(int(array.max(initial=0)), -int(array.min(initial=0)))


def _accumulate_float64(partial, sums, scales, zeros, shifts):
    """`accumulate` where every sum fits the 53 bits of an FP64: exact in any order, rounded once at the end."""
    sums = sums.astype(np.float64)
    if shifts is not None:
        sums = np.ldexp(sums, shifts)
    total = -np.matmul(sums, (scales*zeros).T)
    for group in range(partial.shape[2]):
        term = partial[:, :, group]*scales[:, group]
        total += term if shifts is None else np.ldexp(term, np.asarray(shifts)[:, group, None])
    return (total + 0.0).astype(np.float32)  # + 0.0: an exact zero is +0


def output(channel_sums, act_scales):
    """Y of the module's formula: (m, n) float32, (m,) float32 → (m, n) float32."""
    return channel_sums*act_scales.astype(np.float32)[:, None]
