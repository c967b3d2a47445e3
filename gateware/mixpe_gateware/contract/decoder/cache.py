# SPDX-License-Identifier: BSD-2-Clause
"""Rows of the KV cache: INT8 codes with one bfloat16 scale a position and head.

    s      bfloat16, rounded up, of fl(largest·R), R the m18 next above 1/127
    code   rint(fl(x·rec(s))) in −127 … 127;  0 where s is 0

A scale is a mantissa of 8 bits and an exponent, which attention takes apart: s = mantissa·2^exponent.
"""

import numpy as np

from mixpe_gateware.contract.decoder.float32 import multiply
from mixpe_gateware.contract.decoder.functions import reciprocal
from mixpe_gateware.contract.errors import RangeError

LARGEST_CODE = 127
INVERSE_127  = np.float32((2**17 + 2**10 + 2**3 + 1)*2.0**-24)  # so that no code but by its rounding exceeds 127


def append(x):
    """Codes and scales of new positions; |x − code·s| ≤ 0.505·s, s ≤ 1.01·largest/127.

    Parameters
    ----------
    x : (…, d) float32, F32

    Returns
    -------
    codes : (…, d) int8
    scales : (…,) uint16
        Bits of the bfloat16.

    Raises
    ------
    RangeError
        A value of 2^125 or more.
    """
    largest = np.abs(x).max(axis=-1)
    if not largest.max(initial=0) < 2.0**125:
        raise RangeError(f"keys and values must be below 2^125, not {largest.max()}")
    bits  = multiply(largest, INVERSE_127).view(np.uint32)
    bits  = (bits + np.uint32(0xFFFF)) >> np.uint32(16) << np.uint32(16)
    scale = bits.view(np.float32)
    inverse = reciprocal(np.where(scale > 0, scale, np.float32(1)))
    inverse = np.where(scale > 0, inverse, np.float32(0))[..., None]
    codes = np.clip(np.rint(multiply(x, inverse)), -LARGEST_CODE, LARGEST_CODE)
    return codes.astype(np.int8), (bits >> np.uint32(16)).astype(np.uint16)


def scale_parts(scales):
    """Mantissas and exponents of scales: s = mantissa·2^exponent.

    Parameters
    ----------
    scales : (…,) uint16
        Bits of bfloat16 from `append`.

    Returns
    -------
    mantissa : (…,) int32, 128 … 255, or 0
    exponent : (…,) int32, −133 … 112
        0 where the mantissa is 0.
    """
    bits  = scales.astype(np.int32)
    field = bits >> 7
    return np.where(field, 128 | bits & 127, 0), np.where(field, field - 134, 0)
