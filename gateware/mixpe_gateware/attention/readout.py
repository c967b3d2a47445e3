# SPDX-License-Identifier: BSD-2-Clause
"""Sums become results: fl(F32(sum)·factor), factor = rec(F32(denominator))·2^(E + 9).

    denominators ─┐                ┌─► reciprocal's table ─► factor of each head
                  ├─► F32 ─────────┤                            │
    sums ─────────┘  one a cycle   └─► ─────────────────────────× ─► FIFO
"""

from litex.soc.interconnect import stream
from migen import FSM, Array, Case, Cat, If, Mux, NextState, NextValue, Signal, bits_for

from mixpe_gateware.attention.lanes import sum_bits
from mixpe_gateware.attention.scores import FIELD_BITS, SCALE_BIAS
from mixpe_gateware.attention.weights import denominator_bits
from mixpe_gateware.contract.decoder.attention import WEIGHT_DROP
from mixpe_gateware.contract.decoder.tables import FRACTION_BITS, VALUE_BITS
from mixpe_gateware.stream.credits import Credits
from mixpe_gateware.stream.float32 import IntegerToFloat32
from mixpe_gateware.vector.multiplier import Multiplier
from mixpe_gateware.vector.pipeline import Pipeline
from mixpe_gateware.vector.tables import FunctionTables

CONVERT_LATENCY = 8   # of IntegerToFloat32
BIAS            = 127
PLACES          = 32  # of the FIFO: more than there are stages in front of it
# Biased exponent of rec(x)·2^(E + 9) from those of x and E: rec's value is 2^17 … 2^18 of units of 2^-18.
FACTOR_BIAS     = 2*BIAS - 1 - SCALE_BIAS + WEIGHT_DROP


