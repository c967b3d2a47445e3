# SPDX-License-Identifier: BSD-2-Clause
"""Weights of the values: p = 2^-(largest − score) from a table, p' = p·mantissa(sv) >> (9 + E − exponent(sv)).

    score memory ─► largest − score ─► table ─► shift ─► p ─┬─► ·mantissa ─► shift ─► p' ─► FIFO ─► a position's heads
    scales ─────────────────────────────────────────────────│──────┘
                                                            └─► denominator of each head
"""

from litex.soc.interconnect import stream
from migen import Array, Case, Cat, If, Signal, bits_for

from mixpe_gateware.attention.lanes import WEIGHT_BITS
from mixpe_gateware.attention.scores import FIELD_BITS, MANTISSA_BITS, SCALE_BITS, SCORE_BITS, scale_fields
from mixpe_gateware.contract.decoder.attention import WEIGHT_DROP
from mixpe_gateware.contract.decoder.tables import FRACTION_BITS, VALUE_BITS
from mixpe_gateware.contract.widths import log2
from mixpe_gateware.stream.credits import Credits
from mixpe_gateware.vector.pipeline import Pipeline
from mixpe_gateware.vector.tables import FunctionTables

READ_LATENCY = 2    # of the score memory
PLACES       = 16   # positions whose weights may wait; a whole pipeline of them keeps a row every two cycles going


def denominator_bits(config):
    """Width of a sum of p over the longest context."""
    return VALUE_BITS + log2(config.context_max)


class Weights(Pipeline):
    """p' of all positions of a pass, a head's a cycle, and the sums of p.

    Latency 12 cycles from `start` to the first position of one head; a position every `active` cycles.

    Parameters
    ----------
    config : Config

    Attributes
    ----------
    start : Signal(), in
        A pass begins; `active`, `count`, `offset`, `largest` and `exponent` hold from then on.
    active, count, offset, largest, exponent : in
        See `Scores`.
    address : Signal(), out; score : Signal((32, True)), in
        Of the score memory; two cycles later.
    position : Signal(max=context_max), out; scale : Signal(16), in
        Of a value; a cycle later.
    fraction : Signal(16), out; value : Signal(18), in
        2^-fraction; `FunctionTables.LATENCY` cycles later.
    source : Endpoint([("weights", 17·heads)]), out
    denominators : list of Signal(denominator_bits), out
        Complete when the last position has left.
    """

    def __init__(self, config):
        heads = config.attention_heads
        self.start    = Signal()
        self.active   = Signal(bits_for(heads))
        self.count    = Signal(bits_for(config.context_max))
        self.offset   = Signal(3)
        self.largest  = [Signal((SCORE_BITS, True)) for _ in range(heads)]
        self.exponent = Signal(FIELD_BITS)
        self.address  = Signal(max=config.context_max*heads)
        self.score    = Signal((SCORE_BITS, True))
        self.position = Signal(max=config.context_max)
        self.scale    = Signal(SCALE_BITS)
        self.fraction = Signal(FRACTION_BITS)
        self.value    = Signal(VALUE_BITS)
        self.source   = stream.Endpoint([("weights", WEIGHT_BITS*heads)])
        self.denominators = [Signal(denominator_bits(config)) for _ in range(heads)]

        # # #

        # Heads of a position set out together, when what they become has a place. -------------------------------------
        self.places = places = Credits(PLACES)
        missing = Signal.like(self.count)
        head    = Signal(max=max(2, heads))
        last    = Signal()
        go      = Signal()
        self.comb += [
            go.eq((missing != 0) & (places.room | (head != 0))),
            last.eq(head == self.active - 1),
            places.take.eq(go & (head == 0)),
        ]
        self.sync += [
            If(go,
                self.address.eq(self.address + 1),
                head.eq(head + 1),
                If(last,
                    head.eq(0),
                    missing.eq(missing - 1),
                    self.position.eq(self.position + 1),
                ),
            ),
            If(self.start,
                self.address.eq(0),
                self.position.eq(self.offset),
                missing.eq(self.count),
            ),
        ]

        # p. -----------------------------------------------------------------------------------------------------------
        distance = SCORE_BITS + 1
        below    = Signal(distance)
        of_head  = self.later(head, READ_LATENCY - 1)
        largest  = self.register(Array(self.largest)[of_head], SCORE_BITS, signed=True)
        self.sync += below.eq(largest - self.score)
        whole    = below[FRACTION_BITS:]
        self.comb += self.fraction.eq(below[:FRACTION_BITS])
        shift    = self.later(whole[:5], FunctionTables.LATENCY - 1)
        nothing  = self.later(self.named(whole >= VALUE_BITS, 1), FunctionTables.LATENCY - 1)
        moved    = self.moved(self.value, self.two_to(VALUE_BITS - 1 - shift, nothing, VALUE_BITS))
        p        = self.named(moved[VALUE_BITS - 1:], VALUE_BITS)
        p_age    = READ_LATENCY + 1 + FunctionTables.LATENCY + 1
        p_valid, p_head = self.strobe(go, p_age), self.later(head, p_age)
        for index, denominator in enumerate(self.denominators):
            self.sync += [
                If(p_valid & (p_head == index), denominator.eq(denominator + p)),
                If(self.start, denominator.eq(0)),
            ]

        # p': the scale is read with the score and waits for p. --------------------------------------------------------
        mantissa, field = scale_fields(self.register(self.scale, SCALE_BITS))
        mantissa  = self.later(Cat(mantissa), p_age - READ_LATENCY)
        smaller   = Signal(FIELD_BITS)
        self.comb += smaller.eq(self.exponent - field)
        smaller   = self.later(smaller, p_age - READ_LATENCY)
        product   = self.register(p*mantissa, VALUE_BITS + MANTISSA_BITS)
        power     = self.two_to(WEIGHT_BITS - 1 - smaller[:5], smaller >= WEIGHT_BITS, WEIGHT_BITS)
        weight    = self.named(self.moved(product[WEIGHT_DROP:], power)[WEIGHT_BITS - 1:], WEIGHT_BITS)
        age       = p_age + 2

        # Gathered head by head. ---------------------------------------------------------------------------------------
        self.fifo = fifo = stream.SyncFIFO(self.source.description, PLACES)
        gathered  = [Signal(WEIGHT_BITS, reset_less=True) for _ in range(heads)]
        self.sync += Case(self.later(head, age),
            {index: each.eq(weight) for index, each in enumerate(gathered)})
        self.comb += [
            fifo.sink.weights.eq(Cat(*gathered)),
            fifo.sink.valid.eq(self.strobe(go & last, age + 1)),
            fifo.source.connect(self.source),
            places.give.eq(self.source.valid & self.source.ready),
        ]
