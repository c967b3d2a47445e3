# SPDX-License-Identifier: BSD-2-Clause
"""Checker of ATTENTION records: words in, a task or the code of the first check that fails out.

    words ─► shape ─► products, one after the other ─► regions ─► task

Nothing is read or written before all of it passed. Where several checks fail, the code is the first of PROGRAM (shape),
ALIGN, MEMORY (what is read), OVERLAP (of results with it), SPACE.
"""

from litex.gen import LiteXModule
from litex.soc.interconnect import stream
from migen import FSM, Case, If, Mux, NextState, NextValue, Signal, bits_for

from mixpe_gateware.contract.config import CONTEXT_LIMIT
from mixpe_gateware.contract.descriptor import SLOT_WORDS
from mixpe_gateware.contract.jobs import JobCode
from mixpe_gateware.contract.program.records import ATTENTION, HEADS
from mixpe_gateware.contract.widths import log2
from mixpe_gateware.control.fetch import WordFetch
from mixpe_gateware.control.multiplier import Multiplier
from mixpe_gateware.control.regions import Overlap, RegionCheck

WORDS_READ    = max(ATTENTION) + 1
INDEX         = {name: index for index, (name, _) in ATTENTION.items()}
CONTEXT_STEP  = 64
HEAD_STEP     = 32
ADDRESSES     = ("keys_addr", "a_addr", "out_addr", "scales_addr", "exponents_addr", "values_addr")

# What the multiplier works out, in this order.
HEADS_ALL, HEAD_ROWS, CACHE_ROWS, CACHE_BEATS, BEGIN_BEATS, STRIDE, SEEN_BEATS = range(7)
# Regions, in the order in which they are looked at.
QUERIES, EXPONENTS, SCALES, KEYS, VALUES = range(5)


def task_layout(config, address_bits, depth):
    """What the others need of a record; addresses and sizes in beats.

    steps          beats of a row
    count, offset  positions that are seen, and the place of the first one in its beat of scales
    scale_beats    beats that have their scales
    row_beats      beats of their rows
    group          query heads of a key-value head
    kv_heads
    queries, exponents, key_scales, value_scales, keys, values, out
    scale_stride, row_stride   from a key-value head to the next one
    """
    size = address_bits + 2
    return [("steps", bits_for(depth)), ("count", bits_for(config.context_max)), ("offset", 3),
        ("scale_beats", bits_for(config.context_max + 1)), ("row_beats", size), ("group", 8), ("kv_heads", 8),
        *[(name, address_bits) for name in ("queries", "exponents", "key_scales", "value_scales", "keys", "values",
            "out")],
        ("scale_stride", size), ("row_stride", size), ("code", 4), ("start", 32)]


