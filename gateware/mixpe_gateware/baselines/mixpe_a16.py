# SPDX-License-Identifier: BSD-2-Clause
"""MixPE-A16: FP16 activations, w·x = Σ_i w_i·(x ⊗ 2^i), with every FP16 code defined.

⊗ 2^i adds i to the exponent. Done on the FP16 field that is wrong for zeros, subnormals and exponents that leave the
field, so it is done here on the number taken apart: sign, exponent (subnormals count as the smallest normal one,
without hidden bit) and significand. The four terms then share one significand at neighbouring exponents: gated shifts
and adds of 11 bits give the product exactly, 15 bits at x's own exponent.

Rounding: none. Products are added to fixed-point accumulators in units of 2^-24, FP16's smallest number: exact, and
independent of the order of the sum. Rounding to a float is left to dequantisation, once a group.

Special numbers: a weight of 0 adds nothing, whatever the activation (the term is gated). Otherwise an infinity or NaN
sets a flag for its group: the group is NaN if any NaN was seen or infinities of both signs; else that infinity.
"""

from dataclasses import dataclass
from functools import reduce
from operator import or_
from typing import ClassVar

import numpy as np
from migen import Cat, If, Module, Mux, Signal

from mixpe_gateware.baselines.float16 import (
    CLASS_MINUS_INFINITY,
    CLASS_NAN,
    CLASS_PLUS_INFINITY,
    classes,
    fixed,
)
from mixpe_gateware.contract.errors import DtypeError, ShapeError
from mixpe_gateware.pe.adder_tree import AdderTree
from mixpe_gateware.pe.interface import DotProduct, check_operand

PRODUCT_BITS = 11 + 4 + 29 + 1


@dataclass(frozen=True, kw_only=True)
class MixPeA16(DotProduct):
    """UINT4 × FP16 dot product with exact fixed-point sums.

    `total` of the group unit is in units of 2^-24; its `flags` has bits CLASS_NAN, CLASS_PLUS_INFINITY and
    CLASS_MINUS_INFINITY of `float16`.
    """

    name: ClassVar[str] = "mixpe-a16"
    summary: ClassVar[str] = "MixPE W4A16: gated shifts of the significand added exactly, fixed-point sums"
    activation_format: ClassVar[str] = "FP16"
    lane_activation_bits: ClassVar[int] = 16
    lane_product_bits: ClassVar[int] = PRODUCT_BITS

    @property
    def latency(self):
        return 4 + (self.lanes - 1).bit_length()

    def reference(self, q, x):
        """Exact sums.

        Parameters
        ----------
        q : (…, lanes) integer array, 0 … 15
        x : (…, lanes) float16 array, any code

        Returns
        -------
        product : (…) int64
            Σ q·x in units of 2^-24 over the finite activations.
        flags : (…) int64
            Or of CLASS_* over lanes whose weight is not 0.

        Raises
        ------
        DtypeError, ShapeError, RangeError
        """
        x = np.asarray(x)
        if x.dtype != np.float16:
            raise DtypeError(f"activations must be float16, not {x.dtype}")
        if x.shape[-1:] != (self.lanes,):
            raise ShapeError(f"activations must have {self.lanes} elements on the last axis, their shape is {x.shape}")
        q = check_operand("weights", q, 4, False, self.lanes)
        finite = np.where(np.isfinite(x), x, np.float16(0))
        return (q*fixed(finite)).sum(axis=-1), np.bitwise_or.reduce(np.where(q > 0, classes(x), 0), axis=-1)

    def encode(self, x):
        """The `activations` port's value for float16 activations (lanes,)."""
        return int.from_bytes(np.ascontiguousarray(x, dtype="<f2").tobytes(), "little")

    def create(self):
        return MixPeA16Unit(self)

    def create_group(self, group_size=128, accumulator_bits=None):
        return FlagAccumulator(super().create_group(group_size, accumulator_bits))


