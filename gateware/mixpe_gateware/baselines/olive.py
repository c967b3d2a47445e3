# SPDX-License-Identifier: BSD-2-Clause
"""OliVe: outlier-victim pairs. Two 4-bit codes a byte; where one is the identifier 1000, it counts 0 (the victim) and
the other is an outlier in abfloat E2M1: ±(2 + m) << (e + 2), that is 12, 16, 24, 32, 48, 64 or 96. Other codes are
int4 from −7 to 7. A pair of two identifiers counts 0; the outlier code s000 has no use and stands for ±8.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from migen import Cat, Constant, If, Module, Mux, Signal

from mixpe_gateware.baselines.exponent_integer import ExponentIntegerUnit
from mixpe_gateware.pe.interface import DotProduct, check_operand

IDENTIFIER = 0b1000
BIAS = 2


def outlier(code):
    """Value of a code beside a victim: ±(2 + m) << (e + 2)."""
    code = np.asarray(code, np.int64)
    return (2 + (code & 1) << (code >> 1 & 3) + BIAS)*np.where(code & 8, -1, 1)


def decode_pairs(codes):
    """Values (…, lanes) int64 of codes 0 … 15 (…, lanes), neighbours are pairs."""
    codes   = np.asarray(codes, np.int64)
    partner = codes.reshape(*codes.shape[:-1], -1, 2)[..., ::-1].reshape(codes.shape)
    normal  = np.where(codes > 7, codes - 16, codes)
    return np.where(codes == IDENTIFIER, 0, np.where(partner == IDENTIFIER, outlier(codes), normal))


@dataclass(frozen=True, kw_only=True)
class OliveA8(DotProduct):
    """OliVe 4-bit × INT8 dot product; lanes 2i and 2i + 1 are a pair."""

    name: ClassVar[str] = "olive"
    summary: ClassVar[str] = "OliVe: outlier-victim pairs, abfloat outliers, INT8 on two 4-bit PEs"
    multiplies: ClassVar[bool] = True
    weight_format: ClassVar[str] = "OliVe4"
    integer_bits: ClassVar[int] = 4
    exponent_max: ClassVar[int] = 5
    lane_product_bits: ClassVar[int] = 15  # 96·128
    lanes_min: ClassVar[int] = 2

    @property
    def weights_bits(self):
        return 4*self.lanes

    @property
    def latency(self):
        return 4 + (self.lanes - 1).bit_length()

    def reference(self, q, x):
        """`q` are codes 0 … 15."""
        q = check_operand("weights", q, 4, False, self.lanes)
        x = check_operand("activations", x, 8, True, self.lanes)
        return (decode_pairs(q)*x).sum(axis=-1)

    def create(self):
        return ExponentIntegerUnit(self)

    def decode(self, module, weights):
        lanes = []
        for lane in range(self.lanes):
            partner = lane ^ 1
            decoder = OliveDecoder(weights[4*lane:4*lane + 4], weights[4*partner:4*partner + 4])
            module.submodules += decoder
            lanes.append((decoder.integer, decoder.exponent))
        return lanes


class OliveDecoder(Module):
    """(integer, exponent) of a code beside its partner, registered."""

    def __init__(self, code, partner):
        self.integer  = Signal((4, True), reset_less=True)
        self.exponent = Signal(3, reset_less=True)

        # # #

        magnitude = Cat(code[0], Constant(1, 1))  # 2 + m
        self.sync += [
            self.integer.eq(code),
            self.exponent.eq(0),
            If(code == IDENTIFIER,
                self.integer.eq(0),
            ).Elif(partner == IDENTIFIER,
                self.integer.eq(Mux(code[3], -magnitude, magnitude)),
                self.exponent.eq(code[1:3] + BIAS),
            ),
        ]