class RecordChecker(LiteXModule):
    """Check records and derive tasks.

    Latency some 150 cycles, mostly a bit-serial multiplier.

    Parameters
    ----------
    config : Config
    mem_bytes : int
        Size of the memory that regions are checked against.
    address_bits : int
        Width of a beat address.
    depth : int
        Beats of the longest row.
    align : int
        Bytes of which addresses are multiples.

    Attributes
    ----------
    valid : Signal(), in; index : Signal(max=SLOT_WORDS), out; value : Signal(32), in; pop : Signal(), out
        See `Engine`.
    source : Endpoint(task_layout(config, address_bits, depth)), out
        With a code that is not OK nothing else holds.
    now : Signal(32), in
        Free-running time stamp in cycles.
    """

    def __init__(self, config, mem_bytes, address_bits, depth, align):
        self.valid  = Signal()
        self.index  = Signal(max=SLOT_WORDS)
        self.value  = Signal(32)
        self.pop    = Signal()
        self.source = source = stream.Endpoint(task_layout(config, address_bits, depth))
        self.now    = Signal(32)

        # # #

        self.config, self.address_bits = config, address_bits
        self.size_bits = size_bits = address_bits + 2
        self.task      = task = source.payload
        self.fetch     = fetch = WordFetch(WORDS_READ)
        self.multiplier = Multiplier(size_bits, 16)
        self.region    = region = RegionCheck(config, mem_bytes, address_bits)
        self.overlap   = overlap = Overlap(size_bits)
        self.step      = Signal(max=SEEN_BEATS + 1)
        self.which     = Signal(max=VALUES + 1)
        self.waited    = Signal(2)
        self.outside, self.overlaps, self.short, self.clear = (Signal() for _ in range(4))
        self.out_end   = Signal(size_bits)
        self._read_words(depth, log2(align))
        self.comb += [
            self.index.eq(fetch.index),
            fetch.value.eq(self.value),
            overlap.start_a.eq(region.start),
            overlap.end_a.eq(region.end),
            overlap.start_b.eq(task.out),
            overlap.end_b.eq(self.out_end),
        ]

        self.fsm = fsm = FSM(reset_state="IDLE")
        fsm.act("IDLE",
            NextValue(task.start, self.now),
            NextValue(task.code, JobCode.OK),
            self.clear.eq(1),
            If(self.valid, NextState("FETCH")),
        )
        fsm.act("FETCH",
            fetch.run.eq(1),
            If(fetch.last, NextState("SHAPE")),
        )
        self._check_shape(fsm, depth)
        self._work_out(fsm)
        self._check_regions(fsm)
        fsm.act("DECIDE",
            If(self.outside,
                NextValue(task.code, JobCode.MEMORY),
            ).Elif(self.overlaps,
                NextValue(task.code, JobCode.OVERLAP),
            ).Elif(self.short,
                NextValue(task.code, JobCode.SPACE),
            ),
            NextState("POP"),
        )
        fsm.act("POP",
            self.pop.eq(1),
            NextState("SEND"),
        )
        fsm.act("SEND",
            source.valid.eq(1),
            If(source.ready, NextState("IDLE")),
        )

    def _read_words(self, depth, align_log2):
        """Registers of the words, and what is wrong with each by itself."""
        fetch, task, word = self.fetch, self.task, self.fetch.word
        beat_log2, limit = log2(self.config.beat_bytes), CONTEXT_LIMIT
        self.positions, self.context, self.window = (Signal(bits_for(limit)) for _ in range(3))
        self.space    = Signal(self.size_bits)
        self.head_dim = Signal(HEADS.field("head_dim").width)
        self.wrong, self.misaligned = Signal(), Signal()
        kv_heads, group, head_dim = (word[field.lsb:field.msb + 1] for field in
            (HEADS.field(name) for name in ("kv_heads", "group", "head_dim")))
        beats = word[beat_log2:]

        def address(register):
            return [
                register.eq(beats),
                If(word[:align_log2] != 0, self.misaligned.eq(1)),
                If(beats >> len(register) != 0, self.outside.eq(1)),
            ]

        registers = dict(zip(ADDRESSES, (task.keys, task.queries, task.out, task.key_scales, task.exponents,
            task.values), strict=True))
        self.sync += [
            If(fetch.valid, Case(fetch.which, {
                **{INDEX[name]: address(register) for name, register in registers.items()},
                INDEX["positions"]: [self.positions.eq(word), If((word == 0) | (word > self.config.context_max),
                    self.wrong.eq(1))],
                INDEX["context"]:   [self.context.eq(word), If((word[:log2(CONTEXT_STEP)] != 0) | (word > limit),
                    self.wrong.eq(1))],
                INDEX["window"]:    self.window.eq(Mux(word > limit, limit, word)),
                INDEX["out_bytes"]: self.space.eq(Mux(beats >> self.size_bits != 0, (1 << self.size_bits) - 1, beats)),
                INDEX["heads"]: [
                    task.group.eq(group),
                    task.kv_heads.eq(kv_heads),
                    task.steps.eq(head_dim[beat_log2:]),
                    If((word & (0xFFFFFFFF ^ HEADS.mask) != 0) | (kv_heads == 0) | (group == 0) | (head_dim == 0)
                        | (head_dim[:log2(HEAD_STEP)] != 0) | (head_dim > depth << beat_log2), self.wrong.eq(1)),
                ],
            })),
            If(self.clear,
                *[flag.eq(0) for flag in (self.wrong, self.misaligned, self.outside, self.overlaps, self.short)],
            ),
        ]

    def _multiply(self, step, a, b):
        """Work out a product and go on with it in its step of USE."""
        return [self.multiplier.a.eq(a), self.multiplier.b.eq(b), self.multiplier.start.eq(1),
            NextValue(self.step, step), NextState("MULTIPLY")]

    def _check_shape(self, fsm, depth):
        """What follows from the words alone, and which positions are seen."""
        task, scales_log2 = self.task, log2(self.config.port_bits//16)
        begin = Signal(len(self.positions))
        seen  = Signal(bits_for(self.config.context_max + 8))
        self.begin = begin
        self.comb += [
            begin.eq(0),
            If((self.window != 0) & (self.positions > self.window), begin.eq(self.positions - self.window)),
            seen.eq(task.offset + task.count + (1 << scales_log2) - 1),
        ]
        fsm.act("SHAPE",
            NextValue(task.count, self.positions - begin),
            NextValue(task.offset, begin[:scales_log2] if scales_log2 else 0),
            If(self.wrong | (self.positions > self.context),
                NextValue(task.code, JobCode.PROGRAM),
                NextState("POP"),
            ).Elif(self.misaligned,
                NextValue(task.code, JobCode.ALIGN),
                NextState("POP"),
            ).Else(
                *self._multiply(HEADS_ALL, task.kv_heads, task.group),
            ),
        )
        self.sync += [
            task.scale_beats.eq(seen >> scales_log2),
            task.scale_stride.eq(self.context >> scales_log2),
        ]

    def _work_out(self, fsm):
        """Products, one after the other, and what each is good for."""
        task, multiplier, product = self.task, self.multiplier, self.multiplier.product
        scales_log2 = log2(self.config.port_bits//16)
        self.heads  = heads = Signal(16)
        out_beats   = Signal(self.size_bits + 2)
        first_scale = self.begin >> scales_log2
        self.comb += out_beats.eq(product << 2)
        fsm.act("MULTIPLY",
            If(~multiplier.busy, NextState("USE")),
        )
        fsm.act("USE",
            NextValue(self.outside, self.outside | multiplier.overflow),
            NextValue(self.waited, 0),
            Case(self.step, {
                HEADS_ALL: [NextValue(heads, product), *self._multiply(HEAD_ROWS, product, task.steps)],
                HEAD_ROWS: [
                    NextValue(self.out_end, task.out + out_beats),
                    NextValue(self.short, self.space < out_beats),
                    NextValue(self.which, QUERIES),
                    NextState("REGION"),
                ],
                CACHE_ROWS: [
                    NextValue(task.value_scales, task.key_scales + (product >> scales_log2)),
                    NextValue(self.which, SCALES),
                    NextState("REGION"),
                ],
                CACHE_BEATS: [NextValue(self.which, KEYS), NextState("REGION")],
                BEGIN_BEATS: [
                    NextValue(task.keys, task.keys + product),
                    NextValue(task.values, task.values + product),
                    NextValue(task.key_scales, task.key_scales + first_scale),
                    NextValue(task.value_scales, task.value_scales + first_scale),
                    *self._multiply(STRIDE, self.context, task.steps),
                ],
                STRIDE: [NextValue(task.row_stride, product), *self._multiply(SEEN_BEATS, task.count, task.steps)],
                SEEN_BEATS: [NextValue(task.row_beats, product), NextState("DECIDE")],
            }),
        )

    def _check_regions(self, fsm):
        """Regions against the memory and against the results; the product that a size comes from stays meanwhile."""
        task, region, product = self.task, self.region, self.multiplier.product
        scales_log2 = log2(self.config.port_bits//16)
        words = max(1, self.config.port_bits//32)
        size  = Signal(self.size_bits + 2)
        exponents = self.heads << 1 if scales_log2 == 0 else self.heads + words - 1 >> log2(words)
        self.comb += Case(self.which, {
            QUERIES:   [region.start.eq(task.queries),    size.eq(product << 1)],
            EXPONENTS: [region.start.eq(task.exponents),  size.eq(exponents)],
            SCALES:    [region.start.eq(task.key_scales), size.eq(product >> scales_log2 << 1)],
            KEYS:      [region.start.eq(task.keys),       size.eq(product)],
            VALUES:    [region.start.eq(task.values),     size.eq(product)],
        })
        self.comb += region.size.eq(size)
        fsm.act("REGION",
            NextValue(self.waited, self.waited + 1),
            If(self.waited == 3,
                NextValue(self.outside, self.outside | ~region.inside | (size >> self.address_bits + 1 != 0)),
                NextValue(self.overlaps, self.overlaps | self.overlap.overlap),
                Case(self.which, {
                    QUERIES:   NextValue(self.which, EXPONENTS),
                    EXPONENTS: self._multiply(CACHE_ROWS, self.context, task.kv_heads),
                    SCALES:    self._multiply(CACHE_BEATS, product, task.steps),
                    KEYS:      NextValue(self.which, VALUES),
                    VALUES:    self._multiply(BEGIN_BEATS, self.begin, task.steps),
                }),
            ),
        )
