# SPDX-License-Identifier: BSD-2-Clause
"""What a layer is called with, as rows of float activations."""

import numpy as np

from mixpe_gateware.contract.errors import DtypeError, ShapeError

KINDS = (np.float16, np.float32, np.float64)


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
    if isinstance(x, (list, tuple)):
        x = _listed(x)
    if not isinstance(x, np.ndarray) or x.dtype.newbyteorder("=") not in KINDS:
        found = x.dtype.name if isinstance(x, np.ndarray) else type(x).__name__
        way   = "; convert with x.astype(np.float32)" if isinstance(x, np.ndarray) else ""
        raise DtypeError(f"x must be an array of floats of 16, 32 or 64 bits, or lists of numbers, not {found}{way}")
    if x.ndim == 0 or x.shape[-1] != k:
        raise ShapeError(f"activations must have the shape ({k},), (m, {k}) or (…, {k}), not {x.shape}")
    if x.dtype.itemsize == 8:
        with np.errstate(over="ignore"):  # what is too large is refused as Inf is
            x = x.astype(np.float32)
    return x.astype(x.dtype.newbyteorder("="), copy=False).reshape(-1, k), x.shape[:-1]


def _listed(x):
    """Lists of numbers as a float32 array."""
    try:
        found = np.array(x)
    except ValueError:
        raise ShapeError("lists of activations must all have the same length") from None
    if found.dtype.kind not in "iuf":
        raise DtypeError(f"lists of activations must hold numbers, not {found.dtype.name}")
    return found.astype(np.float64)
