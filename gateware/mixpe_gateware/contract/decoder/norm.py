# SPDX-License-Identifier: BSD-2-Clause
"""RMS norm: of a row of the residual, or of a head of q or k.

    ss     Σ floor(trunc18(x)²·2^32), exact, 80 bits for n up to 2^16
    mean   fl(fl(F32(ss)·2^-32·m18(1/n)) + eps)
    z      fl(fl(x·rsqrt(mean))·m18(w))
"""

import numpy as np

from mixpe_gateware.contract.decoder.float32 import add, multiply, raised, truncated
from mixpe_gateware.contract.decoder.functions import reciprocal_root
from mixpe_gateware.contract.errors import RangeError

VALUE_LIMIT = 1 << 16  # of magnitudes, not reached
WIDTH_LIMIT = 1 << 16  # of n, reached
SQUARE_BITS = 32       # of a square's fraction
_LOW        = 1 << 32


def square_sum(x):
    """ss·2^-32, rounded once to F32.

    Parameters
    ----------
    x : (…, n) float32, F32, magnitudes below 2^16

    Returns
    -------
    (…,) float32

    Raises
    ------
    RangeError
        A value of 2^16 or more, or more than 2^16 of them.
    """
    if x.shape[-1] > WIDTH_LIMIT:
        raise RangeError(f"a norm is of at most {WIDTH_LIMIT} values, not {x.shape[-1]}")
    if not np.abs(x).max(initial=0) < VALUE_LIMIT:
        raise RangeError(f"a norm's values must be below {VALUE_LIMIT}, not {np.abs(x).max()}")
    wide   = truncated(x).astype(np.float64)
    square = np.floor(wide*wide*2.0**SQUARE_BITS)                       # 36 bits of its up to 64
    upper  = np.floor(square*(1/_LOW))
    lower  = (square - upper*_LOW).sum(axis=-1).astype(np.int64)        # below 2^48, exact in any order
    upper  = upper.sum(axis=-1).astype(np.int64) + (lower >> 32)
    lower  = lower & (_LOW - 1)
    sticky = (2*upper + (lower != 0)).astype(np.float32)*np.float32(2.0**31)   # rounded once: 33 bits or more
    exact  = ((upper & 0x7FFFFFFF) << 32 | lower).astype(np.float32)
    return raised(np.where(upper >> 31, sticky, exact), -SQUARE_BITS)


def rms_norm(x, weight, eps):
    """z of the module's formula; against the exact norm, relative error at most 2^-14 + 2^-33·n/(ss + n·eps).

    Parameters
    ----------
    x : (…, n) float32, F32, magnitudes below 2^16
    weight : (n,) float32, F32
        Rounded to m18, which FP16 and BF16 are already.
    eps : float
        At least 2^-126.

    Returns
    -------
    (…, n) float32

    Raises
    ------
    RangeError
        See `square_sum`; or a result of 2^128 or more.
    """
    mean = multiply(square_sum(x), np.float32(1/x.shape[-1]))
    root = reciprocal_root(add(mean, np.float32(eps)))
    return multiply(multiply(x, root[..., None]), weight)
