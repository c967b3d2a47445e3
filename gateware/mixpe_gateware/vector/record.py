# SPDX-License-Identifier: BSD-2-Clause
"""VECTOR records as they arrive: their words in registers, what follows from these, and what is wrong.

    queue ─► words ─► shape ─► products ─► operands within the memory ─► room for results ─► the engine
"""

from litex.gen import LiteXModule
from litex.soc.interconnect import stream
from migen import FSM, Case, If, Mux, NextState, NextValue, Signal

from mixpe_gateware.contract.config import GROUP_MIN, GROUP_SIZES, K_LIMIT
from mixpe_gateware.contract.decoder.norm import WIDTH_LIMIT
from mixpe_gateware.contract.descriptor import SLOT_WORDS
from mixpe_gateware.contract.jobs import JobCode
from mixpe_gateware.contract.program.records import (
    A_SCALED,
    B_ONE_ROW,
    B_SCALED,
    CHOICE_BITS,
    COLUMNS,
    HAS_B,
    MEASURE,
    NARROW,
    OP,
    ROWS_MAX,
    TOP,
    VECTOR,
    Function,
)
from mixpe_gateware.contract.widths import log2
from mixpe_gateware.control.fetch import WordFetch
from mixpe_gateware.control.regions import BytesCheck
from mixpe_gateware.vector.words import COUNT_BITS

WORDS_READ = max(VECTOR) + 1
PLACE      = {name: index for index, (name, _) in VECTOR.items()}


