# SPDX-License-Identifier: BSD-2-Clause
"""Integers of numbers in steps of a power of two: codes of A16, A8, queries and the cache."""

from migen import Case, Mux, Signal

from mixpe_gateware.vector.pipeline import Pipeline

REFERENCE_BITS = 10
QUERY, WIDE, NARROW, CACHE = range(4)
STEP = {QUERY: 15, WIDE: 14, NARROW: 7, CACHE: 7}  # a value below 2^0 has so many bits


class Quantiser(Pipeline):
    """Nearest integers, ties to even: rint(x·2^(bits − e)), within the limits of their kind.

    Latency 5 cycles, a value a cycle, no back-pressure.

    Attributes
    ----------
    x : Signal(32), in
        F32, magnitude below 2^e; for CACHE at most 2^e.
    reference : Signal((10, True)), in
        e + 126.
    kind : Signal(2), in
        QUERY: 15 bits, ±32767. WIDE: 14 bits. NARROW: 7 bits, −128 … 127. CACHE: 7 bits, ±127.
    code : Signal(16), out
        In two's complement.
    """

    LATENCY = 5

    def __init__(self):
        self.x         = Signal(32)
        self.reference = Signal((REFERENCE_BITS, True))
        self.kind      = Signal(2)
        self.code      = Signal(16)

        # # #

        # 1: how far the value moves down from the 15 bits, and half a one, that its mantissa begins with.
        drop     = Signal(4)
        self.comb += Case(self.kind, {kind: drop.eq(15 - bits) for kind, bits in STEP.items()})
        distance = self.register(self.named(self.reference - self.x[23:31] + drop, 11, signed=True))
        none     = self.register(self.named(self.x[23:31] == 0, 1))
        fraction = self.register(self.x[:23])
        negative = self.register(self.x[31], 1)

        # 2 and 3
        value    = self.register(fraction[8:] | 1 << 15, 16)
        moved    = self.moved(value, self.two_to(~distance[:4], none | (distance[4:] != 0)))
        sticky   = self.named(self.later(self.named(fraction[:8] != 0, 1), 2) | (moved[:15] != 0), 1)
        fine     = moved[15:31]

        # 4 and 5
        rounded  = self.register(fine[1:] + (fine[0] & (sticky | fine[1])), 16)
        negative = self.later(negative, 3)
        top      = Signal()   # one more than the largest code
        self.comb += Case(self.kind, {
            QUERY:  top.eq(rounded[15]),
            WIDE:   top.eq(0),
            NARROW: top.eq(rounded[7] & ~negative),
            CACHE:  top.eq(rounded[7]),
        })
        self.comb += self.code.eq(self.register(Mux(negative, -(rounded - top), rounded - top), 16))
