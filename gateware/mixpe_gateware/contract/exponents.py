# SPDX-License-Identifier: BSD-2-Clause
"""Exponents that the activations of a group share, for `contract.wide` and `contract.narrow`."""

import numpy as np

from mixpe_gateware.contract.errors import RangeError

NO_VALUE = -1000  # exponent of a group of zeros


def group_exponents(x, group_size):
    """Activations by groups, and how large the largest of each is.

    Parameters
    ----------
    x : (m, k) float16 or float32; k a multiple of G
    group_size : int

    Returns
    -------
    grouped : (m, k/G, G) float64
    exponents : (m, k/G) integers
        2^e is above the largest magnitude and at most twice it; NO_VALUE for a group of zeros.

    Raises
    ------
    RangeError
        An Inf or NaN.
    """
    values  = np.asarray(x)
    grouped = values.reshape(len(values), values.shape[1]//group_size, group_size)
    largest = np.maximum(grouped.max(axis=2, initial=0), -grouped.min(axis=2, initial=0)).astype(np.float64)
    if not np.isfinite(largest).all():
        raise RangeError("activations must be finite, found Inf or NaN")
    return grouped.astype(np.float64), np.where(largest > 0, np.frexp(largest)[1], NO_VALUE)
