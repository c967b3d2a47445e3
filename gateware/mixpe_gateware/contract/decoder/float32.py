# SPDX-License-Identifier: BSD-2-Clause
"""F32, the decoder's numbers: binary32, round to nearest even, one zero, no subnormals, no Inf, no NaN.

A result is rounded to 24 bits as if exponents had no end, then flushed to zero below 2^-126. The second operand of a
product has 18 bits of mantissa, so that a product is one of 24 × 18 bits.
"""

import numpy as np

from mixpe_gateware.contract.errors import RangeError

SMALLEST   = np.float32(2.0**-126)
FLUSHED    = 2.0**-126*(1 - 2.0**-25)  # magnitudes below it round to less than SMALLEST
SHORT_BITS = 18                        # of a product's second operand, the leading one included
_DROPPED   = 24 - SHORT_BITS
_KEPT      = np.uint32(0xFFFFFFFF << _DROPPED & 0xFFFFFFFF)


def _settled(x, what):
    """Flush to the one zero what is small; refuse what is not finite."""
    magnitude = np.abs(x)
    if not magnitude.max(initial=0) < np.inf:
        raise RangeError(f"{what} must be finite FP32, found Inf or NaN")
    small = magnitude < SMALLEST
    return np.where(small, np.float32(0), x) if small.any() else x


def flush(x, what="a value"):
    """Read numbers as F32.

    Parameters
    ----------
    x : array of any shape, float32
    what : str
        For the message.

    Returns
    -------
    float32, of the same shape

    Raises
    ------
    RangeError
        An Inf or NaN.
    """
    return _settled(np.asarray(x, np.float32), what)


def short(x):
    """m18: F32 rounded to 18 bits of mantissa, ties to even; relative error at most 2^-18.

    Parameters
    ----------
    x : array of any shape, float32

    Returns
    -------
    float32, of the same shape

    Raises
    ------
    RangeError
        An Inf or NaN, or a number that rounds to 2^128.
    """
    bits = np.array(flush(x), np.float32, ndmin=0).view(np.uint32)
    even = (bits >> np.uint32(_DROPPED)) & np.uint32(1)
    bits = bits + (np.uint32((1 << (_DROPPED - 1)) - 1) + even) & _KEPT
    return flush(bits.view(np.float32), "a number rounded to 18 bits")


def truncated(x):
    """trunc18: F32 with all but 18 bits of mantissa cut off, of the same shape."""
    bits = np.array(x, np.float32, ndmin=0).view(np.uint32)
    return (bits & _KEPT).view(np.float32)


def multiply(a, b):
    """fl(a·m18(b)).

    Parameters
    ----------
    a, b : float32, F32, of shapes that broadcast

    Returns
    -------
    float32

    Raises
    ------
    RangeError
        The product is 2^128 or more.
    """
    b = short(b)
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        y = np.asarray(a*b)
    edge = np.abs(y) == SMALLEST   # binary32 rounds to multiples of 2^-149 below it, and may have come from below
    if edge.any():
        a, b  = np.broadcast_arrays(a, b)
        exact = np.abs(a[edge].astype(np.float64)*b[edge])
        y[edge] = np.where(exact < FLUSHED, np.float32(0), y[edge])
    return _settled(y, "a product")


def add(a, b):
    """fl(a + b): bias and residual.

    Parameters
    ----------
    a, b : float32, F32, of shapes that broadcast

    Returns
    -------
    float32

    Raises
    ------
    RangeError
        The sum is 2^128 or more.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        return _settled(np.asarray(a + b), "a sum")  # a sum below 2^-126 is exact


def raised(x, exponent):
    """x·2^exponent, exact but for what is flushed.

    Parameters
    ----------
    x : float32, F32
    exponent : integers, of a shape that broadcasts

    Returns
    -------
    float32

    Raises
    ------
    RangeError
        A result of 2^128 or more.
    """
    exact = np.ldexp(np.asarray(x, np.float64), exponent)
    with np.errstate(over="ignore"):
        rounded = np.where(np.abs(exact) < SMALLEST, 0, exact).astype(np.float32)
    return _settled(rounded, "a number times a power of two")
