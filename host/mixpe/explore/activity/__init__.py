# SPDX-License-Identifier: BSD-2-Clause
"""Energy proxy: the toggles of a synthesised netlist, weighted by what drives the net (`weights`)."""

from mixpe.explore.activity.netlist import Netlist, transpose
from mixpe.explore.activity.parameters import NotSimulated

__all__ = ["Netlist", "NotSimulated", "transpose"]
