# SPDX-License-Identifier: BSD-2-Clause
"""INT8 × INT8 by the means of the MixPE array: eight bit planes, gates folded into the first adders, no multiplier.

    Σ_l w_l·x_l = Σ_{b<7} 2^b·S_b − 2^7·S_7          S_b = Σ_l w_l[b]·x_l

Not a design of the paper. It shows how much of the distance between MixPE and an INT8 PE is due to the width of the
weights, and how much to multipliers being built from carry chains and registers instead of synthesised from ``*``.
"""

from dataclasses import dataclass
from typing import ClassVar

from migen import Module, Signal

from mixpe_gateware.pe.adder_tree import AdderTree, lane_signals
from mixpe_gateware.pe.bitplane import plane_nodes
from mixpe_gateware.pe.interface import DotProduct

PLANES = 8


@dataclass(frozen=True, kw_only=True)
class BitPlaneInt8(DotProduct):
    """INT8 × INT8 dot product by bit planes."""

    name: ClassVar[str] = "bitplane-int8"
    summary: ClassVar[str] = "INT8 with MixPE's means: eight bit planes, gates folded into the first adders"
    targets: ClassVar[tuple] = ("portable", "ecp5")
    weight_format: ClassVar[str] = "INT8"
    weight_bits: ClassVar[int] = 8
    weights_signed: ClassVar[bool] = True
    lanes_min: ClassVar[int] = 2

    @property
    def latency(self):
        return (self.lanes - 1).bit_length() + 3

    def create(self):
        return BitPlaneInt8Unit(self)


class BitPlaneInt8Unit(Module):
    """The unit of `BitPlaneInt8`: see `DotProduct` for its ports."""

    def __init__(self, params):
        self.weights     = Signal(8*params.lanes)
        self.activations = Signal(8*params.lanes)
        self.product     = Signal((params.product_bits, True), reset_less=True)
        self.latency     = params.latency

        # # #

        weights     = lane_signals(self, self.weights, 8, False)
        activations = lane_signals(self, self.activations, 8, True)
        planes = []
        for bit in range(PLANES):
            tree = AdderTree(plane_nodes(self, params, weights, activations, bit))
            self.submodules += tree
            planes.append(tree.total)
        # Two planes to one, twice; the sign plane is subtracted.
        bits  = planes[0].nbits
        pairs = []
        for bit in range(0, PLANES, 2):
            pair = Signal((bits + 2, True), reset_less=True)
            high = planes[bit + 1] << 1
            self.sync += pair.eq(planes[bit] - high if bit == PLANES - 2 else planes[bit] + high)
            pairs.append(pair)
        low  = Signal((bits + 4, True), reset_less=True)
        high = Signal((bits + 4, True), reset_less=True)
        self.sync += [
            low.eq(pairs[0] + (pairs[1] << 2)),
            high.eq(pairs[2] + (pairs[3] << 2)),
            self.product.eq(low + (high << 4)),
        ]
