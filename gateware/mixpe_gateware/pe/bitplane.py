# SPDX-License-Identifier: BSD-2-Clause
"""MixPE-A8 by bit planes: sum over lanes first, shift-add the four plane sums last.

    Σ_l w_l·x_l = Σ_b 2^b · (Σ_l w_l[b]·x_l)

The adders of the first level do the gating: on ECP5 the AND with the weight bit sits in the carry cell (INIT 0x7888),
so that half of all adders' operands and all gates cost nothing.
"""

from dataclasses import dataclass
from typing import ClassVar

from migen import Module, Mux, Signal

from mixpe_gateware.pe.adder_tree import AdderTree, lane_signals
from mixpe_gateware.pe.carry_chain import CarryChain, add_cell
from mixpe_gateware.pe.interface import DotProduct

GATED_ADD = add_cell(lambda a, b: a & b, lambda a, b, c, d: c & d)  # 0x7888


@dataclass(frozen=True, kw_only=True)
class BitPlaneA8(DotProduct):
    """UINT4 × INT8 dot product by bit planes."""

    name: ClassVar[str] = "bitplane"
    summary: ClassVar[str] = "MixPE W4A8, bit planes with gates folded into the first adders"
    targets: ClassVar[tuple] = ("portable", "ecp5")
    lanes_min: ClassVar[int] = 2

    @property
    def latency(self):
        return (self.lanes - 1).bit_length() + 2

    def create(self):
        return BitPlaneUnit(self)


def gated_add(x, wx, y, wy):
    """Portable (x & wx) + (y & wy), signed."""
    return Mux(wx, x, 0) + Mux(wy, y, 0)


class GatedAdder(Module):
    """`total` = (x & wx) + (y & wy) of two signed signals of one width, combinational, in carry cells."""

    def __init__(self, x, wx, y, wy):
        bits = x.nbits
        self.total = Signal((bits + 1, True))

        # # #

        self.submodules.chain = chain = CarryChain()
        for bit in range(bits + 1):
            index = min(bit, bits - 1)  # the last cell extends the signs
            s = chain.cell(GATED_ADD, x[index], wx, y[index], wy)
            self.comb += self.total[bit].eq(s)


def plane_nodes(module, params, weights, activations, bit):
    """Registered sums of two lanes each, gated by one bit of their weights.

    Parameters
    ----------
    module : Module
        Gets the adders.
    params : DotProduct
    weights, activations : list of Signal
        A lane each.
    bit : int

    Returns
    -------
    list of Signal
        One for two lanes, a bit wider than an activation.
    """
    nodes = []
    for lane in range(0, params.lanes, 2):
        operands = activations[lane], weights[lane][bit], activations[lane + 1], weights[lane + 1][bit]
        node = Signal((params.lane_activation_bits + 1, True), reset_less=True)
        if params.target == "ecp5":
            adder = GatedAdder(*operands)
            module.submodules += adder
            module.sync += node.eq(adder.total)
        else:
            module.sync += node.eq(gated_add(*operands))
        nodes.append(node)
    return nodes


class BitPlaneUnit(Module):
    """The unit of `BitPlaneA8`: see `DotProduct` for its ports."""

    def __init__(self, params):
        self.weights     = Signal(4*params.lanes)
        self.activations = Signal(params.activation_bits)
        self.product     = Signal((params.product_bits, True), reset_less=True)
        self.latency     = params.latency

        # # #

        weights = lane_signals(self, self.weights, 4, False)
        activations = lane_signals(self, self.activations, params.lane_activation_bits, True)
        planes = []
        for bit in range(4):
            tree = AdderTree(plane_nodes(self, params, weights, activations, bit))
            self.submodules += tree
            planes.append(tree.total)

        bits = planes[0].nbits
        low  = Signal((bits + 2, True), reset_less=True)
        high = Signal((bits + 2, True), reset_less=True)
        self.sync += [
            low.eq(planes[0] + (planes[1] << 1)),
            high.eq(planes[2] + (planes[3] << 1)),
            self.product.eq(low + (high << 2)),
        ]
