# SPDX-License-Identifier: BSD-2-Clause
"""What must hold of a RUN, of its program's header and of each token: sums and limits, one after the other."""

from dataclasses import dataclass
from itertools import accumulate

from litex.gen import LiteXModule
from migen import Case, If, Memory, Mux, Signal

from mixpe_gateware.contract.descriptor import WORDS, Opcode
from mixpe_gateware.contract.jobs import JobCode
from mixpe_gateware.contract.program.records import (
    HEADER,
    MAGIC,
    RECORD_BYTES,
    RECORD_WORDS,
    RECORDS_MAX,
    ROWS_MAX,
)
from mixpe_gateware.contract.program.run import ROW_BYTES, RUN_WORDS
from mixpe_gateware.contract.widths import log2

OP        = WORDS[0]
COUNT     = next(word for word in RUN_WORDS if word.name == "count")
PLACE     = {name: place for place, (name, _) in HEADER.items()}
END_IDS   = ("end_0", "end_1", "end_2", "end_3")
SUM_BITS  = 34  # of two numbers of 33 bits


@dataclass(frozen=True, eq=False)
class Check:
    """Fails with `code` where summand + other > limit. `word`: of the header, which is in `RunChecks.data` then."""

    code: JobCode
    summand: object
    other: object = 0
    limit: object = 0
    word: str = "magic"


class RunChecks(LiteXModule):
    """Make one check after the other; 2 cycles each.

    Parameters
    ----------
    config : Config
    mem_bytes : int
    words : dict of name: Signal(32)
        Of a `RunDescriptor`.

    Attributes
    ----------
    step : Signal, in
        Which check: 0 … HEADER − 1 of the descriptor, HEADER … ROW − 1 of the header, ROW … TOKEN − 1 of a batch's
        next row, TOKEN … of the next token. What `failed` says is of the check that `step` named in the cycle before.
    failed : Signal(), out; code : Signal(4), out
    put : Signal(), in; place : Signal(4), in; value : Signal(32), in
        A word of the header.
    end_id : Signal(max=len(END_IDS)), in; ends : Signal(), out
        Whether the token is this id, which ends a text; while `look` is high.
    look : Signal(), in
    records, prompt_records, token_records : Signal(max=RECORDS_MAX + 1), rows : Signal(max=ROWS_MAX + 1), out
        Of the header, when its checks passed;
    session_bytes : Signal(32), out
        when those of a row did.
    position, session : Signal(32), passes : Signal(16), in
        Of a batch's next row, and how many passes are left.
    """

    def __init__(self, config, mem_bytes, words):
        self.put    = Signal()
        self.place  = Signal(log2(RECORD_WORDS))
        self.value  = Signal(32)
        self.failed = Signal()
        self.code   = Signal(4)
        self.end_id = Signal(max=len(END_IDS))
        self.ends   = Signal()
        self.look   = Signal()
        self.records, self.prompt_records, self.token_records = (Signal(max=RECORDS_MAX + 1) for _ in range(3))
        self.rows   = Signal(max=ROWS_MAX + 1)
        self.session_bytes = Signal(32)
        self.position, self.session = Signal(32), Signal(32)
        self.passes = Signal(COUNT.field("count").width)

        # # #

        # The header stays on the chip: its numbers are looked at one at a time. ---------------------------------------
        self.memory = memory = Memory(32, RECORD_WORDS, name="header")
        write = memory.get_port(write_capable=True)
        read  = memory.get_port(async_read=True)
        self.specials += memory, write, read
        data = read.dat_r
        self.comb += [
            write.adr.eq(self.place),
            write.dat_w.eq(self.value),
            write.we.eq(self.put),
            self.ends.eq(data == words["token"]),
        ]

        parts  = self._checks(config, mem_bytes, words, data)
        checks = [check for part in parts for check in part]
        self.HEADER, self.ROW, self.TOKEN, self.END = accumulate(len(part) for part in parts)
        self.step = step = Signal(max=self.END)
        total, limit = Signal(SUM_BITS), Signal(SUM_BITS - 1)
        self.sync += Case(step, {index: [
            total.eq(check.summand + check.other),
            limit.eq(check.limit),
            self.code.eq(check.code),
        ] for index, check in enumerate(checks)})
        self.comb += [
            self.failed.eq(total > limit),
            If(self.look,
                Case(self.end_id, {index: read.adr.eq(PLACE[name]) for index, name in enumerate(END_IDS)}),
            ).Else(
                Case(step, {index: read.adr.eq(PLACE[check.word]) for index, check in enumerate(checks)}),
            ),
        ]
        for name in ("records", "prompt_records", "rows", "token_records", "session_bytes"):
            register = getattr(self, name)
            place = next(index for index, check in enumerate(checks) if check.word == name)
            self.sync += If(step == place, register.eq(data))

    def _checks(self, config, mem_bytes, words, data):
        """The checks of the descriptor, of the header, of a batch's row, of a token; lists of Check."""
        beat   = config.beat_bytes - 1
        count  = words["count"] & COUNT.field("count").mask
        prompt, more, batch = ((words["count"] & COUNT.field(name).mask) != 0 for name in ("prompt", "more", "batch"))
        unknown = ((words["op"] & ~(OP.field("fence").mask) & 0xFFFFFFFF) != Opcode.RUN) | (
            (words["count"] & ~COUNT.mask & 0xFFFFFFFF) != 0) | (batch & (prompt | more))
        tokens  = Mux(batch, (count + ROW_BYTES//4) << log2(4*ROWS_MAX), (count + prompt) << 2)
        before = [
            Check(JobCode.UNSUPPORTED, unknown),
            Check(JobCode.ALIGN, ((words["program_addr"] | words["state_addr"]) & beat) | (words["tokens_addr"] & 3)),
            Check(JobCode.MEMORY, words["program_addr"], RECORD_BYTES, mem_bytes),
            Check(JobCode.MEMORY, words["state_addr"], words["state_bytes"], mem_bytes),
            Check(JobCode.MEMORY, words["tokens_addr"], tokens, mem_bytes),
            Check(JobCode.POSITION, count == 0),
        ]
        header = [
            Check(JobCode.PROGRAM, data != MAGIC, word="magic"),
            Check(JobCode.PROGRAM, data != words["identity"], word="identity"),
            Check(JobCode.PROGRAM, data - 1, 0, RECORDS_MAX - 1, word="records"),
            Check(JobCode.PROGRAM, data - 1, 0, self.records - 1, word="prompt_records"),
            Check(JobCode.PROGRAM, data - 1, 0, ROWS_MAX - 1, word="rows"),
            Check(JobCode.PROGRAM, data - 1, 0, self.prompt_records - 1, word="token_records"),
            Check(JobCode.MEMORY, words["program_addr"], self.records << log2(RECORD_BYTES), mem_bytes),
            Check(JobCode.MEMORY, data, 0, words["state_bytes"], word="state_bytes"),
            Check(JobCode.POSITION, words["position"], count, data, word="context"),
        ]
        row = [
            Check(JobCode.POSITION, self.position + words["position"], self.passes, data, word="context"),
            Check(JobCode.ALIGN, self.session & beat),
            Check(JobCode.MEMORY, self.session, data, mem_bytes, word="session_bytes"),
        ]
        token = [
            Check(JobCode.PROGRAM, words["token"], 1, data, word="vocabulary"),
        ]
        return before, header, row, token
