# SPDX-License-Identifier: BSD-2-Clause
"""The two operands of a record: what is read, and words that wait until their element needs them."""

from litex.gen import LiteXModule
from litex.soc.interconnect import stream
from migen import If, Mux, Signal, bits_for

from mixpe_gateware.contract.program.records import Function
from mixpe_gateware.contract.widths import log2
from mixpe_gateware.vector.regions import Regions
from mixpe_gateware.vector.words import WordReader

WAITING = 64  # words of the second operand
SEEN    = 3   # cycles from the memory of waiting words to their end


class Operands(LiteXModule):
    """Read what a record's elements need, in their order.

    Parameters
    ----------
    config : Config
    record : Record
    a_port, b_port : LiteDRAMNativePort

    Attributes
    ----------
    start : Signal(), in
        Strobe: read for the record.
    a : Endpoint([("data", 32)]), out
        First operand; of QUANT's rows each, and of all rows of APPEND and QUERY, the largest magnitude of each memory
        word comes first.
    parts : int
        Words of a memory word.
    b_ready : Signal(), out
        A word of the second operand is there that none has claimed;
    claim : Signal(), in
        an element claims one,
    take_b : Signal(), in; b : Signal(32), out
        and takes it in the same or a later cycle. ROTATE: the table, then the first operand's rows with their halves
        exchanged.
    enable : Signal(), in; idle : Signal(), out
        Of the readers.
    beats : Signal(2), out
        Memory words that came in this cycle.
    """

    def __init__(self, config, record, a_port, b_port):
        self.start   = Signal()
        self.b_ready = Signal()
        self.claim   = Signal()
        self.take_b  = Signal()
        self.b       = Signal(32)
        self.enable  = Signal(reset=1)
        self.idle    = Signal()
        self.beats   = Signal(2)

        # # #

        is_a, words = record.function, record.words
        quant, rotate = is_a[Function.QUANT], is_a[Function.ROTATE]
        a_columns, b_columns = record.a_columns, record.b_columns
        self.a_reader = a_reader = WordReader(config, a_port, measures=True)
        self.b_reader = b_reader = WordReader(config, b_port)
        self.parts    = a_reader.parts
        self.a_plan, self.b_plan = a_plan, b_plan = [Regions(log2(each.parts)) for each in (a_reader, b_reader)]
        measures = quant | is_a[Function.APPEND] | is_a[Function.QUERY]
        self.a = a_reader.source
        self.comb += [
            a_plan.source.connect(a_reader.sink),
            b_plan.source.connect(b_reader.sink),
            a_reader.enable.eq(self.enable),
            b_reader.enable.eq(self.enable),
            self.idle.eq(a_reader.idle & b_reader.idle),
            self.beats.eq(a_reader.beat + b_reader.beat),
        ]

        # What is read. ------------------------------------------------------------------------------------------------
        a_wanted, b_wanted, rows_wanted = Signal(), Signal(), Signal()
        self.comb += [
            a_plan.sink.valid.eq(a_wanted),
            a_plan.sink.place.eq(words["a_addr"][2:]),
            a_plan.sink.words.eq(Mux(quant | a_columns, words["n"], record.total)),
            a_plan.sink.chunks.eq(Mux(quant, words["rows"], 1)),
            a_plan.sink.times.eq(Mux(a_columns, words["rows"], Mux(measures, 2, 1))),
            a_plan.sink.measures.eq(measures),
            a_plan.sink.columns.eq(a_columns),
            a_plan.sink.total.eq(record.total),
            a_reader.step.eq(Mux(a_columns, words["rows"], 1)),
            b_plan.sink.valid.eq(b_wanted | rows_wanted),
            b_plan.sink.place.eq(words["b_addr"][2:]),
            b_plan.sink.words.eq(Mux(rotate | record.one_row | b_columns, words["n"], record.total)),
            b_plan.sink.times.eq(Mux(record.one_row | b_columns, words["rows"], 1)),
            b_plan.sink.columns.eq(b_columns),
            b_plan.sink.total.eq(record.total),
            b_reader.step.eq(Mux(b_columns, words["rows"], 1)),
            b_plan.sink.chunks.eq(1),
            If(~b_wanted,
                b_plan.sink.place.eq(words["a_addr"][2:]),
                b_plan.sink.words.eq(words["n"][1:]),
                b_plan.sink.chunks.eq(words["rows"]),
                b_plan.sink.swap.eq(1),
            ),
        ]
        self.sync += [
            If(a_plan.sink.valid & a_plan.sink.ready, a_wanted.eq(0)),
            If(b_plan.sink.valid & b_plan.sink.ready,
                b_wanted.eq(0),
                rows_wanted.eq(b_wanted & rotate),
            ),
            If(self.start,
                a_wanted.eq(1),
                b_wanted.eq(record.reads_b),
            ),
        ]

        # Words of the second operand wait; they count as there when they can be taken in the next cycle. --------------
        self.waiting = waiting = stream.SyncFIFO([("data", 32)], WAITING, buffered=True)
        arrived = Signal(SEEN)
        there   = Signal(bits_for(WAITING + 1))
        self.comb += [
            b_reader.source.connect(waiting.sink),
            waiting.source.ready.eq(self.take_b | ~self.enable),
            self.b.eq(waiting.source.data),
            self.b_ready.eq(there != 0),
        ]
        self.sync += [
            arrived.eq(arrived << 1 | (waiting.sink.valid & waiting.sink.ready)),
            there.eq(there + arrived[-1] - self.claim),
        ]
