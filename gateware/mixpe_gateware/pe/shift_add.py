# SPDX-License-Identifier: BSD-2-Clause
"""MixPE-A8 as published: four gated shifted copies of the activation for each weight, an adder tree, no multiplier.

    w·x = Σ_i w_i·(x << i),  i = 0…3
"""

from dataclasses import dataclass
from typing import ClassVar

from migen import Module, Mux, Signal

from mixpe_gateware.pe.adder_tree import AdderTree, lane_signals
from mixpe_gateware.pe.interface import DotProduct


@dataclass(frozen=True, kw_only=True)
class ShiftAddA8(DotProduct):
    """UINT4 × INT8 dot product; each lane's product is made by shift and add, then the lanes are added."""

    name: ClassVar[str] = "shift-add"
    summary: ClassVar[str] = "MixPE W4A8 as published: gated shifts and adds, then a tree over lanes"

    @property
    def latency(self):
        return 2 + (self.lanes - 1).bit_length()

    def create(self):
        return ShiftAddUnit(self)


class ShiftAddUnit(Module):
    """The unit of `ShiftAddA8`: see `DotProduct` for its ports."""

    def __init__(self, params):
        self.weights     = Signal(4*params.lanes)
        self.activations = Signal(8*params.lanes)
        self.latency     = params.latency

        # # #

        products = []
        weights = lane_signals(self, self.weights, 4, False)
        activations = lane_signals(self, self.activations, 8, True)
        for w, x in zip(weights, activations, strict=True):
            low     = Signal((10, True), reset_less=True)
            high    = Signal((10, True), reset_less=True)
            product = Signal((12, True), reset_less=True)
            self.sync += [
                low.eq(Mux(w[0], x, 0) + (Mux(w[1], x, 0) << 1)),
                high.eq(Mux(w[2], x, 0) + (Mux(w[3], x, 0) << 1)),
                product.eq(low + (high << 2)),
            ]
            products.append(product)
        self.submodules.tree = AdderTree(products)
        self.product = self.tree.total
