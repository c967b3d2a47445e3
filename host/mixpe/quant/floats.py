# SPDX-License-Identifier: BSD-2-Clause
"""What weights and activations may be given as."""

import numpy as np

from mixpe_gateware.contract.errors import DtypeError, ShapeError

KINDS = (np.float16, np.float32, np.float64)


def as_floats(name, x):
    """Floats in this machine's byte order.

    Parameters
    ----------
    name : str
        For messages.
    x : array of float16, float32 or float64 of any byte order, or nested lists of numbers

    Returns
    -------
    array of float16, float32 or float64
        Of lists float64.

    Raises
    ------
    DtypeError
        No floats.
    ShapeError
        Lists that are no array.
    """
    if isinstance(x, (list, tuple)):
        return _listed(name, x)
    if not isinstance(x, np.ndarray) or x.dtype.newbyteorder("=") not in KINDS:
        found = x.dtype.name if isinstance(x, np.ndarray) else type(x).__name__
        way   = f"; convert with {name}.astype(np.float32)" if isinstance(x, np.ndarray) else ""
        raise DtypeError(f"{name} must be an array of floats of 16, 32 or 64 bits, or lists of numbers, not "
            f"{found}{way}")
    return x.astype(x.dtype.newbyteorder("="), copy=False)


def _listed(name, x):
    try:
        found = np.array(x)
    except ValueError:
        raise ShapeError(f"the lists of {name} must all have the same length") from None
    if found.dtype.kind not in "iuf":
        raise DtypeError(f"the lists of {name} must hold numbers, not {found.dtype.name}")
    return found.astype(np.float64)
