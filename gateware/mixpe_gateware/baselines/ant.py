# SPDX-License-Identifier: BSD-2-Clause
"""ANT: 4-bit weights of a type chosen per channel (int4, power of two, flint4), INT8 activations on two 4-bit PEs.

Signed 4-bit values: int4 −8 … 7; power of two: sign and 3 bits, {0, 1, 2, 4, 8, 16, 32, 64}; flint: sign and 3 bits,
{0, 1, 2, 3, 4, 6, 8, 16}. A decoder makes (integer, exponent) of them.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from migen import Case, Module, Mux, Signal

from mixpe_gateware.baselines.exponent_integer import ExponentIntegerUnit
from mixpe_gateware.contract.errors import ConfigError
from mixpe_gateware.pe.interface import DotProduct, check_operand

TYPES = ("int", "pot", "flint")
MAGNITUDES = {
    "pot":   ((0, 0), (1, 0), (1, 1), (1, 2), (1, 3), (1, 4), (1, 5), (1, 6)),
    "flint": ((0, 0), (1, 0), (2, 0), (3, 0), (1, 4), (2, 2), (4, 0), (6, 0)),
}


def decode_table(kind):
    """The 16 (integer, exponent) pairs of a type's codes."""
    if kind == "int":
        return tuple((code - 16 if code > 7 else code, 0) for code in range(16))
    return tuple(MAGNITUDES[kind]) + tuple((-integer, exponent) for integer, exponent in MAGNITUDES[kind])


def values(kind):
    """The 16 values of a type's codes, int64."""
    if kind not in TYPES:
        raise ConfigError(f"ANT type must be one of {TYPES}, not {kind!r}")
    return np.array([integer << exponent if integer >= 0 else -(-integer << exponent)
                     for integer, exponent in decode_table(kind)])


@dataclass(frozen=True, kw_only=True)
class AntA8(DotProduct):
    """ANT 4-bit × INT8 dot product. The `weights` port has the lanes' codes, then the type (2 bits, index in TYPES)."""

    name: ClassVar[str] = "ant"
    summary: ClassVar[str] = "ANT: int4, power-of-two or flint4 weights, INT8 on two 4-bit PEs"
    multiplies: ClassVar[bool] = True
    weight_format: ClassVar[str] = "ANT4"
    integer_bits: ClassVar[int] = 4
    exponent_max: ClassVar[int] = 6
    lane_product_bits: ClassVar[int] = 15  # 64·128

    @property
    def weights_bits(self):
        return 4*self.lanes + 2

    @property
    def latency(self):
        return 4 + (self.lanes - 1).bit_length()

    def reference(self, q, x, kind="int"):
        """`q` are codes 0 … 15 of type `kind`."""
        q = check_operand("weights", q, 4, False, self.lanes)
        x = check_operand("activations", x, 8, True, self.lanes)
        return (values(kind)[q]*x).sum(axis=-1)

    def encode_weights(self, q, kind="int"):
        return super().encode_weights(q) | TYPES.index(kind) << 4*self.lanes

    def create(self):
        return ExponentIntegerUnit(self)

    def decode(self, module, weights):
        kind = weights[4*self.lanes:]
        lanes = []
        for lane in range(self.lanes):
            decoder = AntDecoder(weights[4*lane:4*lane + 4], kind)
            module.submodules += decoder
            lanes.append((decoder.integer, decoder.exponent))
        return lanes


class AntDecoder(Module):
    """(integer, exponent) of a code, registered."""

    def __init__(self, code, kind):
        self.integer  = Signal((4, True), reset_less=True)
        self.exponent = Signal(3, reset_less=True)

        # # #

        magnitude = Signal(3)
        exponent  = Signal(3)
        minus     = Signal()
        is_int    = Signal()
        field     = code[:3]
        self.comb += [
            is_int.eq(kind == TYPES.index("int")),
            minus.eq(code[3]),
            Case(kind, {
                TYPES.index("pot"): [
                    magnitude.eq(field != 0),
                    exponent.eq(Mux(field == 0, 0, field - 1)),
                ],
                "default": Case(field, {
                    index: [magnitude.eq(integer), exponent.eq(shift)]
                    for index, (integer, shift) in enumerate(MAGNITUDES["flint"])}),
            }),
        ]
        self.sync += [
            self.exponent.eq(Mux(is_int, 0, exponent)),
            self.integer.eq(Mux(is_int, code, Mux(minus, -magnitude, magnitude))),
        ]