class MixPeA16Unit(Module):
    """The unit of `MixPeA16`: see `DotProduct` for its ports; and `flags`, of the inputs of `latency` cycles ago."""

    def __init__(self, params):
        self.weights     = Signal(4*params.lanes)
        self.activations = Signal(16*params.lanes)
        self.flags       = Signal(3, reset_less=True)
        self.latency     = params.latency

        # # #

        products, flags = [], []
        for lane in range(params.lanes):
            w = self.weights[4*lane:4*lane + 4]
            x = self.activations[16*lane:16*lane + 16]
            field, fraction = x[10:15], x[:10]
            significand = Signal(11)
            finite      = Signal()
            flag        = Signal(3, reset_less=True)
            sign        = Signal(reset_less=True)
            exponent    = Signal(5, reset_less=True)
            low         = Signal(13, reset_less=True)
            high        = Signal(13, reset_less=True)
            self.comb += [
                finite.eq(field != 31),
                significand.eq(Cat(fraction, field != 0)),
            ]
            self.sync += [
                sign.eq(x[15]),
                exponent.eq(Mux(field == 0, 0, field - 1)),
                low.eq(Mux(w[0] & finite, significand, 0) + (Mux(w[1] & finite, significand, 0) << 1)),
                high.eq(Mux(w[2] & finite, significand, 0) + (Mux(w[3] & finite, significand, 0) << 1)),
                flag.eq(0),
                If(~finite & (w != 0),
                    flag.eq(Mux(fraction != 0, CLASS_NAN, Mux(x[15], CLASS_MINUS_INFINITY, CLASS_PLUS_INFINITY))),
                ),
            ]
            # The exponent's shift: its low bits in one cycle, its high bits in the next.
            sign_2, sign_3 = Signal(reset_less=True), Signal(reset_less=True)
            exponent_2 = Signal(5, reset_less=True)
            exponent_3 = Signal(3, reset_less=True)
            magnitude  = Signal(15, reset_less=True)
            near       = Signal(18, reset_less=True)
            far        = Signal(PRODUCT_BITS - 1)
            product    = Signal((PRODUCT_BITS, True), reset_less=True)
            self.sync += [
                magnitude.eq(low + (high << 2)),
                sign_2.eq(sign),
                exponent_2.eq(exponent),
                near.eq(magnitude << exponent_2[:2]),
                sign_3.eq(sign_2),
                exponent_3.eq(exponent_2[2:]),
                product.eq(Mux(sign_3, -far, far)),
            ]
            self.comb += far.eq(near << Cat(0, 0, exponent_3))
            products.append(product)
            flags.append(flag)
        self.submodules.tree = AdderTree(products)
        self.product = self.tree.total
        flag = reduce(or_, flags)
        for _ in range(params.latency - 2):
            later = Signal(3, reset_less=True)
            self.sync += later.eq(flag)
            flag = later
        self.sync += self.flags.eq(flag)


class FlagAccumulator(Module):
    """A group accumulator whose unit has `flags`: they are collected over the group as well.

    Attributes
    ----------
    weights, activations, first, last, total, done, latency
        As `GroupAccumulator`.
    flags : Signal(3), out
        Or over the group, valid with `total`.
    """

    def __init__(self, group):
        self.submodules.group = group
        for port in ("weights", "activations", "first", "last", "total", "done", "latency"):
            setattr(self, port, getattr(group, port))
        self.flags = Signal(3, reset_less=True)

        # # #

        first, last = self.first, self.last
        for _ in range(group.unit.latency):
            next_first, next_last = Signal(reset_less=True), Signal(reset_less=True)
            self.sync += next_first.eq(first), next_last.eq(last)
            first, last = next_first, next_last
        seen  = Signal(3, reset_less=True)
        ended = Signal(reset_less=True)
        self.sync += [
            seen.eq(Mux(first, 0, seen) | group.unit.flags),
            ended.eq(last),
            If(ended, self.flags.eq(seen)),
        ]
