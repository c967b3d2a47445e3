# SPDX-License-Identifier: BSD-2-Clause
"""The VECTOR engine.

    records ─► checks ─► operands ◄── two DRAM ports
                            │
                            ▼
                        datapath ─► words ─┬─► list of the largest ─┬─► places ─► bounded writer ──► DRAM port
                                           └────────────────────────┘

A record is a few phases, each some groups of elements: the table of ROTATE; the largest of groups; numbers of rows;
results. QUANT has them for each row. One record is done after the other.
"""

from litex.soc.interconnect import stream
from migen import FSM, Array, Case, If, Mux, NextState, NextValue, Signal

from mixpe_gateware.contract.config import GROUP_SIZES
from mixpe_gateware.contract.errors import ConfigError
from mixpe_gateware.contract.jobs import JobCode
from mixpe_gateware.contract.program.records import A_SCALED, B_SCALED, CHOICE_BITS, NARROW, ROWS_MAX, Function
from mixpe_gateware.contract.widths import log2
from mixpe_gateware.control.engine import Engine
from mixpe_gateware.stream.bounded import BoundedWriter
from mixpe_gateware.vector.datapath import DEPTH, FIRST, LOAD, MAIN, SCALAR, WAIT, Datapath
from mixpe_gateware.vector.memories import Units
from mixpe_gateware.vector.operands import Operands
from mixpe_gateware.vector.raising import UNIT_BITS
from mixpe_gateware.vector.record import Record
from mixpe_gateware.vector.toplist import TopList
from mixpe_gateware.vector.walk import GROUP_BITS, Walk
from mixpe_gateware.vector.writes import WriteOrder

RESULTS = 128  # words that wait for the writer


