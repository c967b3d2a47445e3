# SPDX-License-Identifier: BSD-2-Clause
"""Scores of the positions, one a cycle: floor(q·k·mantissa(sk)·2^(exponent(sk) + e + 1)), units of 2^-16.

    totals ─► one a cycle ─► ·mantissa ─► ·2^rest ─► shift by multiples of 16 ─► range ─┬─► score memory
                                                                                       └─► the largest
"""

from migen import READ_FIRST, Array, Case, Cat, If, Memory, Mux, Replicate, Signal, bits_for

from mixpe_gateware.attention.lanes import TOTAL_BITS
from mixpe_gateware.attention.operands import EXPONENT_BITS
from mixpe_gateware.vector.pipeline import STEPS, Pipeline

SCALE_BITS     = 16
MANTISSA_BITS  = 8
FIELD_BITS     = 8
SCALE_BIAS     = 134                         # of a scale's exponent: its mantissa is an integer
SCORE_BITS     = 32
PRODUCT_BITS   = TOTAL_BITS + MANTISSA_BITS  # signed
MOVED_BITS     = PRODUCT_BITS + STEPS - 1    # of a product that was moved up by less than 16
PLACE_0        = 49                          # of its bits, that of 2^0 where it is moved down by the most
LEAST          = PLACE_0 - PRODUCT_BITS      # how far up it goes in all at least: from there on a sign alone is left
MOST           = 80                          # and at most: no product has a place there


def scale_fields(scale):
    """(mantissa, biased exponent) of a bfloat16 scale; the mantissa is 0 where the exponent is."""
    field = scale[MANTISSA_BITS - 1:SCALE_BITS - 1]
    return Mux(field == 0, 0, Cat(scale[:MANTISSA_BITS - 1], 1)), field


class ScaledScore(Pipeline):
    """floor(total·mantissa·2^power) as 32 bits, and whether it has no more.

    Latency 5 cycles, a score a cycle, no back-pressure. Five multiplier blocks.

    Attributes
    ----------
    total : Signal((32, True)), in; mantissa : Signal(8), in
    power : Signal((11, True)), in
    score : Signal((32, True)), out
    wide : Signal(), out
        With `score`: its magnitude is 2^31 or more.
    """

    LATENCY = 5

    def __init__(self):
        self.total    = Signal((TOTAL_BITS, True))
        self.mantissa = Signal(MANTISSA_BITS)
        self.power    = Signal((11, True))
        self.score    = Signal((SCORE_BITS, True))
        self.wide     = Signal()

        # # #

        # 1: halves of the product.
        upper  = Signal((16, True))
        factor = Signal((MANTISSA_BITS + 1, True))
        self.comb += upper.eq(self.total[16:]), factor.eq(self.mantissa)
        low   = self.register(self.total[:16]*self.mantissa, 16 + MANTISSA_BITS)
        high  = self.register(upper*factor, 17 + MANTISSA_BITS, signed=True)
        up    = self.register(self.power + PLACE_0, 12, signed=True)  # from the lowest place
        # 2: the product.
        product = self.register(low + (high << 16), PRODUCT_BITS, signed=True)
        up      = self.named(Mux(up < LEAST, LEAST, Mux(up > MOST, MOST, up)), 7)
        power   = self.two_to(up[:4])
        place   = self.register(up[4:], 3)
        # 3: … moved up by less than 16.
        moved   = self.moved(product, power, signed=True)
        place   = self.register(place)
        nonzero = self.register(product != 0, 1)
        # 4: down by multiples of 16. What is left above the window is its sign, or the score is too wide.
        sign    = moved[-1]
        above   = [self.named(moved[low:high] == Replicate(sign, high - low), 1)
            for low, high in ((16, 32), (32, 48), (48, MOVED_BITS))]
        window, lost = Signal((SCORE_BITS, True)), Signal()
        self.comb += Case(place, {
            0: window.eq(Cat(moved[49:], Replicate(sign, SCORE_BITS))),
            1: window.eq(Cat(moved[33:], Replicate(sign, SCORE_BITS))),
            2: [window.eq(moved[17:]), lost.eq(~above[2])],
            3: [window.eq(moved[1:]),  lost.eq(~(above[1] & above[2]))],
            4: [window.eq(Cat(*[0]*15, moved)), lost.eq(~(above[0] & above[1] & above[2]))],
            "default": lost.eq(nonzero),
        })
        settled = self.register(window, SCORE_BITS)
        lost    = self.register(lost, 1)
        # 5: symmetric.
        self.sync += [
            self.score.eq(settled),
            self.wide.eq(lost | (settled == 1 << SCORE_BITS - 1)),
        ]


