# SPDX-License-Identifier: BSD-2-Clause
"""Integers to IEEE-754 binary32, rounded to nearest, ties to even."""

from litex.gen import LiteXModule
from litex.soc.interconnect import stream
from migen import Cat, If, Mux, Signal


class IntegerToFloat32(LiteXModule):
    """Convert integer·2^unit_log2 to FP32.

    Latency 8 cycles, a value a cycle; a stalled `source` stalls all stages.

    Parameters
    ----------
    bits : int
        Width of the signed integer, 26 … 128.
    unit_log2 : int
        Results must be normal numbers: no integer of that width may leave FP32's normal range.

    Attributes
    ----------
    sink : Endpoint([("value", (bits, True))]), in
    source : Endpoint([("data", 32)]), out
    """

    STEPS = ((64,), (32,), (16,), (8, 4), (2, 1))

    def __init__(self, bits, unit_log2):
        if not 26 <= bits <= 128 or not -126 <= unit_log2 <= 127 - bits:
            raise ValueError(f"cannot convert {bits}-bit integers in units of 2^{unit_log2}")
        self.sink   = stream.Endpoint([("value", (bits, True))])
        self.source = stream.Endpoint([("data", 32)])

        # # #

        move  = Signal()
        valid = self.sink.valid
        self.comb += [
            move.eq(~self.source.valid | self.source.ready),
            self.sink.ready.eq(move),
        ]

        def registered(value, width, *, control=False):
            register = Signal(width, reset_less=not control)
            self.sync += If(move, register.eq(value))
            return register

        sign      = registered(self.sink.value[-1], 1)
        magnitude = registered(Mux(self.sink.value[-1], -self.sink.value, self.sink.value), bits)
        valid     = registered(valid, 1, control=True)
        # Biased exponent of the top bit; each step that finds zeros on top shifts them out.
        exponent = Signal(8)
        self.comb += exponent.eq(127 + unit_log2 + bits - 1)
        for steps in self.STEPS:
            for step in steps:
                if step >= bits:
                    continue
                zeros = magnitude[bits - step:] == 0
                next_magnitude, next_exponent = Signal(bits), Signal(8)
                self.comb += [
                    next_magnitude.eq(Mux(zeros, magnitude << step, magnitude)),
                    next_exponent.eq(Mux(zeros, exponent - step, exponent)),
                ]
                magnitude, exponent = next_magnitude, next_exponent
            magnitude = registered(magnitude, bits)
            exponent  = registered(exponent, 8)
            sign      = registered(sign, 1)
            valid     = registered(valid, 1, control=True)

        # Round: 24 bits stay, the next is half a step, the rest says whether it is a tie.
        kept  = magnitude[bits - 24:]
        half  = magnitude[bits - 25]
        up    = registered(half & ((magnitude[:bits - 25] != 0) | kept[0]), 1)
        kept  = registered(kept, 24)
        exponent = registered(exponent, 8)
        sign  = registered(sign, 1)
        valid = registered(valid, 1, control=True)
        whole = Signal(25)
        word  = Signal(32)
        self.comb += [
            whole.eq(kept + up),
            # A carry out of the mantissa leaves zeros below it, so only the exponent changes.
            word.eq(Cat(Mux(whole[24], 0, whole[:23]), (exponent + whole[24])[:8], sign)),
            If(~kept[-1], word.eq(0)),
        ]
        self.comb += [
            self.source.data.eq(registered(word, 32)),
            self.source.valid.eq(registered(valid, 1, control=True)),
        ]


