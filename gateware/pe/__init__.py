# SPDX-License-Identifier: BSD-2-Clause
"""Processing elements: MixPE and every design that it is compared with, one file each."""

from mixpe.gateware.pe.bitplane import BitPlaneA8
from mixpe.gateware.pe.interface import DotProduct
from mixpe.gateware.pe.pair_plane import PairEncoder, PairPlaneA8
from mixpe.gateware.pe.shift_add import ShiftAddA8

__all__ = ["BitPlaneA8", "DotProduct", "PairEncoder", "PairPlaneA8", "ShiftAddA8"]
