# SPDX-License-Identifier: BSD-2-Clause
"""Functions from the tables: 2^-t, 1/x, 1/√x and the logistic function.

Arguments are cut off to 16 bits of fraction; results have 18 bits, so that they are second operands of a product as
they are.
"""

import numpy as np

from mixpe_gateware.contract.decoder.float32 import SMALLEST, multiply, raised
from mixpe_gateware.contract.decoder.tables import EXP2, FRACTION_BITS, INVERSE, RSQRT, RSQRT_2, VALUE_BITS
from mixpe_gateware.contract.errors import RangeError

LOG2_E         = np.float32(1.4426950408889634)
SIGMOID_LIMIT  = np.float32(64)  # magnitudes from it on count as it
SIGMOID_LEAST  = 4               # results below are 0: of 2^-18, the table's own error
_ONE           = 1 << VALUE_BITS


def _split(x, what):
    """Exponents and fractions of F32 > 0: x ≈ 2^exponent·(1 + fraction/2^16)."""
    x = np.array(x, np.float32, ndmin=0)
    if not (x >= SMALLEST).all() or np.isinf(x).any():
        raise RangeError(f"{what} is of positive normal FP32, not of {x.min() if x.min() < SMALLEST else x.max()}")
    bits = x.view(np.int32)
    return (bits >> 23) - 127, (bits & 0x7FFFFF) >> (23 - FRACTION_BITS)


def reciprocal(x):
    """rec: 1/x, relative error at most 2^-15.

    Parameters
    ----------
    x : float32, F32, positive, below 2^125

    Returns
    -------
    float32, m18, of the same shape

    Raises
    ------
    RangeError
        An x that is not positive, or too large.
    """
    exponent, fraction = _split(x, "a reciprocal")
    if (exponent >= 125).any():
        raise RangeError(f"a reciprocal is of FP32 below 2^125, not of {np.max(x)}")
    return raised(INVERSE.every[fraction].astype(np.float32), -VALUE_BITS - exponent)


def reciprocal_root(x):
    """rsqrt: 1/√x, relative error at most 2^-15.

    Parameters
    ----------
    x : float32, F32, positive

    Returns
    -------
    float32, m18, of the same shape

    Raises
    ------
    RangeError
        An x that is not positive.
    """
    exponent, fraction = _split(x, "a reciprocal root")
    odd   = exponent & 1
    value = np.where(odd, RSQRT_2.every[fraction], RSQRT.every[fraction])
    return raised(value.astype(np.float32), -VALUE_BITS - (exponent - odd)//2)


def exp2_negative(t):
    """2^-t in units of 2^-18, absolute error at most 2 of them; 1 is given as 2^18 − 1.

    Parameters
    ----------
    t : integers from 0, units of 2^-16

    Returns
    -------
    int32, 0 … 2^18 − 1, of the same shape
    """
    t = np.minimum(t, VALUE_BITS << FRACTION_BITS).astype(np.int32)  # from 18 on it is 0
    return EXP2.every[t & ((1 << FRACTION_BITS) - 1)] >> (t >> FRACTION_BITS)


def sigmoid(x):
    """1/(1 + e^-x) in units of 2^-18, absolute error at most 2^-14.

        t = fl(|x|·m18(log2 e)), at most 64, cut off to 2^-16;  e = exp2_negative(t);  r = T_rec of 1 + e
        r where x ≥ 0, else 1 − r, or 0 where that is below 2^-16

    Parameters
    ----------
    x : float32, F32

    Returns
    -------
    float32, m18, 0 … 1, of the same shape
    """
    x = np.asarray(x, np.float32)
    t = np.minimum(multiply(np.minimum(np.abs(x), SIGMOID_LIMIT), LOG2_E), SIGMOID_LIMIT)
    e = exp2_negative((t*np.float32(1 << FRACTION_BITS)).astype(np.int32))
    value = INVERSE.every[e >> (VALUE_BITS - FRACTION_BITS)]
    value = np.where(x >= 0, value, _ONE - value)
    return np.where(value < SIGMOID_LEAST, 0, value).astype(np.float32)*np.float32(2.0**-VALUE_BITS)