class Record(LiteXModule):
    """Fetch records and check them.

    Latency 24 cycles from `valid` to `source.valid`. What is shown stays until `source` is taken.

    Parameters
    ----------
    config : Config
    mem_bytes : int

    Attributes
    ----------
    valid : Signal(), in; index : Signal(max=SLOT_WORDS), out; value : Signal(32), in; pop : Signal(), out
        Of an `Engine`; a record is popped when it has been read.
    source : Endpoint([("code", 4)]), out
        A record that was checked. RANGE and what happens to results is found later.
    words : dict of name: Signal(32), out
    function : dict of Function: Signal(), out; options : dict of int: Signal(), out
    heads, reads_b, one_row : Signal(), out
        Rows are heads; there is a second operand; it is one row for all.
    a_columns, b_columns : Signal(), out
        An operand is read by columns.
    total : Signal, out
        rows·n.
    groups, table_pitch, product : Signal, out
        QUANT: groups of a row, bytes of a row of shifts and of all these rows.
    """

    def __init__(self, config, mem_bytes):
        self.valid  = Signal()
        self.index  = Signal(max=SLOT_WORDS)
        self.value  = Signal(32)
        self.pop    = Signal()
        self.source = stream.Endpoint([("code", 4)])
        self.words  = {name: Signal(32, name=name) for name in PLACE if name not in ("n", "rows")}
        self.words |= {"n": Signal(CHOICE_BITS + 1), "rows": Signal(ROWS_MAX.bit_length())}
        self.function = {function: Signal(name=function.name.lower()) for function in Function}
        self.options  = {bit: Signal() for bit in (A_SCALED, B_SCALED, HAS_B, B_ONE_ROW, NARROW, MEASURE, COLUMNS)}
        self.heads, self.reads_b, self.one_row = Signal(), Signal(), Signal()
        self.a_columns, self.b_columns = Signal(), Signal()
        self.total       = Signal(COUNT_BITS)
        self.groups      = Signal(max=K_LIMIT//GROUP_MIN + 1)
        self.table_pitch = Signal(len(self.groups) + 1)
        self.product     = Signal(39)

        # # #

        words, is_a = self.words, self.function
        which    = Signal(4)
        options  = Signal(8)
        too_wide = Signal()  # bits that n or rows have no place for
        self.fetch = fetch = WordFetch(WORDS_READ)
        self.comb += [
            self.index.eq(fetch.index),
            fetch.value.eq(self.value),
            *[signal.eq(which == function) for function, signal in is_a.items()],
            *[signal.eq(options[log2(bit)]) for bit, signal in self.options.items()],
            self.heads.eq(is_a[Function.ROTATE] | is_a[Function.APPEND] | is_a[Function.QUERY]),
            self.reads_b.eq((is_a[Function.ADD] & self.options[HAS_B]) | is_a[Function.NORM] | is_a[Function.SILU]
                | is_a[Function.ROTATE]),
            self.b_columns.eq(is_a[Function.SILU] & self.options[COLUMNS]),
            self.a_columns.eq(self.b_columns | (is_a[Function.ADD] & self.options[COLUMNS])),
            self.one_row.eq(is_a[Function.NORM] | (is_a[Function.ADD] & self.options[B_ONE_ROW])),
        ]
        function, option = OP.field("function"), OP.field("options")
        self.sync += If(fetch.valid, Case(fetch.which, {
            0: [which.eq(fetch.word[function.lsb:]), options.eq(fetch.word[option.lsb:]), too_wide.eq(0)],
            **{PLACE[name]: register.eq(fetch.word) for name, register in words.items()},
            **{PLACE[name]: [words[name].eq(fetch.word),
                If(fetch.word[len(words[name]):] != 0, too_wide.eq(1))] for name in ("n", "rows")},
        }))
        bad_shape  = self._add_shape(config, which, too_wide)
        misaligned = self._add_alignment(config)
        self._add_steps(mem_bytes, bad_shape, misaligned)

    def _add_shape(self, config, which, too_wide):
        """What follows from n and the group size; whether a function may have this shape."""
        words, is_a = self.words, self.function
        n, rows, group = words["n"], words["rows"], words["constant"]
        known = Signal()  # the group size is one of the powers of two, and divides n
        self.comb += [
            self.groups.eq(1),
            *[If(group == size, self.groups.eq(n >> log2(size)), known.eq(n[:log2(size)] == 0))
                for size in GROUP_SIZES],
            self.table_pitch.eq((self.groups + config.beat_bytes - 1) >> log2(config.beat_bytes)
                << log2(config.beat_bytes)),
        ]
        heads = (n > config.head_max) | (n[:log2(GROUP_MIN)] != 0)
        quant = (n > K_LIMIT) | (n[:log2(config.lanes)] != 0) | ~(known | (group == n))
        top   = (rows != 1) | (group == 0) | (group > TOP)
        bad   = Signal()
        self.sync += bad.eq((which > max(Function)) | too_wide | (n < GROUP_MIN) | (rows == 0) | (rows > ROWS_MAX)
            | (~is_a[Function.SELECT] & (n > WIDTH_LIMIT)) | (is_a[Function.SELECT] & (top | n[CHOICE_BITS]))
            | (self.heads & heads) | (is_a[Function.QUANT] & quant))
        return bad

    def _add_alignment(self, config):
        words, is_a, bits = self.words, self.function, log2(max(4, config.beat_bytes))
        def off(name, bits=bits):
            return words[name][:bits] != 0
        misaligned = Signal()
        self.sync += misaligned.eq(off("a_addr") | off("out_addr") | (self.reads_b & off("b_addr"))
            | (is_a[Function.QUERY] & off("extra_addr"))
            | (is_a[Function.APPEND] & (off("extra_addr", 1) | off("pitch") | off("pitch_2", 1))))
        return misaligned

    def _add_steps(self, mem_bytes, bad_shape, misaligned):
        words, is_a, source = self.words, self.function, self.source
        self.region = region = BytesCheck(mem_bytes, COUNT_BITS + 2)
        b_words  = Signal(COUNT_BITS)
        factor   = Signal(18)
        times    = Signal.like(words["rows"])
        part     = Signal(18 + len(times))                    # of a product: 18 bits of one operand
        sum_     = Signal(len(self.product) + 1)
        left     = Signal(32)
        extra    = Signal()                                   # a product counts in
        self.comb += [
            # ROTATE's table is a row: d/2 cosines and d/2 sines.
            b_words.eq(self.total),
            If(self.one_row | is_a[Function.ROTATE], b_words.eq(words["n"])),
            extra.eq(is_a[Function.QUANT] | is_a[Function.APPEND]),
        ]
        self.sync += part.eq(factor*times)

        def shifted(shift):
            """Room in units of 2^shift bytes: what is needed is that many of them."""
            return left.eq(words["out_bytes"] >> shift)

        self.comb += [
            shifted(2),
            If(is_a[Function.QUANT], If(self.options[NARROW], shifted(0)).Else(shifted(1))),
            If(is_a[Function.APPEND], shifted(0)),
            If(is_a[Function.QUERY], shifted(1)),
            If(is_a[Function.SELECT], shifted(3)),
        ]
        most  = Mux(words["constant"][:7] > words["n"], words["n"], words["constant"][:7])
        alone = Mux(is_a[Function.SELECT], most, Mux(is_a[Function.APPEND], words["n"], self.total))

        def end_with(code):
            return [NextValue(source.code, code), NextState("SHOW")]

        self.fsm = fsm = FSM(reset_state="IDLE")
        fsm.act("IDLE",
            NextValue(source.code, JobCode.OK),
            If(self.valid, NextState("FETCH")),
        )
        fsm.act("FETCH",
            self.fetch.run.eq(1),
            If(self.fetch.last, self.pop.eq(1), NextState("SETTLE")),
        )
        fsm.act("SETTLE",
            NextState("CHECK"),
        )
        # The factor of a step is in `part` two steps later.
        fsm.act("CHECK",
            factor.eq(words["n"]),
            times.eq(words["rows"]),
            NextState("PART"),
            If(bad_shape, *end_with(JobCode.PROGRAM)).Elif(misaligned, *end_with(JobCode.ALIGN)),
        )
        fsm.act("PART",
            factor.eq(Mux(is_a[Function.APPEND], words["pitch"][18:], self.table_pitch)),
            times.eq(Mux(is_a[Function.APPEND], words["rows"] - 1, words["rows"])),
            NextValue(self.total, Mux(is_a[Function.SELECT], words["n"], part)),
            NextState("FIRST"),
        )
        fsm.act("FIRST",
            factor.eq(words["pitch"]),
            times.eq(words["rows"] - 1),
            NextValue(self.product, Mux(is_a[Function.APPEND], part << 18, part)),
            region.start.eq(words["a_addr"]),
            region.size.eq(self.total << 2),
            NextState("SECOND"),
        )
        fsm.act("SECOND",
            If(is_a[Function.APPEND], NextValue(self.product, self.product + part)),
            region.start.eq(words["b_addr"]),
            region.size.eq(b_words << 2),
            NextState("ROOM"),
            If(region.outside, *end_with(JobCode.MEMORY)),
        )
        fsm.act("ROOM",
            NextValue(sum_, alone + Mux(extra, self.product, 0)),
            NextState("LAST"),
            If(self.reads_b & region.outside, *end_with(JobCode.MEMORY)),
        )
        fsm.act("LAST",
            NextState("SHOW"),
            If(sum_ > left, *end_with(JobCode.SPACE)),
        )
        fsm.act("SHOW",
            source.valid.eq(1),
            If(source.ready, NextState("IDLE")),
        )
