# SPDX-License-Identifier: BSD-2-Clause
"""FP16 (IEEE 754 binary16) taken apart, in numpy."""

import numpy as np

from mixpe_gateware.contract.errors import DtypeError, RangeError

FRACTION_BITS = 10
LSB_EXPONENT  = -24  # every finite FP16 number is an integer times 2^-24
CLASS_NAN, CLASS_PLUS_INFINITY, CLASS_MINUS_INFINITY = 1, 2, 4


def split(x):
    """(sign 0/1, exponent 0 … 29, significand 0 … 2047) of finite FP16 numbers: ±significand·2^(exponent − 24).

    Subnormals have exponent 0 and no hidden bit. Infinities and NaN give exponent 30.

    Raises
    ------
    DtypeError
    """
    x = np.asarray(x)
    if x.dtype != np.float16:
        raise DtypeError(f"activations must be float16, not {x.dtype}")
    bits = x.view(np.uint16).astype(np.int64)
    field = bits >> 10 & 31
    return bits >> 15, np.maximum(field, 1) - 1, (bits & 1023) | (field > 0).astype(np.int64) << 10


def classes(x):
    """CLASS_* of each number, 0 for finite ones."""
    x = np.asarray(x)
    return (CLASS_NAN*np.isnan(x) + CLASS_PLUS_INFINITY*(x == np.inf) + CLASS_MINUS_INFINITY*(x == -np.inf)).astype(int)


def fixed(x):
    """Finite FP16 numbers as int64 in units of 2^-24.

    Raises
    ------
    DtypeError, RangeError
    """
    sign, exponent, significand = split(x)
    if not np.isfinite(x).all():
        raise RangeError("activations must be finite")
    return (1 - 2*sign)*(significand << exponent)


def align(x, width):
    """Signed `width`-bit integers that share the exponent of the largest magnitude along the last axis.

    Parameters
    ----------
    x : (…, G) float16
    width : int
        Bits of the integers; 12 keeps all of the largest number's significand.

    Returns
    -------
    aligned : (…, G) int64
        Rounded to nearest, ties to even, saturated at ±(2^(width−1) − 1).
    exponent : (…, 1) int64
        x ≈ aligned·2^exponent.

    Raises
    ------
    DtypeError, RangeError
    """
    number = fixed(x)
    _, exponents, _ = split(x)
    shift = exponents.max(axis=-1, keepdims=True) - (width - 1 - (FRACTION_BITS + 1))
    limit = (1 << width - 1) - 1
    scaled = np.rint(np.ldexp(number.astype(np.float64), -shift)).astype(np.int64)  # 41 bits: exact in float64
    return np.clip(scaled, -limit, limit), shift + LSB_EXPONENT
