# SPDX-License-Identifier: BSD-2-Clause
"""The TPU-like INT8 PE: an 8×8 multiplier a lane and an adder tree, in LUTs or in DSP blocks."""

from dataclasses import dataclass
from typing import ClassVar

from migen import Module, Signal

from mixpe_gateware.pe.adder_tree import AdderTree, lane_signals
from mixpe_gateware.pe.interface import DotProduct


@dataclass(frozen=True, kw_only=True)
class Int8(DotProduct):
    """INT8 × INT8 dot product.

    Parameters
    ----------
    dsp : bool
        Whether synthesis may use DSP blocks for the multipliers. The module is the same.
    target : str
        ``"ice40"`` leaves the second of the products' registers out of the DSP block: Yosys 0.70 would take it in and
        connect nothing to its output, so that sums are of zeros.
    """

    dsp: bool = False

    name: ClassVar[str] = "int8"
    summary: ClassVar[str] = "INT8 TPU-like: 8×8 multipliers"
    multiplies: ClassVar[bool] = True
    targets: ClassVar[tuple] = ("portable", "ice40")
    weight_format: ClassVar[str] = "INT8"
    weight_bits: ClassVar[int] = 8
    weights_signed: ClassVar[bool] = True

    @property
    def latency(self):
        return 3 + (self.lanes - 1).bit_length()

    def create(self):
        return Int8Unit(self)


class Int8Unit(Module):
    """The unit of `Int8`: see `DotProduct` for its ports. Operands are registered before and after the multiplier."""

    def __init__(self, params):
        self.weights     = Signal(8*params.lanes)
        self.activations = Signal(8*params.lanes)
        self.latency     = params.latency

        # # #

        kept = {"keep"} if params.dsp and params.target == "ice40" else set()
        products = []
        for w, x in zip(lane_signals(self, self.weights, 8, True), lane_signals(self, self.activations, 8, True),
                        strict=True):
            a = Signal((8, True), reset_less=True)
            b = Signal((8, True), reset_less=True)
            m = Signal((16, True), reset_less=True, attr=kept)
            product = Signal((16, True), reset_less=True)
            self.sync += a.eq(w), b.eq(x), m.eq(a*b), product.eq(m)
            products.append(product)
        self.submodules.tree = AdderTree(products)
        self.product = self.tree.total
