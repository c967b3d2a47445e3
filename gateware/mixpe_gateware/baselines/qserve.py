# SPDX-License-Identifier: BSD-2-Clause
"""W4A8 with dequantisation inside the loop, as QServe does it.

Each weight is brought to INT8 before its product: w8 = (q·s2 + mz) mod 256 as a signed byte, with a group's integer
scale s2 and mz = −z·s2, both bytes; then an 8×8 product. (Multiply first, subtract second, as QServe's kernel.)
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from migen import Module, Signal

from mixpe_gateware.pe.adder_tree import AdderTree, lane_signals
from mixpe_gateware.pe.interface import DotProduct, check_operand


@dataclass(frozen=True, kw_only=True)
class QServeA8(DotProduct):
    """UINT4 × INT8 dot product, weights dequantised to INT8 in each cycle.

    The `weights` port has the lanes' nibbles, then the group's scale and zero (a byte each).
    """

    name: ClassVar[str] = "qserve"
    summary: ClassVar[str] = "W4A8, weights dequantised to INT8 in the loop, then 8×8 multipliers (QServe)"
    multiplies: ClassVar[bool] = True

    @property
    def weights_bits(self):
        return 4*self.lanes + 16

    @property
    def product_bits(self):
        return 16 + (self.lanes - 1).bit_length()

    @property
    def latency(self):
        return 3 + (self.lanes - 1).bit_length()

    def dequantise(self, q, scale, zero):
        """INT8 weights of a group: (q·scale + zero) mod 256, signed. scale 0…255, zero −128…127."""
        q = np.asarray(q, np.int64)
        return (q*np.asarray(scale, np.int64) + np.asarray(zero, np.int64) + 128) % 256 - 128

    def reference(self, q, x, scale=1, zero=0):
        q = check_operand("weights", q, 4, False, self.lanes)
        x = check_operand("activations", x, 8, True, self.lanes)
        return (self.dequantise(q, scale, zero)*x).sum(axis=-1)

    def encode_weights(self, q, scale=1, zero=0):
        return super().encode_weights(q) | (int(scale) & 255) << 4*self.lanes | (int(zero) & 255) << 4*self.lanes + 8

    def create(self):
        return QServeUnit(self)


class QServeUnit(Module):
    """The unit of `QServeA8`: see `DotProduct` for its ports."""

    def __init__(self, params):
        self.weights     = Signal(params.weights_bits)
        self.activations = Signal(8*params.lanes)
        self.latency     = params.latency

        # # #

        scale = self.weights[4*params.lanes:4*params.lanes + 8]
        zero  = self.weights[4*params.lanes + 8:]
        products = []
        for q, x in zip(lane_signals(self, self.weights[:4*params.lanes], 4, False),
                        lane_signals(self, self.activations, 8, True), strict=True):
            scaled  = Signal(8, reset_less=True)
            offset  = Signal(8, reset_less=True)
            w       = Signal((8, True), reset_less=True)
            x1      = Signal((8, True), reset_less=True)
            x2      = Signal((8, True), reset_less=True)
            product = Signal((16, True), reset_less=True)
            self.sync += [
                scaled.eq(q*scale),
                offset.eq(zero),
                w.eq(scaled + offset),
                x1.eq(x),
                x2.eq(x1),
                product.eq(w*x2),
            ]
            products.append(product)
        self.submodules.tree = AdderTree(products)
        self.product = self.tree.total
