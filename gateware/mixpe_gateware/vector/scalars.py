# SPDX-License-Identifier: BSD-2-Clause
"""Functions of one number a row: the inverse of a cache row's scale, the inverse root of a norm's mean."""

from migen import Cat, Constant, If, Mux, Signal

from mixpe_gateware.contract.decoder.tables import FRACTION_BITS, INVERSE, RSQRT, RSQRT_2, VALUE_BITS
from mixpe_gateware.vector.pipeline import Pipeline
from mixpe_gateware.vector.tables import FunctionTables


class Scalars(Pipeline):
    """Reciprocals and reciprocal roots; the table of 1/(1 + f) is for others to use meanwhile.

        root = 0   scale = x as bfloat16, rounded up;  value = rec(scale), 0 of 0
        root = 1   value = rsqrt(x)

    Latency 6 cycles, a value a cycle, no back-pressure.

    Attributes
    ----------
    x : Signal(32), in
        F32; without `root` it is not negative and below 2^124.
    root : Signal(), in
    borrow : Signal(), in; fraction : Signal(16), in; inverse : Signal(18), out
        With `borrow`: `inverse` is the table's value at `fraction`, `TABLE_LATENCY` cycles later.
    value : Signal(32), out
        m18.
    scale : Signal(16), out
        With `value`: the bfloat16.
    bad : Signal(), out
        With `value`: a root of zero or less.
    """

    TABLE_LATENCY = FunctionTables.LATENCY
    LATENCY       = TABLE_LATENCY + 2

    def __init__(self):
        self.x        = Signal(32)
        self.root     = Signal()
        self.borrow   = Signal()
        self.fraction = Signal(FRACTION_BITS)
        self.inverse  = Signal(VALUE_BITS)
        self.value    = Signal(32)
        self.scale    = Signal(16)
        self.bad      = Signal()

        # # #

        # 1: rounded up.
        x    = self.x
        top  = self.register(x[16:31] + (~self.root & (x[:16] != 0)), 15)
        low  = self.register(Mux(self.root, x[7:16], 0), 9)
        sign = self.register(x[31], 1)
        root = self.register(self.root)

        # 2 … 5: the table. x is 2^exponent·(1 + fraction).
        exponent = top[7:]
        fraction = self.named(Cat(low, top[:7]), FRACTION_BITS)
        self.tables = tables = FunctionTables([INVERSE, RSQRT, RSQRT_2])
        self.comb += [
            tables.fraction.eq(Mux(self.borrow, self.fraction, fraction)),
            # Exponents are biased by an odd number.
            tables.which.eq(Mux(self.borrow, 0, Mux(root, Mux(exponent[0], 1, 2), 0))),
            self.inverse.eq(tables.value),
        ]
        exponent, top, sign, root = (self.later(each, tables.LATENCY) for each in (exponent, top, sign, root))

        # 6: values are from 2^17 to 2^18 − 1.
        is_zero = self.named(exponent == 0, 1)
        power   = self.named(Mux(root, 190 - exponent[1:] - exponent[0], 253 - exponent), 8)
        self.sync += [
            self.value.eq(Cat(Constant(0, 24 - VALUE_BITS), tables.value[:VALUE_BITS - 1], power)),
            If(is_zero, self.value.eq(0)),
            self.scale.eq(top),
            self.bad.eq(root & (sign | is_zero)),
        ]
