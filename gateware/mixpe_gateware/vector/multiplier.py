# SPDX-License-Identifier: BSD-2-Clause
"""Products of F32, the second operand rounded to 18 bits of mantissa: two blocks of 18 × 18 bits."""

from migen import Cat, Mux, Signal

from mixpe_gateware.contract.decoder.float32 import SHORT_BITS
from mixpe_gateware.vector.pipeline import Pipeline, packed, rounded_exponents

DROPPED = 24 - SHORT_BITS


class Multiplier(Pipeline):
    """`contract.decoder.float32.multiply`: fl(a·m18(b)).

    Latency 6 cycles, a product a cycle, no back-pressure.

    Attributes
    ----------
    a, b : Signal(32), in
        Finite; subnormal numbers count as zero.
    product : Signal(32), out
    over : Signal(), out
        With `product`: it is 2^128 or more, or m18(b) is.
    """

    LATENCY = 6

    def __init__(self):
        self.a, self.b = Signal(32), Signal(32)
        self.product = Signal(32)
        self.over    = Signal()

        # # #

        named, register = self.named, self.register

        # 1: b is rounded; a carry out of its mantissa leaves zeros there and counts its exponent up.
        up    = self.b[DROPPED - 1] & ((self.b[:DROPPED - 1] != 0) | self.b[DROPPED])
        b     = register(self.b[DROPPED:31] + up, 8 + SHORT_BITS - 1)
        a     = register(self.a)
        sign  = register(self.a[31] ^ self.b[31], 1)
        none  = register(self.b[23:31] == 0, 1)

        # 2: products of halves, registered behind the blocks.
        b_exponent = b[SHORT_BITS - 1:]
        short   = named(Cat(b[:SHORT_BITS - 1], 1), SHORT_BITS)
        long    = named(Cat(a[:23], 1), 24)
        low     = register(long[:18]*short, 36)
        high    = register(long[18:]*short, 24)
        is_zero = register((a[23:31] == 0) | none, 1)
        over_b  = register(b_exponent == 255, 1)
        exponent, sign = register(a[23:31] + b_exponent, 9), register(sign)

        # 3
        bits  = 24 + SHORT_BITS
        total = register(low + (high << 18), bits)
        is_zero, over_b, exponent, sign = (register(each) for each in (is_zero, over_b, exponent, sign))

        # 4: the top bit is where it belongs, and what rounding needs.
        top     = total[bits - 1]
        kept    = register(Mux(top, total[bits - 24:], total[bits - 25:bits - 1]), 24)
        half    = register(Mux(top, total[bits - 25], total[bits - 26]), 1)
        sticky  = register((total[:bits - 26] != 0) | (top & total[bits - 26]), 1)
        exponent = register(exponent + top - 127, 10)
        is_zero, over_b, sign = (register(each) for each in (is_zero, over_b, sign))

        # 5: rounded to nearest, ties to even.
        mantissa  = register(kept + (half & (sticky | kept[0])), 25)
        exponents = rounded_exponents(self, exponent, is_zero)
        over_b, sign = register(over_b), register(sign)

        # 6
        word, over = packed(self, mantissa, exponents, sign)
        self.comb += [
            self.product.eq(register(word, 32)),
            self.over.eq(register(over | over_b, 1)),
        ]
