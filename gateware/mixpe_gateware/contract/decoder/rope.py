# SPDX-License-Identifier: BSD-2-Clause
"""Rotary positions: pairs of a head's first and second half, turned by the angles of a table.

    y[i]         = fl(fl(a·cos) − fl(b·sin))
    y[i + d/2]   = fl(fl(b·cos) + fl(a·sin)),   a = x[i], b = x[i + d/2]
"""

import numpy as np

from mixpe_gateware.contract.decoder.float32 import add, multiply


def rotate(x, cos, sin):
    """Turn heads; error at most 2^-17·(|a| + |b|).

    Parameters
    ----------
    x : (b, t, heads, d) float32, F32, d even
    cos, sin : (t, d/2) float32
        Rounded to m18.

    Returns
    -------
    (b, t, heads, d) float32

    Raises
    ------
    RangeError
        A result of 2^128 or more.
    """
    half = x.shape[-1]//2
    a, b = x[..., :half], x[..., half:]
    cos, sin = cos[:, None, :], sin[:, None, :]
    return np.concatenate([add(multiply(a, cos), -multiply(b, sin)), add(multiply(b, cos), multiply(a, sin))], axis=-1)
