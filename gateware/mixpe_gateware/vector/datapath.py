# SPDX-License-Identifier: BSD-2-Clause
"""The pipeline of the vector engine: every function's way through one adder and two multipliers.

    a ─► raise ─┬─────────────► M1 ─┬─► add ─┬─► words          ADD, ROTATE, SELECT, and the mean of NORM
                └─► sigmoid ────┘   ├─► M2 ──┼─► words          NORM, SILU
    b ─► raise ─────────────────────┴────────┘
                                    ├─► largest of groups ─► numbers of rows
                                    ├─► quantiser ─► packer ─► words
        numbers of rows ─► M1 ──────┴─► scalars ─► numbers of rows

An element sets out with `go` and is followed by strobes: `set_out[k]` k cycles later, `timed[k]` k cycles after it
entered M1.
"""

from migen import Array, Case, Cat, If, Mux, Replicate, Signal

from mixpe_gateware.contract.decoder.cache import INVERSE_127
from mixpe_gateware.contract.program.records import MEASURE, NARROW, Function
from mixpe_gateware.vector.adder import Adder
from mixpe_gateware.vector.codes import GroupReference, Largest
from mixpe_gateware.vector.memories import DelayLine, RowNumbers
from mixpe_gateware.vector.multiplier import Multiplier
from mixpe_gateware.vector.packing import CodePacker
from mixpe_gateware.vector.pipeline import Pipeline
from mixpe_gateware.vector.quantiser import CACHE, QUERY, WIDE, Quantiser
from mixpe_gateware.vector.quantiser import NARROW as NARROW_CODES
from mixpe_gateware.vector.raising import UNIT_BITS, Raiser
from mixpe_gateware.vector.scalars import Scalars
from mixpe_gateware.vector.sigmoid import Sigmoid
from mixpe_gateware.vector.squares import SquareRounder, SquareSum
from mixpe_gateware.vector.walk import ANGLE_BITS, GROUP_BITS

LOAD, FIRST, SCALAR, MAIN = range(4)  # phases: ROTATE's table; largest of groups; numbers of rows; results
IN        = Raiser.LATENCY            # from setting out to M1
IN_SILU   = IN + Sigmoid.LATENCY
PRODUCT   = Multiplier.LATENCY        # from M1 on
SUM       = PRODUCT + Adder.LATENCY
SECOND    = 2*PRODUCT
CODE      = PRODUCT + Quantiser.LATENCY
SCALED    = PRODUCT + Scalars.LATENCY
MOST      = SUM + Scalars.LATENCY
SQUARES   = 1 << GROUP_BITS - 1       # place of the rows' sums of squares, behind the groups'
ONE       = 0x3F800000
DEPTH     = IN_SILU + SECOND + 4      # elements on their way at most
WAIT      = {LOAD: 6, FIRST: IN + PRODUCT + 5, SCALAR: IN + MOST + 4, MAIN: IN + SUM + 6}  # until the next phase


