# SPDX-License-Identifier: BSD-2-Clause
"""A RUN from its descriptor to its end: checks, header, and a pass of the program for every token.

    descriptor ─► checks ─► header ─► checks ─► pass ─► id to memory ─► next pass … ─► end
                                                 └─► a record failed: what is on its way is thrown away

Of a batch the table of rows is read behind the header; a pass is then run row by row, the last one's to the end, and
every row's id goes to memory before the next pass.
"""

from litex.gen import LiteXModule
from litex.soc.interconnect import stream
from migen import FSM, C, Cat, If, Mux, NextState, NextValue, Signal

from mixpe_gateware.contract.descriptor import SLOT_WORDS
from mixpe_gateware.contract.jobs import JobCode
from mixpe_gateware.contract.program.records import RECORD_BYTES, RECORD_WORDS, RECORDS_MAX, ROWS_MAX
from mixpe_gateware.contract.program.run import ROW_WORDS
from mixpe_gateware.contract.widths import log2
from mixpe_gateware.control.program.checks import COUNT, END_IDS, RunChecks
from mixpe_gateware.control.program.descriptor import RunDescriptor
from mixpe_gateware.control.program.rows import SESSION, TOKEN, add_row_states

SETTLE_CYCLES = 3  # until what ended last is known as the first that failed


