# SPDX-License-Identifier: BSD-2-Clause
"""Processing elements that the SoC's array can have: by their names, which are those of `Config.pe`."""

from mixpe_gateware.pe.bitplane import BitPlaneA8
from mixpe_gateware.pe.pair_plane import PairPlaneA8
from mixpe_gateware.pe.shift_add import ShiftAddA8

DESIGNS = {design.name: design for design in (ShiftAddA8, BitPlaneA8, PairPlaneA8)}

__all__ = ["DESIGNS", "BitPlaneA8", "PairPlaneA8", "ShiftAddA8"]
