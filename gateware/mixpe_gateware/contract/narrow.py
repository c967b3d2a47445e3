# SPDX-License-Identifier: BSD-2-Clause
"""A8 with a power-of-two scale per group: INT8 codes, one row a token, and the alignment shifts of A16.

    x ≈ code·2^h·unit

A group whose largest magnitude is below 2^e, and not below 2^(e − 1), has the step 2^(e − 7). Codes are the nearest
multiples, ties to even, in −128 … 127: only a value above 127.5 steps is more than half a step away. Steps are told to
the array by h = 0 … 15 relative to the token's unit, a power of two, as in `contract.wide`: h of the token's largest
group is 15, and a group more than 2^15 below it uses h = 0 and loses bits at its end.

A unit is at least 2^-126, the smallest normal FP32; values below 2^-127 become zero.

Source: architecture of the project; shared exponents as in OCP Microscaling (MX) 1.0, per group of the weights.
"""

import numpy as np

from mixpe_gateware.contract.config import SHIFT_LIMIT
from mixpe_gateware.contract.exponents import NO_VALUE, group_exponents

CODE_BITS = 7     # magnitudes of a group's codes: its largest value is below 2^CODE_BITS steps
UNIT_MIN  = -126  # of a unit's exponent


def align(x, group_size):
    """Quantise activations per group.

    Parameters
    ----------
    x : (m, k) float16 or float32, finite; k a multiple of G

    Returns
    -------
    codes : (m, k) int8
    shifts : (m, k/G) uint8, 0 … 15
        0 for a group of zeros.
    unit : (m,) float32, a power of two
        x ≈ code·2^shift·unit

    Raises
    ------
    RangeError
        An Inf or NaN.
    """
    codes, shifts, unit = align_to_exponents(x, group_size)
    return codes, shifts, np.ldexp(np.float32(1), unit)


def align_to_exponents(x, group_size):
    """As `align`, with the unit's exponent, (m,) integers."""
    grouped, exponents = group_exponents(x, group_size)
    unit   = np.maximum(exponents.max(axis=1, initial=NO_VALUE) - CODE_BITS - SHIFT_LIMIT, UNIT_MIN)
    shifts = np.clip(exponents - CODE_BITS - unit[:, None], 0, SHIFT_LIMIT)
    codes  = np.rint(np.ldexp(grouped, -(unit[:, None] + shifts)[:, :, None]))
    codes  = np.minimum(codes, 127).reshape(np.shape(x)).astype(np.int8)
    return codes, shifts.astype(np.uint8), unit
