# SPDX-License-Identifier: BSD-2-Clause
"""SwiGLU: fl(fl(g·sigmoid(g))·m18(u))."""

from mixpe_gateware.contract.decoder.float32 import multiply
from mixpe_gateware.contract.decoder.functions import sigmoid


def silu_multiply(gate, up):
    """silu(gate)·up; error at most (2^-14·|gate| + 2^-17·|silu(gate)|)·|up|, and where flushed 2^-126.

    Parameters
    ----------
    gate, up : (…,) float32, F32

    Returns
    -------
    (…,) float32

    Raises
    ------
    RangeError
        A result of 2^128 or more.
    """
    return multiply(multiply(gate, sigmoid(gate)), up)
