# SPDX-License-Identifier: BSD-2-Clause
"""Scores of the positions, one a cycle: floor(q·k·mantissa(sk)·2^(exponent(sk) + e + 1)), units of 2^-16.

    totals ─► one a cycle ─► ·mantissa ─► shift by multiples of 8 ─► shift by the rest ─► range ─┬─► score memory
                                                                                                └─► the largest
"""

from migen import READ_FIRST, Array, Case, Cat, If, Memory, Mux, Replicate, Signal, bits_for

from mixpe_gateware.attention.lanes import TOTAL_BITS
from mixpe_gateware.attention.operands import EXPONENT_BITS
from mixpe_gateware.vector.pipeline import Pipeline

SCALE_BITS     = 16
MANTISSA_BITS  = 8
FIELD_BITS     = 8
SCALE_BIAS     = 134                         # of a scale's exponent: its mantissa is an integer
SCORE_BITS     = 32
PRODUCT_BITS   = TOTAL_BITS + MANTISSA_BITS  # signed
LEFT           = SCORE_BITS - 1              # a product is shifted to the left by as much at most
RIGHT          = PRODUCT_BITS + LEFT         # and from there to the right by as much at most


def scale_fields(scale):
    """(mantissa, biased exponent) of a bfloat16 scale; the mantissa is 0 where the exponent is."""
    field = scale[MANTISSA_BITS - 1:SCALE_BITS - 1]
    return Mux(field == 0, 0, Cat(scale[:MANTISSA_BITS - 1], 1)), field


class ScaledScore(Pipeline):
    """floor(total·mantissa·2^power) as 32 bits, and whether it has no more.

    Latency 5 cycles, a score a cycle, no back-pressure. Two multiplier blocks.

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
        right = self.register(LEFT - self.power, 12, signed=True)  # how far it goes from the leftmost place
        # 2: the product.
        product = self.register(low + (high << 16), PRODUCT_BITS, signed=True)
        above   = self.register(right[-1], 1)
        right   = self.register(Mux(right[-1], 0, Mux(right > RIGHT, RIGHT, right)), 7)
        # 3: by multiples of 8. What is left above the window is its sign, or the score is too wide.
        sign    = product[-1]
        placed  = Cat(*[0]*LEFT, product, Replicate(sign, RIGHT))
        window, whole = Signal(PRODUCT_BITS), Signal()
        cases = {}
        for coarse in range(RIGHT//8 + 1):
            top  = max(0, 8*coarse + PRODUCT_BITS - 1 - LEFT)  # of the window, as a bit of the product
            rest = product[min(top, PRODUCT_BITS - 1):]
            cases[coarse] = [window.eq(placed[8*coarse:8*coarse + PRODUCT_BITS]),
                whole.eq(rest == Replicate(sign, len(rest)))]
        self.comb += Case(right[3:], cases)
        cut    = self.register(window, PRODUCT_BITS)
        lost   = self.register(~whole | (above & (product != 0)), 1)
        fine   = self.register(right[:3], 3)
        # 4: by the rest.
        shifted = Signal(PRODUCT_BITS)
        self.comb += Case(fine, {rest: shifted.eq(Cat(cut[rest:], *[cut[-1]]*rest))
            for rest in range(8)})
        settled = self.register(shifted, PRODUCT_BITS)
        lost    = self.register(lost, 1)
        # 5: 32 bits, symmetric.
        upper = settled[SCORE_BITS - 1:]
        least = settled[:SCORE_BITS] == 1 << SCORE_BITS - 1
        self.sync += [
            self.score.eq(settled[:SCORE_BITS]),
            self.wide.eq(lost | (upper != Replicate(settled[-1], len(upper))) | least),
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