class Readout(Pipeline):
    """Results of a pass, head after head, an element a cycle.

    Latency about 30 cycles from `start` to the first element. Works beside the next pass's keys; `busy` until the last
    element is in the FIFO.

    Parameters
    ----------
    config : Config
    depth : int
        Rows of L sums of a head.
    row_latency : int
        From `row` to `sums`.

    Attributes
    ----------
    start : Signal(), in
        Denominators are complete, and sums ten cycles later; `active` and `exponent` are taken over, `steps` holds.
    active, exponent : in
        Heads of the pass, and the values' largest biased exponent.
    steps : Signal(), in
        Rows of the sums of a head.
    denominators : list of Signal(denominator_bits), in
    row : Signal(max=depth), out; reading : Signal(), out; sums : list of Signal(L·sum_bits), in
        See `Lanes`.
    fraction : Signal(16), out; value : Signal(18), in
        1/(1 + fraction); `FunctionTables.LATENCY` cycles later.
    source : Endpoint([("data", 32)]), out
    busy : Signal(), out
    overflow : Signal(), out
        Strobe: a result leaves F32.
    """

    def __init__(self, config, depth, row_latency):
        heads, lanes = config.attention_heads, config.beat_bytes
        bits = sum_bits(config)
        self.start    = Signal()
        self.active   = Signal(bits_for(heads))
        self.exponent = Signal(FIELD_BITS)
        self.steps    = Signal(bits_for(depth))
        self.denominators = [Signal(denominator_bits(config)) for _ in range(heads)]
        self.row      = Signal(max=max(2, depth))
        self.reading  = Signal()
        self.sums     = [Signal(lanes*bits) for _ in range(heads)]
        self.fraction = Signal(FRACTION_BITS)
        self.value    = Signal(VALUE_BITS)
        self.source   = stream.Endpoint([("data", 32)])
        self.busy     = Signal()
        self.overflow = Signal()

        # # #

        self.places = places = Credits(PLACES)
        self.head      = Signal(max=max(2, heads))
        self.lane      = Signal(max=max(2, lanes))
        self.divide    = Signal()  # a denominator sets out
        self.take      = Signal()  # an element sets out
        self.last_head = Signal()
        self.last      = Signal()  # of all elements
        self.inverted  = Signal()  # the last factor is there
        self.through   = Signal()  # the last element is in the FIFO
        self.inverse_exponent = Signal.like(self.exponent)  # E of the pass that is read
        self._set_out(lanes)
        number, age = self._convert(bits, row_latency)
        factors = self._invert(number, age)

        # Products. ----------------------------------------------------------------------------------------------------
        self.multiply = multiply = Multiplier()
        self.fifo = fifo = stream.SyncFIFO([("data", 32)], PLACES)
        self.comb += [
            multiply.a.eq(number),
            multiply.b.eq(Array(factors)[self.later(self.head, age)]),
        ]
        age += Multiplier.LATENCY
        self.comb += [
            places.take.eq(self.take),
            fifo.sink.data.eq(multiply.product),
            fifo.sink.valid.eq(self.strobe(self.take, age)),
            fifo.source.connect(self.source),
            places.give.eq(self.source.valid & self.source.ready),
            self.overflow.eq(fifo.sink.valid & multiply.over),
            self.through.eq(self.strobe(self.take & self.last, age)),
        ]

    def _set_out(self, lanes):
        """Denominators, then all elements."""
        active, exponent = Signal.like(self.active), self.inverse_exponent
        head, lane, take = self.head, self.lane, self.take
        last_row = Signal()
        self.comb += [
            self.last_head.eq(head == active - 1),
            last_row.eq(self.row == self.steps - 1),
            self.last.eq(self.last_head & last_row & (lane == lanes - 1)),
        ]
        self.fsm = fsm = FSM(reset_state="IDLE")
        fsm.act("IDLE",
            NextValue(active, self.active),
            NextValue(exponent, self.exponent),
            NextValue(head, 0),
            NextValue(self.row, 0),
            NextValue(lane, 0),
            If(self.start,
                NextValue(self.busy, 1),
                NextState("DENOMINATORS"),
            ),
        )
        fsm.act("DENOMINATORS",
            self.divide.eq(1),
            NextValue(head, head + 1),
            If(self.last_head,
                NextValue(head, 0),
                NextState("FACTORS"),
            ),
        )
        fsm.act("FACTORS",
            If(self.inverted, NextState("ELEMENTS")),
        )
        fsm.act("ELEMENTS",
            self.reading.eq(1),
            take.eq(self.places.room),
            If(take,
                NextValue(lane, lane + 1),
                If(lane == lanes - 1,
                    NextValue(lane, 0),
                    NextValue(self.row, self.row + 1),
                    If(last_row,
                        NextValue(self.row, 0),
                        NextValue(head, head + 1),
                        If(self.last_head, NextState("DRAIN")),
                    ),
                ),
            ),
        )
        fsm.act("DRAIN",
            If(self.through,
                NextValue(self.busy, 0),
                NextState("IDLE"),
            ),
        )

    def _convert(self, bits, row_latency):
        """What sets out as F32, and how many cycles later."""
        heads, lanes, age = self.later(self.head, row_latency), len(self.sums[0])//bits, row_latency
        row     = self.register(Array(self.sums)[heads], lanes*bits)
        lane    = self.later(self.lane, age + 1)
        divides = self.strobe(self.divide, age + 1)
        denominator = self.register(Array(self.denominators)[heads], len(self.denominators[0]))
        element = Array([row[bits*index:bits*(index + 1)] for index in range(lanes)])[lane]
        self.convert = convert = IntegerToFloat32(bits, 0)
        self.comb += [
            convert.sink.value.eq(self.register(Mux(divides, denominator, element), bits)),
            convert.source.ready.eq(1),
        ]
        return convert.source.data, age + 2 + CONVERT_LATENCY

    def _invert(self, number, age):
        """Factors of the heads, from denominators in F32 of that age."""
        latency = FunctionTables.LATENCY
        inverse = Signal((FIELD_BITS + 2, True), reset_less=True)
        self.comb += self.fraction.eq(number[23 - FRACTION_BITS:23])
        self.sync += inverse.eq(FACTOR_BIAS + self.inverse_exponent - number[23:31])
        powers  = self.later(inverse, latency - 1)
        small   = self.later(inverse <= 0, latency - 1)
        factor  = Signal(32)
        factors = [Signal(32, reset_less=True) for _ in self.denominators]
        self.comb += [
            factor.eq(Mux(small, 0, Cat(*[0]*(24 - VALUE_BITS), self.value[:VALUE_BITS - 1], powers[:FIELD_BITS]))),
            self.inverted.eq(self.strobe(self.divide & self.last_head, age + latency + 1)),
        ]
        self.sync += If(self.strobe(self.divide, age + latency), Case(self.later(self.head, age + latency),
            {index: each.eq(factor) for index, each in enumerate(factors)}))
        return factors
