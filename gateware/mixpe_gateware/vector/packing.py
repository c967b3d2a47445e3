# SPDX-License-Identifier: BSD-2-Clause
"""Codes become words: bytes, halves, or the high and low bytes of A16, which go to rows of their own."""

from migen import Cat, If, Mux, Signal

from mixpe_gateware.vector.pipeline import Pipeline


class CodePacker(Pipeline):
    """Pack codes, the first one lowest.

        bytes   four to a word
        halves  two to a word
        pairs   four to two words: high bytes (a + 128) >> 8, then low bytes a − 256·high

    Latency 2 cycles from a word's last code (3 to the low bytes), a code a cycle, no back-pressure.

    Attributes
    ----------
    code : Signal(16), in; valid : Signal(), in
    halves, pairs : Signal(), in
        Which of the three; they stay while codes are on their way.
    word : Signal(32), out; push : Signal(), out
    """

    def __init__(self):
        self.code   = Signal(16)
        self.valid  = Signal()
        self.halves = Signal()
        self.pairs  = Signal()
        self.word   = Signal(32)
        self.push   = Signal()

        # # #

        low   = Signal(32, reset_less=True)
        high  = Signal(32, reset_less=True)
        count = Signal(2)
        whole, second = Signal(), Signal()
        self.sync += [
            whole.eq(0),
            If(self.valid,
                count.eq(count + 1),
                whole.eq(Mux(self.halves, count[0], count == 3)),
                low.eq(Mux(self.halves, Cat(low[16:], self.code), Cat(low[8:], self.code[:8]))),
                high.eq(Cat(high[8:], (self.code[8:] + self.code[7])[:8])),
            ),
            second.eq(whole & self.pairs),
            self.push.eq(whole | second),
            self.word.eq(Mux(second, self.register(low), Mux(self.pairs, high, low))),
        ]
