# SPDX-License-Identifier: BSD-2-Clause
"""A16 with activations aligned to their group's largest exponent: W-bit integers from there, and exact sums.

The array is the bit-plane one at W bits an activation. Alignment (`float16.align`) happens where activations are
written, once for every output channel that reads them.
"""

from dataclasses import dataclass
from typing import ClassVar

from mixpe_gateware.contract.errors import ConfigError
from mixpe_gateware.pe.bitplane import BitPlaneUnit
from mixpe_gateware.pe.interface import DotProduct

WIDTHS = range(6, 25)


@dataclass(frozen=True, kw_only=True)
class AlignedA16(DotProduct):
    """UINT4 × aligned FP16 dot product.

    Parameters
    ----------
    width : int
        W, bits of an aligned activation, 6 … 24. 12 keeps the largest one exact.
    """

    width: int = 12

    name: ClassVar[str] = "aligned-a16"
    summary: ClassVar[str] = "MixPE W4A16 on groups aligned to W-bit integers, bit planes"
    targets: ClassVar[tuple] = ("portable", "ecp5")
    activation_format: ClassVar[str] = "FP16 aligned"
    lanes_min: ClassVar[int] = 2

    def __post_init__(self):
        super().__post_init__()
        if self.width not in WIDTHS:
            raise ConfigError(f"{self.name}: width must be in {WIDTHS.start}..{WIDTHS.stop - 1}, not {self.width!r}")

    @property
    def lane_activation_bits(self):
        return self.width

    @property
    def latency(self):
        return (self.lanes - 1).bit_length() + 2

    def create(self):
        return BitPlaneUnit(self)