class RunControl(LiteXModule):
    """The order of things in a RUN.

    Parameters
    ----------
    config : Config
    mem_bytes : int

    Attributes
    ----------
    start : Signal(), in
        A RUN is the queue's oldest descriptor, and all before it have ended.
    index : Signal(max=SLOT_WORDS), out; value : Signal(32), in; pop : Signal(), out
        Of the queue.
    busy : Signal(), out
        A RUN is under way.
    source : Endpoint([("code", 4), ("start", 32)]), out
        Its end.
    now : Signal(32), in
        Free-running time stamp in cycles.
    request : Endpoint([("address", 32), ("token", 1)]), out
        A record of the program, or with `token` one word, is to be read.
    reads_token : Signal(), out; token_sink : Endpoint([("data", 32)]), in
        The word that was read.
    loader_first, loader_done : Signal(), out; loader_number, loader_word : Signal, out; loader_valid, loader_bad :
        Signal(), in; loader_data : Signal(32), in
        Of a `RecordLoader`, for the header, and for records that are thrown away.
    patching : Signal(), out
        Records may be worked on.
    patcher_idle : Signal(), in
    taken : Signal(), in
        Strobe: a record has left its slot.
    flush : Signal(), out
        Records in slots are to be thrown away.
    clear : Signal(), out; at_rest, failed : Signal(), in; code : Signal(4), in; record, oldest : Signal, in
        Of an `Issuer`.
    choice : Endpoint([("token", 32)]), in
        An engine chose this token; always taken.
    write : Endpoint([("address", 32), ("data", 32)]), out
        Ids of tokens; taken when they are in memory.
    words : dict of name: Signal(32), out
        Of the descriptor.
    row : Signal(max=ROWS_MAX), out
        Of the token in its pass.
    batch : Signal(), out
        Rows are sessions.
    put_row : Signal(), out; row_place : Signal(max=ROWS_MAX*4), row_value : Signal(32), out; read_row :
        Signal(max=ROWS_MAX), read_word : Signal(max=4), out; row_data : Signal(32), in
        Of a `RowTable`; it is not read while `patching`.
    run_tokens, run_record : Signal, out
        Registers for the host; an abort leaves them as they are.
    """

    def __init__(self, config, mem_bytes):
        self.start  = Signal()
        self.index  = Signal(max=SLOT_WORDS)
        self.value  = Signal(32)
        self.pop    = Signal()
        self.busy   = Signal()
        self.source = stream.Endpoint([("code", 4), ("start", 32)])
        self.now    = Signal(32)
        self.request     = stream.Endpoint([("address", 32), ("token", 1)])
        self.reads_token = Signal()
        self.token_sink  = stream.Endpoint([("data", 32)])
        self.loader_first, self.loader_done, self.loader_valid, self.loader_bad = (Signal() for _ in range(4))
        self.loader_number = Signal(max=RECORDS_MAX + 1)
        self.loader_word   = Signal(max=RECORD_WORDS)
        self.loader_data   = Signal(32)
        self.patching      = Signal()
        self.patcher_idle  = Signal()
        self.taken, self.flush = Signal(), Signal()
        self.clear, self.at_rest, self.failed = Signal(), Signal(), Signal()
        self.code   = Signal(4)
        self.record, self.oldest = (Signal(max=RECORDS_MAX + 1) for _ in range(2))
        self.choice = stream.Endpoint([("token", 32)])
        self.write  = stream.Endpoint([("address", 32), ("data", 32)])
        self.row    = Signal(max=ROWS_MAX)
        self.batch  = Signal()
        self.put_row   = Signal()
        self.row_place = Signal(max=ROWS_MAX*len(ROW_WORDS))
        self.row_value = Signal(32)
        self.read_row  = Signal(max=ROWS_MAX)
        self.read_word = Signal(max=len(ROW_WORDS), reset=SESSION)
        self.row_data  = Signal(32)
        self.run_tokens = Signal(16, reset_less=True)
        self.run_record = Signal(max=RECORDS_MAX + 1, reset_less=True)

        # # #

        self.descriptor = descriptor = RunDescriptor()
        self.words = words = descriptor.words
        self.checks = RunChecks(config, mem_bytes, words)
        self.left = Signal(COUNT.field("count").width)  # tokens or passes, the one that is under way included
        self.item = Signal(max=ROWS_MAX*len(ROW_WORDS) + 1)  # word of the table, or row whose id goes to memory
        self.stop = Signal()                                 # a row's text ended
        self.at_last = self.row == self.checks.rows - 1  # of the pass
        prompt, more = (words["count"][COUNT.field(name).lsb] for name in ("prompt", "more"))
        self.known = prompt & (more | (self.left != 1))  # what follows the token
        self.is_prompt = prompt
        self.address = Signal(32)                          # of the next id: one that is read or one that is written
        self.fsm = fsm = FSM(reset_state="IDLE")
        self.comb += [
            self.index.eq(descriptor.index),
            descriptor.value.eq(self.value),
            self.busy.eq(~fsm.ongoing("IDLE")),
            self.batch.eq(words["count"][COUNT.field("batch").lsb]),
            self.read_row.eq(self.row),
            self.row_place.eq(self.item),
            self.row_value.eq(self.token_sink.data),
            self.checks.session.eq(self.row_data),
            self.checks.passes.eq(self.left),
        ]
        fsm.act("IDLE",
            NextValue(self.source.start, self.now),
            NextValue(self.source.code, JobCode.OK),
            If(self.start,
                NextValue(self.run_tokens, 0),
                NextValue(self.run_record, 0),
                NextValue(self.row, 0),
                NextValue(self.item, 0),
                NextValue(self.stop, 0),
                NextState("WORDS"),
            ),
        )
        fsm.act("WORDS",
            descriptor.run.eq(1),
            NextValue(self.checks.step, 0),
            If(descriptor.last,
                self.pop.eq(1),
                NextState("CHECK"),
            ),
        )
        self._check_states(fsm)
        self._header_states(fsm)
        self._token_states(fsm, max(1, config.memory_bits//32))
        self._pass_states(fsm)
        self._choice_states(fsm)
        add_row_states(self, fsm)
        fsm.act("FINISH",
            self.source.valid.eq(1),
            If(self.source.ready, NextState("IDLE")),
        )

    def _check_states(self, fsm):
        checks = self.checks
        fsm.act("CHECK",
            NextState("JUDGE"),
        )
        fsm.act("JUDGE",
            NextValue(checks.step, checks.step + 1),
            NextState("CHECK"),
            If(checks.step == checks.HEADER - 1,
                NextValue(self.left, self.words["count"]),
                NextValue(self.address, self.words["tokens_addr"]),
                NextState("HEADER"),
            ),
            If(checks.step == checks.ROW - 1,
                NextState("TOKEN"),
                If(self.batch, NextState("TABLE")),
            ),
            If(checks.step == checks.END - 1, NextState("BEGIN")),
            If(checks.failed,
                NextValue(self.source.code, checks.code),
                NextState("FINISH"),
            ),
        )

    def _header_states(self, fsm):
        """Read the header as record 0, and keep it."""
        checks = self.checks
        place  = Signal(max=RECORD_WORDS)
        self.comb += [
            checks.place.eq(place),
            checks.value.eq(self.loader_data),
        ]
        fsm.act("HEADER",
            self.request.valid.eq(1),
            self.request.address.eq(self.words["program_addr"]),
            self.loader_first.eq(1),
            NextValue(place, 0),
            If(self.request.ready, NextState("KEEP")),
        )
        fsm.act("KEEP",
            self.loader_word.eq(place),
            If(self.loader_valid,
                checks.put.eq(1),
                NextValue(place, place + 1),
                If(place == RECORD_WORDS - 1,
                    self.loader_done.eq(1),
                    NextState("CHECK"),
                    If(self.loader_bad,
                        NextValue(self.source.code, JobCode.PROGRAM),
                        NextState("FINISH"),
                    ),
                ),
            ),
        )

    def _token_states(self, fsm, unit_words):
        """The next token of a prompt from memory, or the next row of a batch."""
        unit = Signal(max=max(2, unit_words))  # word of what the memory gives at a time
        lane = self.address[2:2 + len(unit)] if unit_words > 1 else 0
        self.taken_word, self.last_word = Signal(), Signal()  # strobes: the word that was wanted; the last one
        self.comb += [
            self.request.token.eq(fsm.ongoing("TOKEN") | fsm.ongoing("TABLE")),
            self.taken_word.eq(self.reads_token & self.token_sink.valid & (unit == lane)),
            self.last_word.eq(self.reads_token & self.token_sink.valid & (unit == unit_words - 1)),
        ]
        self.sync += If(~self.reads_token, unit.eq(0)).Elif(self.token_sink.valid, unit.eq(unit + 1))
        fsm.act("TOKEN",
            NextValue(self.checks.step, self.checks.TOKEN),
            If(self.batch,
                self.read_word.eq(TOKEN),
                NextState("ROW_TOKEN"),
            ).Elif(self.is_prompt,
                self.request.valid.eq(1),
                self.request.address.eq(self.address),
                If(self.request.ready, NextState("TAKE")),
            ).Else(
                NextState("CHECK"),
            ),
        )
        fsm.act("TAKE",
            self.reads_token.eq(1),
            self.token_sink.ready.eq(1),
            self.descriptor.token.eq(self.token_sink.data),
            self.descriptor.put_token.eq(self.taken_word),
            If(self.last_word,
                NextValue(self.address, self.address + 4),
                NextState("CHECK"),
            ),
        )

    def _pass_states(self, fsm):
        """Ask for the records of a pass, one after the other, until all have ended or one has failed."""
        checks  = self.checks
        address = Signal(32)
        following, behind = (Signal(max=RECORDS_MAX + 1) for _ in range(2))  # the next record, and the end of the pass
        pending = Signal(max=RECORDS_MAX + 1)                                # asked for, and not with an engine
        settle  = Signal(max=SETTLE_CYCLES + 1)
        self.chosen, self.token = Signal(max=RECORDS_MAX + 1), Signal(32)  # choices, and the last one
        asked   = Signal()
        self.comb += asked.eq(self.request.valid & self.request.ready)
        fsm.act("BEGIN",
            self.clear.eq(1),
            self.loader_first.eq(1),
            self.loader_number.eq(1),
            NextValue(following, 1),
            NextValue(address, self.words["program_addr"] + RECORD_BYTES),
            NextValue(behind, Mux(self.known, checks.prompt_records, checks.records)),
            If(~self.at_last, NextValue(behind, checks.token_records)),
            NextValue(pending, 0),
            NextValue(settle, 0),
            NextValue(self.chosen, 0),
            NextState("RECORDS"),
        )
        fsm.act("RECORDS",
            self.patching.eq(1),
            self.request.valid.eq((following != behind) & ~self.failed),
            self.request.address.eq(address),
            If(asked,
                NextValue(following, following + 1),
                NextValue(address, address + RECORD_BYTES),
            ),
            NextValue(pending, pending + asked - self.taken),
            NextValue(self.run_record, self.oldest),
            self.choice.ready.eq(1),
            If(self.choice.valid,
                NextValue(self.chosen, self.chosen + 1),
                NextValue(self.token, self.choice.token),
                self.put_row.eq(self.batch),
            ),
            self.row_place.eq(Cat(C(TOKEN, log2(len(ROW_WORDS))), self.chosen)),
            self.row_value.eq(self.choice.token),
            If(self.failed,
                NextState("FLUSH"),
            ).Elif((following == behind) & (pending == 0) & self.at_rest,
                NextState("PASSED"),
            ),
        )
        fsm.act("FLUSH",
            self.flush.eq(1),
            self.loader_done.eq(self.loader_valid & self.patcher_idle),
            NextValue(pending, pending - self.taken - self.loader_done),
            NextValue(settle, 0),
            If((pending == 0) & self.at_rest,
                NextValue(settle, settle + 1),
                If(settle == SETTLE_CYCLES,
                    NextValue(self.source.code, self.code),
                    NextValue(self.run_record, self.record),
                    NextState("FINISH"),
                ),
            ),
        )

    def _choice_states(self, fsm):
        """The ids that a pass chose go to memory and are the next tokens, or end a text."""
        checks, descriptor = self.checks, self.descriptor
        last, whole = self.left == 1, ~self.batch | self.at_last  # of a batch passes are counted
        fsm.act("PASSED",
            NextValue(self.run_record, 0),
            NextValue(self.item, 0),
            NextValue(checks.end_id, 0),
            If(self.known | ~whole,
                NextState("COUNT"),
            ).Elif(self.batch & (self.chosen == checks.rows),
                NextState("CHOSEN"),
            ).Elif(~self.batch & (self.chosen != 0),
                NextState("WRITE"),
            ).Else(
                NextValue(self.source.code, JobCode.PROGRAM),
                NextState("FINISH"),
            ),
        )
        self.comb += [
            self.write.address.eq(self.address),
            self.write.data.eq(self.token),
        ]
        fsm.act("WRITE",
            self.write.valid.eq(1),
            If(self.write.ready,
                NextValue(self.address, self.address + 4),
                NextState("COUNT"),
                If(self.batch, NextState("ROW_ENDS")),
            ),
        )
        fsm.act("COUNT",
            descriptor.advance.eq(whole),
            descriptor.token.eq(self.token),
            If(whole,
                NextValue(self.run_tokens, self.run_tokens + 1),
                NextValue(self.left, self.left - 1),
            ),
            NextValue(self.row, Mux(self.at_last, 0, self.row + 1)),
            NextValue(checks.end_id, 0),
            If(whole & (last | self.stop),
                NextState("FINISH"),
            ).Elif(self.is_prompt | self.batch,
                NextState("TOKEN"),
            ).Else(
                NextState("ENDS"),
            ),
        )
        fsm.act("ENDS",
            checks.look.eq(1),
            NextValue(checks.end_id, checks.end_id + 1),
            If(checks.end_id == len(END_IDS) - 1, NextState("TOKEN")),
            If(checks.ends, NextState("FINISH")),
        )
