# SPDX-License-Identifier: BSD-2-Clause
"""The designs that MixPE is compared with, one file each, and `DESIGNS`: all of them, after those of the SoC."""

from mixpe_gateware import pe
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
from mixpe_gateware.baselines.table_lookup import TableLookupA8

DESIGNS = pe.DESIGNS | {design.name: design for design in (
    AlignedA16, MixPeA16, TableLookupA8, Int8, BitPlaneInt8, QServeA8, BitFusion, OlAccel, AntA8, OliveA8, Fp16Dequant)}

__all__ = ["DESIGNS", "AlignedA16", "AntA8", "BitFusion", "BitPlaneInt8", "Fp16Dequant", "Int8", "MixPeA16", "OlAccel",
           "OliveA8", "QServeA8", "TableLookupA8"]
