# SPDX-License-Identifier: BSD-2-Clause
"""Records as the engines are to see them, made while the ones before run.

    loader ─► row ─► patches: word += source·stride ─► word + session's memory ─► slot
                                                               └─► room of a GEMM's results
"""

from litex.gen import LiteXModule
from litex.soc.interconnect import stream
from migen import FSM, Case, If, Mux, NextState, NextValue, Signal

from mixpe_gateware.contract.descriptor import INDEX, Opcode
from mixpe_gateware.contract.jobs import JobCode
from mixpe_gateware.contract.program.records import (
    CHECK,
    OF_ROW,
    OP,
    PATCH,
    PATCHES,
    RECORDS_MAX,
    RELATIVE,
    ROW,
    ROWS_MAX,
    Source,
)
from mixpe_gateware.contract.program.run import ROW_WORDS
from mixpe_gateware.control.program.rows import POSITION, SESSION

ENGINES = (Opcode.GEMM, Opcode.VECTOR, Opcode.ATTENTION)  # by their numbers in the sequencer
WORDS   = CHECK                                           # that the engines see

OUT_BIT = RELATIVE.index(INDEX["out_addr"])

# A record beside its words: who gets it, what it waits for, what is wrong with it; the memory that it may write to, and
# whether that is of a row's own session.
RECORD_LAYOUT = [("engine", 2), ("fence", 1), ("after", len(ENGINES)), ("code", 4), ("index", RECORDS_MAX.bit_length()),
    ("memory", 32), ("own", 1)]


def part(field, word):
    """Bits of a word that a field has."""
    return word[field.lsb:field.msb + 1]


