# SPDX-License-Identifier: BSD-2-Clause
"""Quantisation of weights and activations, round to nearest.

Weights, per group of G along k:

    asymmetric  lo = min(0, min w), hi = max(0, max w), s = fp16((hi − lo)/15), z = clip(rint(−lo/s), 0, 15)
    symmetric   s = fp16(max|w|/7), z = 8
    both        q = clip(rint(w/s) + z, 0, 15)

(8-bit weights: 255 for 15, 127 for 7, 128 for 8.) The scale is rounded to FP16 before anything is computed with it, so
the error of that rounding is not added to the weights. Divisions are FP32, ties go to even. A group of zeros gets s = 0
and q = z, hence exactly 0; a group so small that its scale would underflow gets the smallest FP16, 2^-24.

Activations, per token: sx = max|X|/127 in FP32, x = rint(X/sx). A token of zeros gets sx = 1.

Source: MixPE, arXiv 2411.16158, equations 1 and 2; per-token scales as in QServe, arXiv 2405.04532.
"""

import numpy as np

from mixpe.quant.checks import check_shape, group_span
from mixpe.quant.floats import as_floats
from mixpe.quant.matrix import Int4Matrix, Int8Matrix
from mixpe_gateware.contract.errors import RangeError, ShapeError

BLOCK_WEIGHTS   = 1 << 16  # floats worked on at a time: block and temporaries stay in the second-level cache
ROUND_MAGIC     = np.float32(1.5*2**23)  # adding it rounds an FP32 below 2^22 to an integer in its low bits
SMALLEST_SCALE  = np.float16(2.0**-24)


def _matrix(name, given):
    array = as_floats(name, given)
    if array.ndim != 2:
        raise ShapeError(f"{name} must have two axes, not the shape {array.shape}")
    return array


def _scales_and_zeros(low, high, bits, symmetric):
    """FP16 scales, zero points, and the FP32 divisors of groups with the given extremes."""
    top = (1 << bits) - 1
    largest = np.maximum(-low, high)
    if not (np.isfinite(low).all() and np.isfinite(high).all()):
        raise RangeError("weights must be finite, found Inf or NaN")
    with np.errstate(over="ignore"):
        steps = largest/np.float32(top >> 1) if symmetric else (high - low)/np.float32(top)
        scales = steps.astype(np.float16)
    limit = 65504 if bits == 4 else 4094
    if not (scales <= limit).all():
        worst = float(np.max(np.where(scales <= limit, 0, largest)))
        raise RangeError(f"a group with weights up to {worst:g} needs a scale over {limit}; divide the weights first")
    scales = np.where((scales == 0) & (largest > 0), SMALLEST_SCALE, scales)
    divisors = np.where(scales == 0, np.float32(1), scales.astype(np.float32))
    if symmetric:
        zeros = np.full(scales.shape, 1 << (bits - 1), np.uint8)
    else:
        zeros = np.clip(np.rint(-low/divisors), 0, top).astype(np.uint8)
    return scales, zeros, divisors


def _pack_codes(codes, bits, packed):
    """Pack int32 codes (rows, k) into the rows of `packed`; pairs are joined while they are still 64-bit words."""
    pairs = codes.view("<u8")
    if bits == 4:
        packed[...] = pairs | (pairs >> np.uint64(28))
    else:
        half = packed.shape[1]//2
        packed[:, :half] = ((pairs >> np.uint64(4)) & np.uint64(15)) | ((pairs >> np.uint64(32)) & np.uint64(0xF0))
        packed[:, half:] = (pairs & np.uint64(15)) | ((pairs >> np.uint64(28)) & np.uint64(0xF0))


def quantize(w: np.ndarray, group_size: int | None = 128, symmetric: bool = False,
        bits: int = 4) -> Int4Matrix | Int8Matrix:
    """Quantise a weight matrix, round to nearest, group-wise.

    Parameters
    ----------
    w : (n, k) float16, float32 or float64 of any byte order, or lists of numbers
        Finite. float64 is rounded to float32 first.
    group_size : int or None
        Weights along k that share a scale and a zero point: 32, 64, 128, 256 or k (None).
    symmetric : bool
        Zero point in the middle (8; 8-bit: 128) instead of one fitted to each group's range.
    bits : int
        4 or 8.

    Returns
    -------
    Int4Matrix or Int8Matrix

    Raises
    ------
    DtypeError, ShapeError
        `w` is no matrix of floats, or is empty.
    RangeError
        Inf, NaN, weights whose scale is no FP16, another group size or number of bits.
    """
    w = _matrix("w", w)
    if bits not in (4, 8):
        raise RangeError(f"bits must be 4 or 8, not {bits!r}")
    n, k = w.shape
    check_shape(n, k)
    group_size = k if group_size is None else group_size
    span   = group_span(group_size, k)
    groups = -(-k//span)
    padded = groups*span
    kind   = Int4Matrix if bits == 4 else Int8Matrix
    top    = (1 << bits) - 1

    packed = np.empty((n, kind.planes*padded//2), np.uint8)
    scales = np.empty((n, groups), np.float16)
    zeros  = np.empty((n, groups), np.uint8)
    rows   = max(1, min(n, BLOCK_WEIGHTS//padded))
    work   = np.empty((rows, padded), np.float32)
    source = np.zeros((rows, padded), np.float32) if padded != k or w.dtype != np.float32 else None
    magic  = int(ROUND_MAGIC.view(np.int32))
    for start in range(0, n, rows):
        stop  = min(n, start + rows)
        count = stop - start
        if source is None:
            block = w[start:stop]
        else:
            with np.errstate(over="ignore"):
                source[:count, :k] = w[start:stop]
            block = source[:count]
        block = block.reshape(count, groups, span)
        low   = np.minimum(block.min(axis=2), 0)
        high  = np.maximum(block.max(axis=2), 0)
        scales[start:stop], zeros[start:stop], divisors = _scales_and_zeros(low, high, bits, symmetric)
        quotient = work[:count].reshape(count, groups, span)
        np.divide(block, divisors[:, :, None], out=quotient)
        quotient += ROUND_MAGIC
        codes = work[:count].view(np.int32).reshape(count, groups, span)
        codes -= (magic - zeros[start:stop].astype(np.int32))[:, :, None]
        np.maximum(codes, 0, out=codes)
        np.minimum(codes, top, out=codes)
        _pack_codes(codes.reshape(count, padded), bits, packed[start:stop])
    return kind((n, k), packed, scales, zeros, int(group_size))


def quantize_activations(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Quantise activations to int8, one scale a token.

    Parameters
    ----------
    x : (m, k) float16, float32 or float64 of any byte order, or lists of numbers
        Finite.

    Returns
    -------
    codes : (m, k) int8, −127 … 127
    act_scales : (m,) float32
        X ≈ act_scales[:, None]·codes. 1 for tokens of zeros, and for those below 127·2^-126.

    Raises
    ------
    DtypeError, ShapeError, RangeError
    """
    return quantize_rows(_matrix("x", x))


def quantize_rows(x):
    """`quantize_activations` of what is known to be a matrix of floats of this machine."""
    values = x.astype(np.float32, copy=False)
    largest = np.maximum(values.max(axis=1, initial=0), -values.min(axis=1, initial=0))
    if not np.isfinite(largest).all():
        raise RangeError("activations must be finite FP32, found Inf or NaN")
    act_scales = largest/np.float32(127)
    act_scales = np.where(act_scales < np.finfo(np.float32).tiny, np.float32(1), act_scales)
    codes = np.rint(values/act_scales[:, None])
    return np.clip(codes, -127, 127).astype(np.int8), act_scales
