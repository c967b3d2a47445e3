# SPDX-License-Identifier: BSD-2-Clause
"""Processing elements: MixPE and every design that it is compared with, one file each."""

from mixpe.gateware.pe.aligned_a16 import AlignedA16
from mixpe.gateware.pe.ant import AntA8
from mixpe.gateware.pe.bitfusion import BitFusion
from mixpe.gateware.pe.bitplane import BitPlaneA8
from mixpe.gateware.pe.bitplane_int8 import BitPlaneInt8
from mixpe.gateware.pe.fp16_dequant import Fp16Dequant
from mixpe.gateware.pe.int8 import Int8
from mixpe.gateware.pe.interface import DotProduct
from mixpe.gateware.pe.mixpe_a16 import MixPeA16
from mixpe.gateware.pe.olaccel import OlAccel
from mixpe.gateware.pe.olive import OliveA8
from mixpe.gateware.pe.pair_encoder import PairEncoder
from mixpe.gateware.pe.pair_plane import PairPlaneA8
from mixpe.gateware.pe.qserve import QServeA8
from mixpe.gateware.pe.shift_add import ShiftAddA8
from mixpe.gateware.pe.table_lookup import TableEncoder, TableLookupA8

DESIGNS = {design.name: design for design in (
    ShiftAddA8, BitPlaneA8, PairPlaneA8, AlignedA16, MixPeA16, TableLookupA8, Int8, BitPlaneInt8, QServeA8,
    BitFusion, OlAccel, AntA8, OliveA8, Fp16Dequant)}

__all__ = ["DESIGNS", "AlignedA16", "AntA8", "BitFusion", "BitPlaneA8", "BitPlaneInt8", "DotProduct", "Fp16Dequant",
           "Int8", "MixPeA16", "OlAccel", "OliveA8", "PairEncoder", "PairPlaneA8", "QServeA8", "ShiftAddA8",
           "TableEncoder", "TableLookupA8"]
