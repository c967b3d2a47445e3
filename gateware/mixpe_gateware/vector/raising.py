# SPDX-License-Identifier: BSD-2-Clause
"""Numbers as they are read: F32, times a power of two."""

from migen import If, Signal

from mixpe_gateware.vector.pipeline import Pipeline

UNIT_BITS = 10  # of a power of two's exponent, signed


class Raiser(Pipeline):
    """`contract.decoder.float32.raised` of what `flush` makes of a word.

    Latency 2 cycles, a number a cycle, no back-pressure.

    Attributes
    ----------
    word : Signal(32), in
        Any bits.
    unit : Signal((10, True)), in
        Exponent, −512 … 511.
    value : Signal(32), out
        F32 with the one zero.
    bad : Signal(), out
        With `value`: the word is Inf or NaN, or the result 2^128 or more.
    """

    LATENCY = 2

    def __init__(self):
        self.word  = Signal(32)
        self.unit  = Signal((UNIT_BITS, True))
        self.value = Signal(32)
        self.bad   = Signal()

        # # #

        biased   = self.word[23:31]
        exponent = self.register(biased + self.unit, 11, signed=True)
        is_zero  = self.register(biased == 0, 1)
        infinite = self.register(biased == 255, 1)
        word     = self.register(self.word)
        small    = self.named(is_zero | (exponent <= 0), 1)
        self.sync += [
            self.value.eq(0),
            If(~small,
                self.value.eq(word),
                self.value[23:31].eq(exponent[:8]),
            ),
            self.bad.eq(infinite | (~is_zero & (exponent >= 255))),
        ]
