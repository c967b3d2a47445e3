# SPDX-License-Identifier: BSD-2-Clause
"""The logistic function from the tables of 2^-f and 1/(1 + f)."""

from migen import Cat, Constant, Mux, Signal

from mixpe_gateware.contract.decoder.functions import LOG2_E, SIGMOID_LEAST
from mixpe_gateware.contract.decoder.tables import EXP2, FRACTION_BITS, VALUE_BITS
from mixpe_gateware.vector.multiplier import Multiplier
from mixpe_gateware.vector.pipeline import Pipeline
from mixpe_gateware.vector.scalars import Scalars
from mixpe_gateware.vector.tables import FunctionTables

WHOLE_BITS = 5  # of t: from 18 on 2^-t is 0


class Fixed(Pipeline):
    """Magnitudes of F32, cut off to whole and fraction bits; `big` where there are more whole ones.

    Latency 2 cycles, a value a cycle.

    Attributes
    ----------
    x : Signal(31), in
    value : Signal(21), out; big : Signal(), out
    """

    LATENCY = 2

    def __init__(self):
        self.x     = Signal(31)
        self.value = Signal(WHOLE_BITS + FRACTION_BITS)
        self.big   = Signal()

        # # #

        exponent = self.x[23:31]
        limit    = 127 + WHOLE_BITS                    # from this exponent on
        mantissa = self.named(Cat(self.x[:23], 1)[23 - FRACTION_BITS - WHOLE_BITS + 1:], FRACTION_BITS + WHOLE_BITS)
        distance = self.named(limit - 1 - exponent, 8)  # to the right
        coarse   = self.register(Mux(distance[4], mantissa >> 16, mantissa), len(mantissa))
        moved    = self.moved(coarse, self.two_to(~distance[:4], distance[5:] != 0))
        self.comb += [
            self.value.eq(moved[15:]),
            self.big.eq(self.later(self.named(exponent >= limit, 1), 2)),
        ]


class Sigmoid(Pipeline):
    """`contract.decoder.functions.sigmoid`, with the table of 1/(1 + f) of a `Scalars`.

    A value a cycle, no back-pressure.

    Attributes
    ----------
    x : Signal(32), in
        F32.
    fraction : Signal(16), out; inverse : Signal(18), in
        Of a `Scalars`.
    value : Signal(32), out
        m18, 0 … 1.
    """

    LATENCY = Multiplier.LATENCY + Fixed.LATENCY + FunctionTables.LATENCY + 2 + Scalars.TABLE_LATENCY + 3

    def __init__(self):
        self.x        = Signal(32)
        self.fraction = Signal(FRACTION_BITS)
        self.inverse  = Signal(VALUE_BITS)
        self.value    = Signal(32)

        # # #

        # t = |x|·log2(e), its 2^-fraction, and this moved by its whole part.
        self.scaled = scaled = Multiplier()
        self.fixed  = fixed  = Fixed()
        self.powers = powers = FunctionTables([EXP2])
        large = self.later(self.named(self.x[29:31] == 3, 1), scaled.LATENCY + fixed.LATENCY)  # |x| of 2^65 or more
        self.comb += [
            scaled.a.eq(self.x),
            scaled.b.eq(int(LOG2_E.view("u4"))),
            fixed.x.eq(scaled.product[:31]),
            powers.fraction.eq(fixed.value[:FRACTION_BITS]),
        ]
        whole = self.later(fixed.value[FRACTION_BITS:], powers.LATENCY)
        big   = self.later(self.named(fixed.big | large, 1), powers.LATENCY)
        moved = self.moved(self.register(powers.value), self.two_to(~whole[:4], big | whole[4]))
        self.comb += self.fraction.eq(moved[15 + VALUE_BITS - FRACTION_BITS:])  # nothing is left from 16 on

        # 1/(1 + 2^-t), or what it lacks of 1, as a float.
        negative = self.later(self.x[31], self.LATENCY - 3)
        value    = self.register(Mux(negative, (1 << VALUE_BITS) - self.inverse, self.inverse), VALUE_BITS)
        zeros    = []
        for stage in ((8, 4), (2, 1)):
            for step in stage:
                empty = self.named(value[VALUE_BITS - step:] == 0, 1)
                value = self.named(Mux(empty, value << step, value), VALUE_BITS)
                zeros.append(empty)
            if stage[0] == 8:
                small = self.register(self.named(value[VALUE_BITS - 4:] == 0, 1))
                value, zeros = self.register(value), [self.register(zero) for zero in zeros]
        exponent = self.named(126 - Cat(*reversed(zeros)), 8)
        word     = Cat(Constant(0, 24 - VALUE_BITS), value[:VALUE_BITS - 1], exponent, Constant(0, 1))
        self.comb += self.value.eq(self.register(Mux(small, 0, word), 32))


assert SIGMOID_LEAST == 4  # of 18 bits the upper 16 are zero: 4 of them are left when 12 have moved out
