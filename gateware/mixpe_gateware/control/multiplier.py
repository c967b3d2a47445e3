# SPDX-License-Identifier: BSD-2-Clause
"""A small multiplier for sizes of regions: one bit of an operand a cycle."""

from litex.gen import LiteXModule
from migen import Cat, If, Signal


class Multiplier(LiteXModule):
    """a·b bit by bit, with a flag for a product that does not fit.

    Latency 1 cycle from `start` and one for each bit of b up to its highest 1.

    Attributes
    ----------
    start : Signal(), in
    a : Signal(bits), b : Signal(b_bits), in
    busy : Signal(), out
    product : Signal(bits), overflow : Signal(), out
        Valid when not busy.
    """

    def __init__(self, bits, b_bits):
        self.start    = Signal()
        self.a        = Signal(bits)
        self.b        = Signal(b_bits)
        self.busy     = Signal()
        self.product  = Signal(bits)
        self.overflow = Signal()

        # # #

        a     = Signal(bits + 1)  # the top bit stays when one was shifted out
        b     = Signal(b_bits)
        total = Signal(bits + 1)
        self.comb += [
            total.eq(self.product + a[:bits]),
            self.busy.eq(b != 0),
        ]
        self.sync += [
            If(b[0],
                self.product.eq(total),
                self.overflow.eq(self.overflow | total[-1] | a[-1]),
            ),
            a.eq(Cat(0, a[:bits - 1], a[bits - 1] | a[bits])),
            b.eq(b >> 1),
            If(self.start,
                a.eq(self.a),
                b.eq(self.b),
                self.product.eq(0),
                self.overflow.eq(0),
            ),
        ]