class VectorEngine(Engine):
    """All functions of `contract.program.records.Function`.

    Throughput an element a cycle as far as the memory gives it.

    Parameters
    ----------
    config : Config
        Beats of 32 bits at least.
    mem_bytes : int
    a_port, b_port, out_port : LiteDRAMNativePort
        Of `config.memory_bits`: two to read, one to write.

    Attributes
    ----------
    low_beat, high_beat : Signal, in
        Results are written to beats from low_beat to high_beat − 1, the session's memory.
    choice : Endpoint([("token", 20)]), out
        Strobe of `valid`, before the end of a SELECT that ends OK.

    Raises
    ------
    ConfigError
        Beats of 16 bits.
    """

    def __init__(self, config, mem_bytes, a_port, b_port, out_port):
        Engine.__init__(self)
        if config.port_bits < 32:
            raise ConfigError(f"the vector engine takes beats of 32 bits at least, not port_bits={config.port_bits}")
        self.choice = stream.Endpoint([("token", CHOICE_BITS)])

        # # #

        self.record   = record   = Record(config, mem_bytes)
        self.operands = Operands(config, record, a_port, b_port)
        self.walk     = Walk()
        self.units    = Units()
        self.datapath = Datapath(record)
        self.results  = stream.SyncFIFO([("data", 32)], RESULTS, buffered=True)
        self.top      = TopList()
        self.places   = WriteOrder()
        self.writer   = writer = BoundedWriter(config, out_port, fifo_depth=2 if config.is_shallow else 16)
        self.low_beat, self.high_beat = writer.low_beat, writer.high_beat
        self.row      = Signal(ROWS_MAX.bit_length())  # of QUANT
        self.again    = Signal()                       # of the two rows of shifts of A16
        self.comb += [
            record.valid.eq(self.valid),
            record.value.eq(self.value),
            self.index.eq(record.index),
            self.pop.eq(record.pop),
            *[part.enable.eq(self.enable) for part in (self.operands, writer)],
            self.quiet.eq(self.operands.idle & writer.idle),
            self.events["beats_in"].eq(self.operands.beats),
            self.events["beats_out"].eq(writer.beat),
        ]
        self._connect_elements()
        self._connect_units()
        self._connect_results(config)
        self._add_phases()

    def _connect_elements(self):
        """What sets out, and when it may."""
        record, walk, datapath, operands = self.record, self.walk, self.datapath, self.operands
        words, quant = record.words, record.function[Function.QUANT]
        n, rows = words["n"], words["rows"]
        reads_a, reads_b, room = Signal(), Signal(), Signal()
        length, groups = Signal(len(n)), Signal(GROUP_BITS + 1)
        begins = Signal(len(n))  # elements of a group that set out: what is measured are memory words
        self.comb += [
            reads_a.eq((datapath.phase == FIRST) | (datapath.phase == MAIN)),
            reads_b.eq((datapath.phase == LOAD) | ((datapath.phase == MAIN) & record.reads_b)),
            walk.ready.eq(room & (operands.a.valid | ~reads_a) & (operands.b_ready | ~reads_b)),
            operands.a.ready.eq((walk.go & reads_a) | ~self.enable),
            operands.claim.eq(walk.go & reads_b),
            operands.take_b.eq(datapath.take_b),
            length.eq(n),
            groups.eq(rows),
            Case(datapath.phase, {
                LOAD:   groups.eq(1),
                SCALAR: [length.eq(1), If(quant, groups.eq(record.table_pitch))],
                "default": If(quant,
                    groups.eq(record.groups),
                    *[If(words["constant"] == size, length.eq(size)) for size in GROUP_SIZES],
                ),
            }),
        ]
        self.comb += begins.eq(Mux(datapath.phase == FIRST, length >> log2(operands.parts), length))
        self.sync += [
            room.eq(self.results.level < RESULTS - DEPTH - 8),
            walk.length_last.eq(begins - 1),
            walk.groups_last.eq(groups - 1),
            walk.half_last.eq((n >> 1) - 1),
        ]
        self.comb += [
            *[getattr(datapath, name).eq(getattr(walk, name))
                for name in ("go", "first", "last", "group", "angle", "second")],
            datapath.begin.eq(walk.load),
            datapath.silent.eq(walk.group >= record.groups),
            datapath.a.eq(operands.a.data),
            datapath.b.eq(operands.b),
        ]

    def _connect_units(self):
        """Units of the operands' rows: QUANT's of its row, those of heads the first row's."""
        record, walk, datapath, units = self.record, self.walk, self.datapath, self.units
        b_unit = Signal((UNIT_BITS, True))
        self.comb += [
            units.row.eq(Mux(record.heads, 0, Mux(record.function[Function.QUANT], self.row, walk.group))),
            units.place.eq(self.row),
            units.value.eq(datapath.row_unit),
            If(record.options[A_SCALED], datapath.unit.eq(units.unit)),
            If(record.options[B_SCALED], datapath.b_unit.eq(b_unit)),
            # ROTATE's second operand is its first one, behind the table.
            If(record.function[Function.ROTATE] & (datapath.phase == MAIN), datapath.b_unit.eq(datapath.unit)),
        ]
        # The second operand follows some cycles behind the first, less than a row. One row for all is row 0.
        self.sync += If((walk.active & walk.first & (walk.group == 0))
            | (datapath.take_b & datapath.last_b & ~record.one_row), b_unit.eq(units.unit))

    def _connect_results(self, config):
        """Words to their places."""
        record, results, top, places = self.record, self.results, self.top, self.places
        is_a, words, options = record.function, record.words, record.options
        append, query, quant, select = (is_a[function] for function in
            (Function.APPEND, Function.QUERY, Function.QUANT, Function.SELECT))
        n, rows, narrow = words["n"], words["rows"], options[NARROW]
        self.comb += [
            results.sink.valid.eq(self.datapath.push),
            results.sink.data.eq(self.datapath.word),
            top.most.eq(words["constant"]),
            If(select,
                results.source.connect(top.sink),
                top.source.connect(places.sink),
            ).Else(
                results.source.connect(places.sink),
            ),
            places.source.connect(self.writer.sink),
            places.half.eq(append),
            places.pairs.eq(quant & ~narrow),
        ]
        self.sync += [
            places.side.eq(words["extra_addr"]),
            places.main.eq(words["out_addr"]),
            places.side_step.eq(words["pitch_2"]),
            places.main_step.eq(words["pitch"]),
            places.rounds.eq(1),
            places.side_times.eq(0),
            places.main_times.eq(1),
            places.side_words.eq(1),
            places.main_words.eq(record.total),
            If(append,
                places.side_times.eq(rows),
                places.main_times.eq(rows),
                places.main_words.eq(n >> 2),
            ),
            If(query,
                places.side_times.eq(1),
                places.side_words.eq(rows),
                places.main_words.eq(record.total >> 1),
            ),
            If(quant,
                places.rounds.eq(rows),
                places.side_times.eq(1),
                places.side.eq(words["out_addr"] + Mux(narrow, record.total, record.total << 1)),
                places.side_words.eq(Mux(narrow, record.table_pitch >> 2, record.table_pitch >> 1)),
                places.side_step.eq(Mux(narrow, record.table_pitch, record.table_pitch << 1)),
                places.main_words.eq(Mux(narrow, n >> 2, n >> 1)),
                places.main_step.eq(n),
            ),
            If(select, places.main_words.eq(
                Mux(words["constant"][:7] > n, n, words["constant"][:7]) << 1)),
        ]

    def _add_phases(self):
        record, walk, datapath, places, top = self.record, self.walk, self.datapath, self.places, self.top
        is_a, words = record.function, record.words
        quant, select = is_a[Function.QUANT], is_a[Function.SELECT]
        wide   = Signal()
        pause  = Signal(max=max(WAIT.values()) + 1)
        failed = Signal()  # RANGE
        begun  = Signal(32)
        begins = Signal(2)
        scaled = is_a[Function.NORM] | is_a[Function.QUERY]
        self.comb += [
            wide.eq(quant & ~record.options[NARROW]),
            begins.eq(MAIN),
            If(is_a[Function.ROTATE], begins.eq(LOAD)),
            If(is_a[Function.NORM], begins.eq(SCALAR)),
            If(quant | is_a[Function.APPEND] | is_a[Function.QUERY], begins.eq(FIRST)),
            self.source.start.eq(begun),
            self.source.code.eq(record.source.code),
            If(record.source.code == JobCode.OK,
                If(failed, self.source.code.eq(JobCode.RANGE)
                ).Elif(self.writer.source.outside, self.source.code.eq(JobCode.MEMORY)),
            ),
            self.choice.token.eq(top.best),
        ]
        self.fsm = fsm = FSM(reset_state="IDLE")
        fsm.act("IDLE",
            If(~record.source.valid & self.valid & (self.index == 0), NextValue(begun, self.now)),
            NextValue(failed, 0),
            NextValue(self.row, 0),
            NextValue(self.again, 0),
            NextValue(datapath.phase, begins),
            If(record.source.valid,
                NextState("BEGIN"),
                If(record.source.code != JobCode.OK, NextState("END")),
            ),
        )
        fsm.act("BEGIN",
            self.operands.start.eq(1),
            places.start.eq(1),
            top.clear.eq(1),
            # A constant that is Inf or NaN.
            NextValue(failed, scaled & (words["constant"][23:31] == 255)),
            NextState("SETTLE"),
        )
        fsm.act("SETTLE",
            NextState("LOAD"),
        )
        fsm.act("LOAD",
            walk.load.eq(1),
            NextState("RUN"),
        )
        fsm.act("RUN",
            NextValue(pause, Array([WAIT[phase] for phase in range(4)])[datapath.phase]),
            If(~walk.active, NextState("PAUSE")),
        )
        fsm.act("PAUSE",
            NextValue(pause, pause - 1),
            If(pause == 0, NextState("NEXT")),
        )
        fsm.act("NEXT",
            NextState("SETTLE"),
            Case(datapath.phase, {
                LOAD:   NextValue(datapath.phase, MAIN),
                FIRST:  NextValue(datapath.phase, SCALAR),
                SCALAR: If(wide & ~self.again,
                        NextValue(self.again, 1),
                    ).Else(
                        NextValue(self.again, 0),
                        NextValue(datapath.phase, MAIN),
                    ),
                MAIN: [
                    self.units.put.eq(quant),
                    If(~quant | (self.row == words["rows"] - 1),
                        NextState("DRAIN"),
                    ).Else(
                        NextValue(datapath.phase, FIRST),
                        NextValue(self.row, self.row + 1),
                    ),
                ],
            }),
        )
        fsm.act("DRAIN",
            top.show.eq(select),
            If(self.writer.source.valid & datapath.settled, NextState("END")),
        )
        fsm.act("END",
            self.source.valid.eq(1),
            If(self.source.ready,
                self.choice.valid.eq(select & (self.source.code == JobCode.OK)),
                self.writer.source.ready.eq(1),
                record.source.ready.eq(1),
                NextState("IDLE"),
            ),
        )
        self.sync += If(datapath.bad, failed.eq(1))
        self.comb += self.events["busy"].eq(fsm.ongoing("IDLE") == 0)  # a bit, whatever the counter's width
