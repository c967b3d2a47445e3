# SPDX-License-Identifier: BSD-2-Clause
"""Processing elements: MixPE and every design that it is compared with, one file each."""

from mixpe_gateware.baselines.aligned_a16 import AlignedA16
from mixpe_gateware.baselines.ant import AntA8
from mixpe_gateware.baselines.bitfusion import BitFusion
from mixpe_gateware.baselines.bitplane_int8 import BitPlaneInt8
from mixpe_gateware.baselines.fp16_dequant import Fp16Dequant
from mixpe_gateware.baselines.int8 import Int8
from mixpe_gateware.baselines.mixpe_a16 import MixPeA16
from mixpe_gateware.baselines.olaccel import OlAccel
from mixpe_gateware.baselines.olive import OliveA8
from mixpe_gateware.baselines.qserve import QServeA8
from mixpe_gateware.baselines.table_lookup import TableEncoder, TableLookupA8
from mixpe_gateware.pe.bitplane import BitPlaneA8
from mixpe_gateware.pe.interface import DotProduct
from mixpe_gateware.pe.pair_encoder import PairEncoder
from mixpe_gateware.pe.pair_plane import PairPlaneA8
from mixpe_gateware.pe.shift_add import ShiftAddA8

DESIGNS = {design.name: design for design in (
    ShiftAddA8, BitPlaneA8, PairPlaneA8, AlignedA16, MixPeA16, TableLookupA8, Int8, BitPlaneInt8, QServeA8,
    BitFusion, OlAccel, AntA8, OliveA8, Fp16Dequant)}

__all__ = ["DESIGNS", "AlignedA16", "AntA8", "BitFusion", "BitPlaneA8", "BitPlaneInt8", "DotProduct", "Fp16Dequant",
           "Int8", "MixPeA16", "OlAccel", "OliveA8", "PairEncoder", "PairPlaneA8", "QServeA8", "ShiftAddA8",
           "TableEncoder", "TableLookupA8"]