class Datapath(Pipeline):
    """All arithmetic of the engine, an element a cycle.

    Parameters
    ----------
    record : Record

    Attributes
    ----------
    phase : Signal(2), in
        It changes `WAIT` cycles after the last element of the one before at the earliest.
    begin : Signal(), in
        Strobe: a phase begins.
    go, first, last, second : Signal(), in; group : Signal(10), in; angle : Signal(7), in
        Of a `Walk`.
    a : Signal(32), in; unit : Signal((10, True)), in
        Operand of the element that sets out.
    take_b : Signal(), out; b : Signal(32), in; b_unit : Signal((10, True)), in; last_b : Signal(), out
        The second operand is taken when it is needed; whether it ends a row.
    silent : Signal(), in
        With `go` of a padded entry: its shift is 0.
    word : Signal(32), out; push : Signal(), out
        Words of results, at most one an element.
    bad : Signal(), out
        Strobe: RANGE.
    settled : Signal(), out
        No sum of squares is on its way.
    row_unit : Signal((10, True)), out
        QUANT: of the row that was measured.
    """

    def __init__(self, record):
        self.record = record
        self.phase  = Signal(2)
        self.begin  = Signal()
        self.go, self.first, self.last, self.second = (Signal() for _ in range(4))
        self.group  = Signal(GROUP_BITS)
        self.angle  = Signal(ANGLE_BITS)
        self.a, self.b = Signal(32), Signal(32)
        self.unit, self.b_unit = Signal((UNIT_BITS, True)), Signal((UNIT_BITS, True))
        self.take_b, self.last_b = Signal(), Signal()
        self.silent   = Signal()
        self.word     = Signal(32)
        self.push     = Signal()
        self.bad      = Signal()
        self.settled  = Signal()
        self.row_unit = Signal((UNIT_BITS, True))

        # # #

        self.loads, self.scalar, self.main = (Signal() for _ in range(3))
        self.is_a = is_a = record.function
        self.silu, self.rotate = is_a[Function.SILU], is_a[Function.ROTATE]
        self.norm, self.cache  = is_a[Function.NORM], is_a[Function.APPEND]
        self.quant, self.query = is_a[Function.QUANT], is_a[Function.QUERY]
        self.comb += [
            self.loads.eq(self.phase == LOAD),
            self.scalar.eq(self.phase == SCALAR),
            self.main.eq(self.phase == MAIN),
        ]
        self._add_strobes()
        self._add_operands()
        self._add_products()
        self._add_measures()
        self._add_codes()
        self._add_results()

    def _add_strobes(self):
        """When elements are where; entries that are only looked at (`shown`) and the table (`stored`) go other ways."""
        computed, shown = Signal(), Signal()
        only_shown = Signal()
        self.comb += [
            only_shown.eq(self.scalar & (self.quant | self.query)),
            computed.eq(self.go & ~self.loads & ~only_shown),
            shown.eq(self.go & only_shown),
        ]
        self.set_out = [computed]
        for _ in range(IN_SILU):
            self.set_out.append(self.strobe(self.set_out[-1], 1))
        entered = Signal()
        self.comb += entered.eq(Mux(self.silu, self.set_out[IN_SILU], self.set_out[IN]))
        self.timed = [entered]
        for _ in range(MOST):
            self.timed.append(self.strobe(self.timed[-1], 1))
        self.stored = self.strobe(self.go & self.loads, IN)
        self.shown  = self.strobe(shown, IN + 1)
        # First and last of a group at the end of M1, and at the end of the adder; only SILU is late, and has no groups.
        self.first_product = self.later(self.first, IN + PRODUCT)
        self.last_product  = self.later(self.last, IN + PRODUCT)
        self.first_sum     = self.later(self.first_product, Adder.LATENCY)
        self.last_sum      = self.later(self.last_product, Adder.LATENCY)

    def _add_operands(self):
        """Operands are read as F32, numbers of rows are looked up."""
        self.raise_a, self.raise_b = raise_a, raise_b = Raiser(), Raiser()
        self.by_row, self.by_group = by_row, by_group = RowNumbers(1 << ANGLE_BITS), RowNumbers(2*SQUARES)
        self.late = DelayLine(32, Sigmoid.LATENCY)
        late_last = self.later(self.last, IN_SILU - IN)
        last      = self.later(Mux(self.silu, late_last, self.last), IN + PRODUCT - Raiser.LATENCY, 1)
        at_once   = Signal()
        self.comb += [
            raise_a.word.eq(self.a),
            raise_a.unit.eq(self.unit),
            raise_b.word.eq(self.b),
            raise_b.unit.eq(self.b_unit),
            self.late.sink.eq(raise_a.value),
            at_once.eq(self.go & (self.loads | self.rotate)),
            self.take_b.eq(at_once | (self.timed[PRODUCT - Raiser.LATENCY] & self.record.reads_b & self.main
                & ~self.rotate)),
            self.last_b.eq(Mux(self.rotate, self.last, last)),
            by_row.address.eq(Mux(self.rotate, self.angle, self.group)),
            by_group.address.eq(Mux(self.rotate, self.angle,
                Mux(self.norm, self.group | SQUARES, self.group))),
        ]

    def _add_products(self):
        """M1, the adder and M2 with what goes into them."""
        record = self.record
        self.sigmoid, self.scalars = sigmoid, scalars = Sigmoid(), Scalars()
        self.m1, self.m2, self.adder = m1, m2, adder = Multiplier(), Multiplier(), Adder()
        a, b   = self.raise_a.value, self.raise_b.value
        factor = Signal(3)
        one, constant, number, late, inverse = range(5)
        negate = self.later(self.rotate & ~self.second, IN + PRODUCT, 1)
        self.comb += [
            sigmoid.x.eq(a),
            scalars.borrow.eq(self.silu),
            scalars.fraction.eq(sigmoid.fraction),
            sigmoid.inverse.eq(scalars.inverse),
            scalars.root.eq(self.norm),
            scalars.x.eq(Mux(self.norm, adder.sum, m1.product)),
            factor.eq(one),
            If(self.silu, factor.eq(late)),
            If(self.rotate, factor.eq(number)),
            If(self.query, factor.eq(constant)),
            If(self.norm, factor.eq(Mux(self.scalar, constant, number))),
            If(self.cache, factor.eq(Mux(self.scalar, inverse, Mux(self.main, number, one)))),
            m1.a.eq(Mux(self.scalar, self.by_group.number, Mux(self.silu, self.late.source, a))),
            Case(factor, {
                constant:  m1.b.eq(record.words["constant"]),
                number:    m1.b.eq(self.by_row.number),
                late:      m1.b.eq(sigmoid.value),
                inverse:   m1.b.eq(int(INVERSE_127.view("u4"))),
                "default": m1.b.eq(ONE),
            }),
            m2.a.eq(Mux(self.rotate, b, m1.product)),
            m2.b.eq(Mux(self.rotate, self.by_group.number, b)),
            adder.a.eq(m1.product),
            adder.b.eq(b & Replicate(record.reads_b, 32)),
            If(self.norm, adder.b.eq(record.words["epsilon"])),
            If(self.rotate, adder.b.eq(Cat(m2.product[:31], m2.product[31] ^ negate))),
        ]

    def _add_measures(self):
        """Largest of groups, sums of squares of rows, and numbers of rows that come of them."""
        self.largest = largest = Largest()
        self.squares, self.rounder = squares, rounder = SquareSum(), SquareRounder()
        measure = Signal()
        pending = Signal(2)                      # sums that are on their way
        ended   = Signal()
        place   = Signal(GROUP_BITS)             # where the next number goes
        scalar  = Signal()
        self.comb += [
            largest.clear.eq(self.begin & (self.phase == FIRST)),
            largest.x.eq(self.m1.product),
            largest.valid.eq(self.timed[PRODUCT] & (self.phase == FIRST)),
            largest.first.eq(self.first_product),
            largest.last.eq(self.last_product),
            measure.eq(self.is_a[Function.ADD] & self.record.options[MEASURE]),
            squares.x.eq(self.adder.sum),
            squares.valid.eq(self.timed[SUM] & measure),
            squares.start.eq(self.first_sum),
            ended.eq(squares.valid & self.last_sum),
            rounder.start.eq(self.strobe(ended, SquareSum.LATENCY)),
            rounder.total.eq(squares.total),
            self.settled.eq(pending == 0),
            scalar.eq(self.scalar & Mux(self.norm, self.timed[MOST], self.cache & self.timed[SCALED])),
            self.by_row.put.eq(scalar | (self.stored & ~self.later(self.second, IN))),
            self.by_row.place.eq(Mux(self.loads, self.later(self.angle, IN), place)),
            self.by_row.value.eq(Mux(self.loads, self.raise_b.value, self.scalars.value)),
            self.by_group.put.eq(largest.put | rounder.done | (self.stored & self.later(self.second, IN))),
            self.by_group.place.eq(Mux(self.loads, self.later(self.angle, IN),
                Mux(measure, place | SQUARES, place))),
            self.by_group.value.eq(Mux(self.loads, self.raise_b.value, Mux(measure, rounder.value, largest.largest))),
        ]
        started = Signal()  # the row's first sum is on its way
        self.comb += started.eq(squares.valid & self.first_sum)
        self.sync += [
            If(started & ~rounder.done, pending.eq(pending + 1)),
            If(rounder.done & ~started, pending.eq(pending - 1)),
            If(largest.put | rounder.done | scalar, place.eq(place + 1)),
            If(self.begin, place.eq(0)),
        ]

    def _add_codes(self):
        record = self.record
        self.reference = reference = GroupReference()
        self.quantiser = quantiser = Quantiser()
        self.packer    = packer    = CodePacker()
        silent = self.later(self.silent, IN + 2)
        narrow = record.options[NARROW]
        self.comb += [
            reference.query.eq(self.query),
            reference.cache.eq(self.cache),
            reference.narrow.eq(narrow),
            reference.top.eq(self.largest.top),
            reference.largest.eq(self.by_group.number),
            self.row_unit.eq(reference.unit),
            quantiser.x.eq(self.m1.product),
            quantiser.reference.eq(self.later(reference.reference, PRODUCT - 1)),
            quantiser.kind.eq(Mux(self.query, QUERY, Mux(self.cache, CACHE, Mux(narrow, NARROW_CODES, WIDE)))),
            packer.halves.eq(self.query),
            packer.pairs.eq(self.quant & ~narrow & self.main),
            packer.code.eq(Mux(self.scalar, reference.shift & Replicate(~silent, len(reference.shift)),
                quantiser.code)),
            packer.valid.eq((self.main & self.timed[CODE] & (self.quant | self.query | self.cache))
                | (self.quant & self.strobe(self.shown, 1))),
        ]

    def _add_results(self):
        """The words of results, and what went wrong."""
        is_a   = self.is_a
        summed = Signal()  # results are the adder's
        again  = Signal()  # results are M2's
        side   = Signal()  # numbers of rows are results too
        exponent = self.reference.exponent
        self.comb += [
            summed.eq(self.main & (is_a[Function.ADD] | self.rotate | is_a[Function.SELECT])),
            again.eq(self.main & (self.norm | self.silu)),
            side.eq((self.query & self.shown) | (self.cache & self.scalar & self.timed[SCALED])),
        ]
        words = Array([self.adder.sum, self.m2.product, self.packer.word,
            Mux(self.query, Cat(exponent, Replicate(exponent[-1], 32 - len(exponent))),
                Replicate(self.scalars.scale, 2))])
        which = Signal(2)
        self.comb += [
            If(again, which.eq(1)).Elif(self.packer.push, which.eq(2)).Elif(side, which.eq(3)),
            self.word.eq(self.register(words[which], 32)),
            self.push.eq(self.strobe(
                (summed & self.timed[SUM]) | (again & self.timed[SECOND]) | self.packer.push | side, 1)),
        ]
        m1, m2, adder = self.m1, self.m2, self.adder
        huge = m1.product[25:31] == 0b111111  # 2^125 or more
        adds = summed | (self.norm & self.scalar)
        reads_a = self.set_out[IN] & ~self.scalar
        self.sync += self.bad.eq(
            (reads_a & self.raise_a.bad)
            | (self.strobe(self.take_b, Raiser.LATENCY) & self.raise_b.bad)
            | (self.timed[PRODUCT] & m1.over)
            | (again & self.timed[SECOND] & m2.over)
            | (self.rotate & self.timed[PRODUCT] & m2.over)
            | (adds & self.timed[SUM] & adder.over)
            | (self.norm & self.scalar & self.timed[MOST] & self.scalars.bad)
            | (self.squares.valid & self.squares.over)
            | (self.cache & (self.phase == FIRST) & self.timed[PRODUCT] & huge))
