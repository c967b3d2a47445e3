# SPDX-License-Identifier: BSD-2-Clause
"""What a quantised matrix may be: its shape, its groups, and the numbers in it."""

import numpy as np

from mixpe_gateware.contract.config import GROUP_SIZES
from mixpe_gateware.contract.errors import DtypeError, RangeError, ShapeError

K_UNIT  = 32     # k is padded to a multiple of this: the most lanes, and the smallest group
K_LIMIT = 65536  # longest reduction of a matrix: an int32 partial sum of W8 over one group still fits


def group_span(group_size, k):
    """Check a group size and return the number of weights of one group, padding included.

    Parameters
    ----------
    group_size : int or None
        32, 64, 128, 256, or k itself (None means k).

    Raises
    ------
    RangeError
        Another group size.
    """
    if group_size is None:
        group_size = k
    if isinstance(group_size, bool) or not isinstance(group_size, (int, np.integer)):
        raise DtypeError(f"group_size must be an int, not {group_size!r}")
    if group_size in GROUP_SIZES:
        return int(group_size)
    if group_size == k:
        return -(-k//K_UNIT)*K_UNIT
    raise RangeError(f"group_size must be one of {GROUP_SIZES} or k={k}, not {group_size}")


def check_shape(n, k):
    """Refuse empty matrices and reductions that are too long."""
    if n < 1 or not 1 <= k <= K_LIMIT:
        raise ShapeError(f"weights must be (n >= 1, 1 <= k <= {K_LIMIT}), not ({n}, {k})")


def check_codes(name, array, bits):
    """Refuse integers of more than so many bits."""
    if int(array.max()) >= 1 << bits:
        raise RangeError(f"{name} are 0 … {(1 << bits) - 1}, not {int(array.max())}")


def as_float16(name, array):
    """FP32 scales as FP16; anything else as it is."""
    if not isinstance(array, np.ndarray) or array.dtype != np.float32:
        return array
    with np.errstate(over="ignore"):
        exact = array.astype(np.float16)
    if not np.array_equal(exact.astype(np.float32), array):
        raise RangeError(f"FP32 {name} must be FP16 values exactly; round them with astype(np.float16) first")
    return exact
