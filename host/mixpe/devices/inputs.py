# SPDX-License-Identifier: BSD-2-Clause
"""What a layer is called with, as rows of float activations."""

import numpy as np

from mixpe.quant.floats import KINDS, as_floats
from mixpe_gateware.contract.errors import ShapeError


def as_rows(x, k):
    """Activations as a matrix, and the axes in front of k.

    Parameters
    ----------
    x : (k,), (m, k) or (…, k)
        An array of float16 or float32, of any byte order, is taken as it is; float64 and nested lists of numbers are
        rounded to float32 first.
    k : int

    Returns
    -------
    rows : (m, k) float16 or float32
    axes : tuple of int
        Of `x` without the last one; their product is m.

    Raises
    ------
    DtypeError
        No floats.
    ShapeError
        Another last axis, or lists that are no array.
    """
    if not isinstance(x, np.ndarray) or x.dtype not in KINDS:  # a call is to be short
        x = as_floats("x", x)
    if x.ndim == 0 or x.shape[-1] != k:
        raise ShapeError(f"activations must have the shape ({k},), (m, {k}) or (…, {k}), not {x.shape}")
    if x.dtype.itemsize == 8:
        with np.errstate(over="ignore"):  # what is too large is refused as Inf is
            x = x.astype(np.float32)
    return x.reshape(-1, k), x.shape[:-1]
