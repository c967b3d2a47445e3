# SPDX-License-Identifier: BSD-2-Clause
"""Exact sums of squares, in units of 2^-32, and what they are rounded to."""

from litex.gen import LiteXModule
from migen import Case, Cat, If, Mux, Signal

from mixpe_gateware.contract.decoder.float32 import SHORT_BITS
from mixpe_gateware.contract.decoder.norm import SQUARE_BITS
from mixpe_gateware.vector.pipeline import Pipeline

SUM_BITS = 80
LOWEST   = 110  # biased exponents below it give squares below the unit
TOO_MUCH = 143  # from this one on values are out of range


class SquareSum(Pipeline):
    """Σ floor(trunc18(x)²·2^32) of runs of values.

    Latency 7 cycles from the last value of a run, a value a cycle, no back-pressure.

    Attributes
    ----------
    x : Signal(32), in; valid : Signal(), in; start : Signal(), in
        F32. With `start`: the first one of a run.
    total : Signal(80), out
    over : Signal(), out
        In the cycle of `x`: it is 2^16 or more.
    """

    LATENCY = 7

    def __init__(self):
        self.x     = Signal(32)
        self.valid = Signal()
        self.start = Signal()
        self.total = Signal(SUM_BITS)
        self.over  = Signal()

        # # #

        # 1 to 3: the square of the mantissa, nothing below the lowest exponent.
        exponent = self.x[23:31]
        short    = self.named(Cat(self.x[24 - SHORT_BITS:23], 1), SHORT_BITS)
        short    = self.register(short)
        none     = self.register(self.named((exponent < LOWEST) | ~self.valid, 1))
        shift    = self.register(self.named(exponent - LOWEST, 6))
        product  = self.register(short*short, 2*SHORT_BITS)
        none, shift = self.register(none), self.register(shift)
        power    = self.two_to(Cat(0, shift[:3]), none)
        product  = self.register(product)
        shift    = self.register(shift)
        self.comb += self.over.eq(exponent >= TOO_MUCH)

        # 4 and 5: moved by twice the exponent, by 0 to 14 and then by multiples of 16; the unit is 36 bits up.
        fine   = self.moved(product, power)
        square = Signal(64)
        self.comb += Case(self.register(shift[3:]), {
            0: square.eq(fine[36:]),
            1: square.eq(fine[20:]),
            2: square.eq(fine[4:]),
            3: square.eq(Cat(*[0]*12, fine)),
            4: square.eq(Cat(*[0]*28, fine)),
        })
        square = self.register(square)

        # 6 and 7: the lower half, then the upper one with its carry.
        half   = SUM_BITS//2
        start  = self.later(self.start & self.valid, 5, 1)
        begins = self.register(start)
        upper  = self.register(square[half:])
        low    = Signal(half + 1, reset_less=True)
        high   = Signal(half, reset_less=True)
        self.sync += [
            low.eq(square[:half] + Mux(start, 0, low[:half])),
            high.eq(upper + low[half] + Mux(begins, 0, high)),
        ]
        self.comb += self.total.eq(Cat(self.register(low[:half]), high))


class SquareRounder(LiteXModule):
    """A sum of squares as F32, rounded to nearest, ties to even.

    Latency at most 21 cycles; a sum in that many.

    Attributes
    ----------
    start : Signal(), in; total : Signal(80), in
        Strobe, with a sum of units of 2^-32.
    done : Signal(), out; value : Signal(32), out
        Strobe, with the number.
    """

    LATENCY = 21

    def __init__(self):
        self.start = Signal()
        self.total = Signal(SUM_BITS)
        self.done  = Signal()
        self.value = Signal(32)

        # # #

        left     = Signal(SUM_BITS)
        exponent = Signal(8)
        tries    = Signal(5)       # steps that may still be needed
        moving   = Signal()
        rounding = Signal()
        mantissa = Signal(25)
        up       = Signal()
        self.comb += up.eq(left[SUM_BITS - 25] & ((left[:SUM_BITS - 25] != 0) | left[SUM_BITS - 24]))
        self.sync += [
            rounding.eq(0),
            self.done.eq(rounding),
            If(moving,
                tries.eq(tries - 1),
                If(left[-1] | (tries == 0),
                    moving.eq(0),
                    rounding.eq(1),
                    mantissa.eq(left[SUM_BITS - 24:] + up),
                ).Elif(left[SUM_BITS - 8:] == 0,
                    left.eq(left << 8),
                    exponent.eq(exponent - 8),
                ).Else(
                    left.eq(left << 1),
                    exponent.eq(exponent - 1),
                ),
            ),
            If(rounding, self.value.eq(Mux(mantissa[23:] == 0, 0,
                Cat(Mux(mantissa[24], 0, mantissa[:23]), (exponent + mantissa[24])[:8])))),
            If(self.start,
                left.eq(self.total),
                exponent.eq(127 + SUM_BITS - 1 - SQUARE_BITS),
                tries.eq(17),
                moving.eq(1),
            ),
        ]
