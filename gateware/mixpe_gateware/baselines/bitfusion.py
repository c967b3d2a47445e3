# SPDX-License-Identifier: BSD-2-Clause
"""BitFusion's fusion unit: 16 multipliers of 2×2 bits that fuse to 8×8, 8×4, 4×4 or 2×2 products.

Each BitBrick multiplies two 2-bit slices, extended by a sign bit that only a top slice of a signed operand has, to a
6-bit product, shifted by the places of its slices. A mode says which slices and which shift a brick has:

    mode    products a cycle    activations × weights (bits)
    8x8      1                   8 × 8
    8x4      2                   8 × 4        the W4A8 mode
    4x4      4                   4 × 4
    2x2     16                   2 × 2
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from migen import Case, Cat, Module, Signal

from mixpe_gateware.contract.errors import ConfigError
from mixpe_gateware.pe.adder_tree import AdderTree
from mixpe_gateware.pe.interface import DotProduct, check_operand

BRICKS = 16
MODES  = {  # name: (products, activation bits, weight bits)
    "8x8": (1, 8, 8),
    "8x4": (2, 8, 4),
    "4x4": (4, 4, 4),
    "2x2": (16, 2, 2),
}


def brick_place(mode, brick):
    """(product, activation slice, weight slice) of a brick in a mode."""
    products, activation_bits, weight_bits = MODES[mode]
    product, rest = divmod(brick, BRICKS//products)
    return product, *divmod(rest, weight_bits//2)


@dataclass(frozen=True, kw_only=True)
class BitFusion(DotProduct):
    """Dot product of lanes/2 fusion units; `lanes` counts W4A8 lanes, the mode is a port.

    The `weights` port has 32 bits a unit, then the mode (2 bits, index in MODES), then a flag that weights are signed.
    The `activations` port has 32 bits a unit, signed. In each mode the products' operands are packed from bit 0 of
    their unit's 32 bits.
    """

    name: ClassVar[str] = "bitfusion"
    summary: ClassVar[str] = "BitFusion fusion units: 16 BitBricks for two W4A8 products"
    multiplies: ClassVar[bool] = True
    lanes_min: ClassVar[int] = 2

    @property
    def units(self):
        return self.lanes//2

    @property
    def weights_bits(self):
        return 32*self.units + 3

    @property
    def activation_bits(self):
        return 32*self.units

    @property
    def product_bits(self):
        return 18 + (self.units - 1).bit_length()

    @property
    def latency(self):
        return 3 + 4 + (self.units - 1).bit_length()

    def products(self, mode):
        """Products a cycle in a mode, all units."""
        if mode not in MODES:
            raise ConfigError(f"BitFusion mode must be one of {tuple(MODES)}, not {mode!r}")
        return MODES[mode][0]*self.units

    def reference(self, q, x, mode="8x4", weights_signed=False):
        """Dot product of `products(mode)` lanes in a mode."""
        lanes = self.products(mode)
        q = check_operand("weights", q, MODES[mode][2], weights_signed, lanes)
        x = check_operand("activations", x, MODES[mode][1], True, lanes)
        return (q*x).sum(axis=-1)

    def _pack(self, values, mode, bits):
        products = MODES[mode][0]
        return sum((int(value) & (1 << bits) - 1) << 32*(lane//products) + bits*(lane % products)
                   for lane, value in enumerate(np.asarray(values)))

    def encode_weights(self, q, mode="8x4", weights_signed=False):
        q = check_operand("weights", q, MODES[mode][2], weights_signed, self.products(mode))
        control = tuple(MODES).index(mode) | int(weights_signed) << 2
        return self._pack(q, mode, MODES[mode][2]) | control << 32*self.units

    def encode(self, x, mode="8x4"):
        x = check_operand("activations", x, MODES[mode][1], True, self.products(mode))
        return self._pack(x, mode, MODES[mode][1])

    def create(self):
        return BitFusionUnit(self)


class BitFusionUnit(Module):
    """The unit of `BitFusion`: see there for its ports."""

    def __init__(self, params):
        self.weights     = Signal(params.weights_bits)
        self.activations = Signal(params.activation_bits)
        self.latency     = params.latency

        # # #

        mode   = self.weights[32*params.units:32*params.units + 2]
        signed = self.weights[32*params.units + 2]
        sums   = []
        for unit in range(params.units):
            weights     = self.weights[32*unit:32*(unit + 1)]
            activations = self.activations[32*unit:32*(unit + 1)]
            bricks = [BitBrick(brick, activations, weights, mode, signed) for brick in range(BRICKS)]
            tree   = AdderTree([brick.shifted for brick in bricks])
            self.submodules += [*bricks, tree]
            # Only one 8×8, two 8×4 …: the sum of a unit's products never needs more than 18 bits.
            total = Signal((18, True))
            self.comb += total.eq(tree.total)
            sums.append(total)
        self.submodules.tree = AdderTree(sums)
        self.product = self.tree.total


class BitBrick(Module):
    """One 2×2-bit multiplier with its operand selection and shift: three cycles to `shifted`."""

    def __init__(self, brick, activations, weights, mode, weights_signed):
        self.shifted = Signal((18, True), reset_less=True)

        # # #

        a       = Signal((3, True), reset_less=True)
        b       = Signal((3, True), reset_less=True)
        product = Signal((6, True), reset_less=True)
        shifts  = {}
        cases   = {}
        for index, (name, (_, activation_bits, weight_bits)) in enumerate(MODES.items()):
            lane, i, j = brick_place(name, brick)
            slice_a = activations[activation_bits*lane + 2*i:activation_bits*lane + 2*i + 2]
            slice_b = weights[weight_bits*lane + 2*j:weight_bits*lane + 2*j + 2]
            top_a   = i == activation_bits//2 - 1
            top_b   = j == weight_bits//2 - 1
            cases[index] = [
                a.eq(Cat(slice_a, slice_a[1] if top_a else 0)),
                b.eq(Cat(slice_b, slice_b[1] & weights_signed if top_b else 0)),
            ]
            shifts[index] = self.shifted.eq(product << 2*(i + j))
        mode_1 = Signal(2, reset_less=True)
        mode_2 = Signal(2, reset_less=True)
        self.sync += [
            Case(mode, cases),
            mode_1.eq(mode),
            product.eq(a*b),
            mode_2.eq(mode_1),
            Case(mode_2, shifts),
        ]
