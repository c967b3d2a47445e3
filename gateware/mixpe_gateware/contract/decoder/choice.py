# SPDX-License-Identifier: BSD-2-Clause
"""The choice of the token: the largest logit, the lowest index of equal ones; and the few largest, for sampling."""

import numpy as np

from mixpe_gateware.contract.decoder.float32 import flush
from mixpe_gateware.contract.errors import ShapeError

TOP = 64


def largest(logits, count=TOP):
    """Indices of the largest logits, falling; equal ones by rising index.

    Parameters
    ----------
    logits : (n,) float32
    count : int
        Of them, or n where that is fewer.

    Returns
    -------
    (min(count, n),) int64

    Raises
    ------
    RangeError
        An Inf or NaN.
    ShapeError
        No logit.
    """
    logits = flush(logits, "a logit")
    if logits.ndim != 1 or not len(logits):
        raise ShapeError(f"a token is chosen from one row of logits, not from the shape {logits.shape}")
    return np.argsort(-logits, kind="stable")[:count]