class RecordPatcher(LiteXModule):
    """Work on one record after the other.

    WORDS + 7 cycles a record, and for each patch 2, in a batch 3, and as many as its source has bits.

    Attributes
    ----------
    valid, bad, index, data, word, write, value, done
        Of a `RecordLoader`, the other way around.
    room : Signal(), in
        There is a slot for a record.
    put : Signal(), out; place : Signal(4), out; put_value : Signal(32), out
        A word for the slot.
    source : Endpoint(RECORD_LAYOUT), out
        The record is in its slot; taken at once.
    position : Signal(32), token : Signal(32), row : Signal(max=ROWS_MAX), listed : Signal(), in
        Of a batch `position` is added to the row's.
    state_addr, state_bytes : Signal(32), in
        The session's memory.
    batch : Signal(), rows : Signal(max=ROWS_MAX + 1), in
        Rows are sessions; so many.
    read_row : Signal(max=ROWS_MAX), read_word : Signal(max=4), out; row_data : Signal(32), in
        Of a `RowTable`: the row that the record names, or `row`.
    hold : Signal(), in
        Begin with no further record.
    idle : Signal(), out
    """

    def __init__(self):
        self.valid     = Signal()
        self.bad       = Signal()
        self.index     = Signal(max=RECORDS_MAX + 1)
        self.data      = data = Signal(32)
        self.word      = word = Signal(4)
        self.write     = Signal()
        self.value     = Signal(32)
        self.done      = Signal()
        self.room      = Signal()
        self.put       = Signal()
        self.place     = Signal(4)
        self.put_value = Signal(32)
        self.source    = source = stream.Endpoint(RECORD_LAYOUT)
        self.position  = Signal(32)
        self.token     = Signal(32)
        self.listed    = Signal()
        self.row       = Signal(max=ROWS_MAX)
        self.state_addr, self.state_bytes = Signal(32), Signal(32)
        self.batch     = Signal()
        self.rows      = Signal(max=ROWS_MAX + 1)
        self.read_row  = Signal(max=ROWS_MAX)
        self.read_word = Signal(max=len(ROW_WORDS), reset=SESSION)
        self.row_data  = Signal(32)
        self.hold      = Signal()
        self.idle      = Signal()

        # # #

        self._add_results_check()
        self.fsm = fsm = FSM(reset_state="IDLE")
        self.named     = Signal()               # the record names a row,
        self.named_row = Signal(max=ROWS_MAX)   # this one,
        self.own       = Signal(len(RELATIVE))  # from whose session's memory these addresses count
        relative = Signal(len(RELATIVE))
        patches  = Signal(max=len(PATCHES) + 1)  # that were looked at
        at       = Signal(4)                     # the word in COPY
        self._patch_states(fsm, patches)

        op = {name: part(OP.field(name), data) for name in ("opcode", "fence", "relative")}
        is_gemm = source.engine == ENGINES.index(Opcode.GEMM)
        fsm.act("IDLE",
            word.eq(0),
            self.idle.eq(1),
            NextValue(source.index, self.index),
            NextValue(source.fence, op["fence"]),
            NextValue(source.after, data[OP.field("after_gemm").lsb:OP.field("after_attention").msb + 1]),
            NextValue(source.code, JobCode.OK),
            NextValue(relative, op["relative"]),
            NextValue(self.named, 0),
            NextValue(self.own, 0),
            NextValue(patches, 0),
            NextValue(at, 0),
            Case(op["opcode"], {**{int(opcode): NextValue(source.engine, number)
                for number, opcode in enumerate(ENGINES)}, "default": NextValue(source.engine, 0)}),
            If(self.valid & self.room & ~self.hold,
                NextState("PATCH"),
                If(self.bad | ((op["opcode"] != Opcode.GEMM) & (op["opcode"] != Opcode.VECTOR)
                        & (op["opcode"] != Opcode.ATTENTION)),
                    NextValue(source.code, JobCode.PROGRAM),
                    NextState("SEND"),
                ),
            ),
        )

        self._copy_states(fsm, relative, at, is_gemm)
        fsm.act("SEND",
            source.valid.eq(1),
            self.done.eq(1),
            NextState("LEAVE"),
        )
        fsm.act("LEAVE",
            # The slots show one cycle late that there is one more.
            NextState("IDLE"),
        )

    def _copy_states(self, fsm, relative, at, is_gemm):
        """Words with the session's first byte, one a cycle, through a register."""
        data, word, source = self.data, self.word, self.source
        moves, mine, base = Signal(), Signal(), Signal(32)
        session = Signal(32)  # of the row, from the first word that may count from it
        self.comb += [
            Case(at, {**{moved: [moves.eq(relative[bit]), mine.eq(self.own[bit])]
                for bit, moved in enumerate(RELATIVE)}, "default": moves.eq(0)}),
            If(moves, base.eq(Mux(mine, session, self.state_addr))),
            self.read_row.eq(Mux(self.named, self.named_row, self.row)),
            source.own.eq(self.own[OUT_BIT]),
            source.memory.eq(Mux(source.own, session, self.state_addr)),
        ]
        self.sync += [
            session.eq(self.row_data),
            self.put.eq(fsm.ongoing("COPY")),
            self.place.eq(at),
            self.put_value.eq(Mux((at == 0) & is_gemm, int(Opcode.GEMM), data + base)),
        ]
        settle = Signal(2)
        fsm.act("COPY",
            word.eq(at),
            NextValue(at, at + 1),
            NextValue(settle, 0),
            If(at == WORDS - 1, NextState("SETTLE")),
        )
        fsm.act("SETTLE",
            # The last word is put; what was held against the session's memory is known.
            NextValue(settle, settle + 1),
            If(settle[1],
                If(is_gemm & self.outside, NextValue(source.code, JobCode.MEMORY)),
                NextState("SEND"),
            ),
        )

    def _patch_states(self, fsm, patches):
        """Multiply and add bit by bit, on the record as it lies in the loader."""
        data, word = self.data, self.word
        target, origin, stride = (part(PATCH.field(name), data) for name in ("word", "source", "stride"))
        place   = Signal(4)
        source  = Signal(max=len(Source))
        summand = Signal(32)
        factor  = Signal(32)
        total   = Signal(32)
        position = Signal(32)
        named   = {field.name: part(field, data) for field in ROW.fields}
        self.sync += position.eq(self.position + Mux(self.batch, self.row_data, 0))
        fsm.act("PATCH",
            word.eq(PATCHES[0] + patches),
            NextValue(patches, patches + 1),
            NextValue(place, target),
            NextValue(source, origin),
            NextValue(summand, stride),
            # A row's position is there two cycles later, its session's address when words are copied.
            If(patches != len(PATCHES), self.read_word.eq(POSITION)),
            If((patches == 0) & (origin == OF_ROW),
                NextValue(self.named, 1),
                NextValue(self.named_row, named["row"]),
                NextValue(self.own, named["own"]),
                If(~self.batch | (named["word"] != 0) | (named["row"] >= self.rows),
                    NextValue(self.source.code, JobCode.PROGRAM),
                    NextState("SEND"),
                ),
            ).Elif(patches == len(PATCHES),
                NextState("COPY"),
            ).Elif(stride != 0,
                NextState("TARGET"),
                If(self.batch, NextState("ROW")),
                If((target == 0) | (target >= CHECK) | (origin >= len(Source)),
                    NextValue(self.source.code, JobCode.PROGRAM),
                    NextState("SEND"),
                ),
            ),
        )
        fsm.act("ROW",
            NextState("TARGET"),
        )
        fsm.act("TARGET",
            word.eq(place),
            NextValue(total, data),
            Case(source, {
                int(Source.POSITION):    NextValue(factor, position),
                int(Source.COUNT):       NextValue(factor, position + 1),
                int(Source.TOKEN_BLOCK): NextValue(factor, self.token >> 3),
                int(Source.TOKEN_ROW):   NextValue(factor, self.token[:3]),
                int(Source.LISTED):      NextValue(factor, self.listed),
                int(Source.ROW):         NextValue(factor, self.row),
            }),
            NextState("ADD"),
        )
        self.comb += self.value.eq(total)
        fsm.act("ADD",
            word.eq(place),
            If(factor == 0,
                self.write.eq(1),
                NextState("PATCH"),
            ),
            If(factor[0], NextValue(total, total + summand)),
            NextValue(summand, summand << 1),
            NextValue(factor, factor >> 1),
        )

    def _add_results_check(self):
        """Whether a GEMM's results leave the session's memory; valid 2 cycles after its last word was put."""
        self.outside = Signal()
        behind = Signal(33)  # the results' first byte behind the session's; negative: in front of it
        end    = Signal(33)
        self.sync += [
            If(self.put & (self.place == INDEX["out_addr"]), behind.eq(self.put_value - self.state_addr)),
            If(self.put & (self.place == INDEX["out_bytes"]), end.eq(behind[:32] + self.put_value)),
            self.outside.eq(behind[-1] | (end > self.state_bytes)),
        ]
