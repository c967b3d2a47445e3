# SPDX-License-Identifier: BSD-2-Clause
"""What the vector engine keeps from a record to the next ones."""

import numpy as np

from mixpe_gateware.contract.program.records import ROWS_MAX


class VectorState:
    """Registers of the vector engine.

    Attributes
    ----------
    units : (64,) int32
        Exponent of the unit of each row that QUANT wrote last: results of a linear layer are to be multiplied by
        2^unit.
    squares : (64,) float32
        Sum of squares of each row that ADD measured last, rounded once.
    choice : int or None
        The token that SELECT found; None: none since the pass began.
    """

    def __init__(self):
        self.units   = np.zeros(ROWS_MAX, np.int32)
        self.squares = np.zeros(ROWS_MAX, np.float32)
        self.choice  = None
