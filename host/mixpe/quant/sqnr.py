# SPDX-License-Identifier: BSD-2-Clause
"""Signal to quantisation noise."""

import numpy as np


def sqnr_db(exact, found):
    """10·log10 of Σ exact² over Σ (found − exact)², rounded to 0.01 dB; None where either sum is zero."""
    signal = float(np.square(exact, dtype=np.float64).sum())
    noise  = float(np.square(np.subtract(found, exact, dtype=np.float64)).sum())
    return round(10*float(np.log10(signal/noise)), 2) if signal and noise else None