class Scores(Pipeline):
    """Score memory: scores of all positions of a pass, head after head at each, and the largest of each head.

    `done` comes every `active` cycles at most, and every two. Latency from it to the memory 6 cycles and one a head.
    The largest exponent of the values' scales is found on the way.

    Parameters
    ----------
    config : Config

    Attributes
    ----------
    start : Signal(), in
        A pass begins; `active`, `count`, `offset` and `exponents` hold from then on.
    active : Signal(), in
        Heads of the pass.
    count, offset : Signal(), in
        Positions, and the place of the first one in its beat of scales.
    exponents : list of Signal((9, True)), in
        Of the queries.
    totals : list of Signal((32, True)), in; done : Signal(), in
        Of `Lanes`.
    position : Signal(max=context_max), out; key_scale, value_scale : Signal(16), in
        A cycle later.
    largest : list of Signal((32, True)), out
    exponent : Signal(8), out
        Largest biased exponent of a value's scale, E + 134; 0 where all are zero.
    finished : Signal(), out
        Strobe: all of it is there.
    wide : Signal(), out
        Strobe: a score has more than 32 bits.
    address : Signal(), in; score : Signal((32, True)), out
        Of the memory, in the order of writing; two cycles later.
    """

    def __init__(self, config):
        heads = config.attention_heads
        depth = config.context_max*heads
        self.start       = Signal()
        self.active      = Signal(bits_for(heads))
        self.count       = Signal(bits_for(config.context_max))
        self.offset      = Signal(3)
        self.exponents   = [Signal((EXPONENT_BITS, True)) for _ in range(heads)]
        self.totals      = [Signal((TOTAL_BITS, True)) for _ in range(heads)]
        self.done        = Signal()
        self.position    = Signal(max=config.context_max)
        self.key_scale   = Signal(SCALE_BITS)
        self.value_scale = Signal(SCALE_BITS)
        self.largest     = [Signal((SCORE_BITS, True), reset_less=True) for _ in range(heads)]
        self.exponent    = Signal(FIELD_BITS)
        self.finished    = Signal()
        self.wide        = Signal()
        self.address     = Signal(max=depth)
        self.score       = Signal((SCORE_BITS, True), reset_less=True)

        # # #

        # A position's totals go out head after head. ------------------------------------------------------------------
        waiting  = [Signal((TOTAL_BITS, True), reset_less=True) for _ in range(heads)]
        left     = Signal(bits_for(heads))
        head     = Signal(max=max(2, heads))
        missing  = Signal.like(self.count)   # positions
        scale    = Signal(SCALE_BITS, reset_less=True)
        mantissa, field = scale_fields(scale)
        value_field = self.register(scale_fields(self.value_scale)[1], FIELD_BITS)
        last     = Signal()
        self.comb += last.eq((left == 1) & (missing == 0))
        self.sync += [
            If(left != 0,
                left.eq(left - 1),
                head.eq(head + 1),
                *[now.eq(later) for now, later in zip(waiting, waiting[1:], strict=False)],
            ),
            If(self.done,
                left.eq(self.active),
                head.eq(0),
                *[now.eq(total) for now, total in zip(waiting, self.totals, strict=True)],
                scale.eq(self.key_scale),
                self.position.eq(self.position + 1),
                missing.eq(missing - 1),
            ),
            If(self.strobe(self.done, 1) & (value_field > self.exponent), self.exponent.eq(value_field)),
            If(self.start,
                self.position.eq(self.offset),
                missing.eq(self.count),
                self.exponent.eq(0),
            ),
        ]

        # Scaled, and the range. ---------------------------------------------------------------------------------------
        self.scaled = scaled = ScaledScore()
        latency = scaled.LATENCY
        valid   = self.strobe(left != 0, latency)
        of_head = self.later(head, latency)
        self.comb += [
            scaled.total.eq(waiting[0]),
            scaled.mantissa.eq(mantissa),
            scaled.power.eq(field + Array(self.exponents)[head] - (SCALE_BIAS - 1)),
            self.wide.eq(valid & scaled.wide),
            self.finished.eq(self.strobe(last, latency + 1)),
        ]

        # Memory, and the largest of each head. ------------------------------------------------------------------------
        memory = Memory(SCORE_BITS, depth)
        write  = memory.get_port(write_capable=True, mode=READ_FIRST)
        read   = memory.get_port(mode=READ_FIRST)
        self.specials += memory, write, read
        place  = Signal(max=depth)
        self.comb += [
            write.adr.eq(place),
            write.dat_w.eq(scaled.score),
            write.we.eq(valid),
            read.adr.eq(self.address),
        ]
        self.sync += [
            self.score.eq(read.dat_r),
            If(self.start, place.eq(0)).Elif(valid, place.eq(place + 1)),
        ]
        for index, largest in enumerate(self.largest):
            self.sync += [
                If(valid & (of_head == index) & (scaled.score > largest), largest.eq(scaled.score)),
                If(self.start, largest.eq(-(1 << SCORE_BITS - 1))),
            ]
