# SPDX-License-Identifier: BSD-2-Clause
"""A16 on the A8 array: FP16 activations as aligned 15-bit integers in two INT8 rows.

The activations of a group share an exponent: x = a·2^(e − 14 + …) with a an integer of 15 bits and sign, |a| ≤ 2^14.
Row 2t carries the high part and row 2t+1 the low part of token t, both signed so that one kind of lane serves both:

    a = 256·hi + lo,  hi = (a + 128) >> 8  in −64 … 64,  lo = a − 256·hi  in −128 … 127

An FP16 significand has 11 bits, so an element is exact while it is at most 2^3 smaller than the largest of its group;
smaller ones are rounded to the nearest step, ties to even. Groups keep their exponents relative to the token by the
alignment shift h = 0 … 15: value = a·2^h·unit, where unit is the token's. A group more than 2^15 below the token's
largest uses h = 0 and loses bits at its end, which is 2^-29 of the token's largest value.

Source: architecture of the project; alignment as in FIGNA (HPCA 2024), group-wise.
"""

import numpy as np

from mixpe_gateware.contract.config import SHIFT_LIMIT
from mixpe_gateware.contract.exponents import NO_VALUE, group_exponents

ALIGNED_BITS = 14  # |a| <= 2**ALIGNED_BITS


def align(x, group_size):
    """Align activations per group.

    Parameters
    ----------
    x : (m, k) float16 or float32, finite; k a multiple of G

    Returns
    -------
    a : (m, k) int16
    shifts : (m, k/G) uint8, 0 … 15
    unit : (m,) float32, a power of two
        x ≈ a·2^shift·unit

    Raises
    ------
    RangeError
        An Inf or NaN.
    """
    a, shifts, unit = align_to_exponents(x, group_size)
    return a, shifts, np.ldexp(np.float32(1), unit)


def align_to_exponents(x, group_size):
    """As `align`, with the unit's exponent, (m,) integers, which may be one that FP32 has not."""
    grouped, exponents = group_exponents(x, group_size)
    token = exponents.max(axis=1, initial=NO_VALUE)
    token = np.where(token == NO_VALUE, SHIFT_LIMIT, token)
    shifts = np.clip(exponents - (token[:, None] - SHIFT_LIMIT), 0, SHIFT_LIMIT)
    unit = token - SHIFT_LIMIT - ALIGNED_BITS
    a = np.rint(np.ldexp(grouped, -(unit[:, None] + shifts)[:, :, None]))
    return a.reshape(np.shape(x)).astype(np.int16), shifts.astype(np.uint8), unit


def split(a):
    """Aligned integers as pairs of INT8 rows: (m, k) int16 → (2m, k) int8, rows hi, lo, hi, lo …"""
    high = (a.astype(np.int32) + 128) >> 8
    low  = a.astype(np.int32) - 256*high
    return np.stack([high, low], axis=1).reshape(2*len(a), a.shape[1]).astype(np.int8)


def join(pairs):
    """Combine results of row pairs: (2m, …) integers → (m, …) int64, 256·hi + lo."""
    return 256*pairs[0::2].astype(np.int64) + pairs[1::2].astype(np.int64)
