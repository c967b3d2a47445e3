# SPDX-License-Identifier: BSD-2-Clause
"""Job queue and checker: descriptors in, checked tickets out.

    post ──► FIFO (queue_depth) ──► checker ──► ticket ──► loader, stream, array, results, writer

A ticket is a job with everything that the datapath needs derived from its shape. The checker makes the checks of
`spec.jobs.check_job` in the same order; a job that fails one passes through as a ticket with `skip`, so that it ends in
its turn with its code and touches nothing.
"""

from litex.gen import LiteXModule
from litex.soc.interconnect import stream
from migen import FSM, Cat, If, Mux, NextState, NextValue, Signal, bits_for

from mixpe.gateware.spec.config import CHANNELS_PER_BLOCK, GROUP_MIN, GROUP_SIZES, N_LIMIT
from mixpe.gateware.spec.jobs import (
    FLAG_FUSED,
    FLAG_MASK,
    FLAG_PLANES,
    FLAG_SHIFT,
    FLAG_WIDE,
    GROUP_CODE_K,
    JobCode,
)

PRODUCT_BITS = 44  # of the checker's products: the largest is n·m·groups·4 bytes

def log2(value):
    """Exponent of a power of two."""
    return value.bit_length() - 1

def descriptor_layout():
    """The words of `spec.jobs.Job.words`."""
    return [(name, 32) for name in
        ("weights_addr", "act_addr", "out_addr", "n", "k", "m", "flags", "out_bytes", "tag")]

def ticket_layout(config):
    """A checked job.

    Beat addresses count port words. `words` counts words of D weights or activations, `stream_*` what a channel's
    stream holds (twice the activations' for W8).
    """
    words  = bits_for(2*config.act_words)
    groups = bits_for(config.groups_max)
    return [
        ("skip",           1),
        ("code",           4),
        ("fused",          1),
        ("wide",           1),
        ("shift",          1),
        ("act_beat",      32),
        ("weights_beat",  32),
        ("out_beat",      32),
        ("act_beats",     32),   # activations and shift table
        ("stream_beats",  32),   # whole weight stream
        ("m",             bits_for(config.k_max)),
        ("tiles",         bits_for(config.act_words)),
        ("last_rows",     bits_for(config.rows)),  # rows of the last tile
        ("kwords",        bits_for(config.act_words)),
        ("group_words",   bits_for(config.act_words)),
        ("groups",        groups),
        ("stream_words",  words),
        ("stream_groups", groups),
        ("n",             bits_for(N_LIMIT)),
        ("blocks",        bits_for(N_LIMIT//CHANNELS_PER_BLOCK)),
        ("start",         32),   # time stamp of the first check
    ]

class JobChecker(LiteXModule):
    """Check descriptors and derive tickets.

    Latency about 120 cycles a job, mostly a bit-serial multiplier; it runs while earlier jobs do.

    Parameters
    ----------
    config : Config
    mem_bytes : int
        Size of the memory that addresses are checked against.

    Attributes
    ----------
    sink : Endpoint(descriptor_layout()), in
    source : Endpoint(ticket_layout(config)), out
    now : Signal(32), in
        Free-running time stamp in cycles.
    """

    def __init__(self, config, mem_bytes):
        self.sink   = sink   = stream.Endpoint(descriptor_layout())
        self.source = source = stream.Endpoint(ticket_layout(config))
        self.now    = Signal(32)

        # # #

        lanes_log2 = log2(config.lanes)
        rows_log2  = log2(config.rows)
        beat_log2  = log2(config.beat_bytes)

        # Shape --------------------------------------------------------------------------------------------------------
        flags  = sink.flags
        fused  = (flags & FLAG_FUSED)  != 0
        wide   = (flags & FLAG_WIDE)   != 0
        shift  = (flags & FLAG_SHIFT)  != 0
        planes = (flags & FLAG_PLANES) != 0
        code   = flags[:3]
        by_k   = code == GROUP_CODE_K

        bad_group = Signal()
        bad_k     = Signal()
        groups    = Signal(16)
        group_words = Signal(16)
        self.comb += [
            bad_group.eq((code >= len(GROUP_SIZES)) & ~by_k),
            bad_k.eq(sink.k[:lanes_log2] != 0),
            groups.eq(1),
            group_words.eq(sink.k >> lanes_log2),
        ]
        for index, size in enumerate(GROUP_SIZES):
            self.comb += If(code == index,
                groups.eq(sink.k >> log2(size)),
                group_words.eq(size >> lanes_log2),
                If(sink.k[:log2(size)] != 0, bad_k.eq(1)),
            )

        # Multiplier: product += a·b, one bit of b a cycle -------------------------------------------------------------
        a       = Signal(PRODUCT_BITS)
        b       = Signal(20)
        product = Signal(PRODUCT_BITS)
        step    = Signal(3)

        ticket      = source.payload
        blocks      = Signal(bits_for(N_LIMIT//CHANNELS_PER_BLOCK))
        scale_beats = Signal(16)
        zero_beats  = Signal(16)
        block_beats = Signal(24)
        result_bytes = Signal(PRODUCT_BITS)
        table_beats = Signal(16)
        self.comb += [
            blocks.eq((sink.n[:17] + CHANNELS_PER_BLOCK - 1) >> log2(CHANNELS_PER_BLOCK)),
            scale_beats.eq((2*CHANNELS_PER_BLOCK*ticket.stream_groups + config.beat_bytes - 1) >> beat_log2),
            zero_beats.eq((CHANNELS_PER_BLOCK//2*ticket.stream_groups + config.beat_bytes - 1) >> beat_log2),
            block_beats.eq(scale_beats + zero_beats + CHANNELS_PER_BLOCK*ticket.stream_words),
            table_beats.eq((ticket.groups + config.beat_bytes - 1) >> beat_log2),
        ]

        # Regions, in beats --------------------------------------------------------------------------------------------
        mem_beats    = mem_bytes//config.beat_bytes
        out_beats    = Signal(PRODUCT_BITS)
        act_end      = Signal(PRODUCT_BITS)
        weights_end  = Signal(PRODUCT_BITS)
        out_end      = Signal(PRODUCT_BITS)
        self.comb += [
            out_beats.eq((result_bytes + config.beat_bytes - 1) >> beat_log2),
            act_end.eq(ticket.act_beat + ticket.act_beats),
            weights_end.eq(ticket.weights_beat + ticket.stream_beats),
            out_end.eq(ticket.out_beat + out_beats),
        ]

        def refuse(condition, job_code):
            return (condition, [NextValue(ticket.skip, 1), NextValue(ticket.code, job_code), NextState("SEND")])

        def checks(tests, *passed):
            chain = If(tests[0][0], *tests[0][1])
            for condition, action in tests[1:]:
                chain = chain.Elif(condition, *action)
            return chain.Else(*passed)

        def multiply(index, value_a, value_b):
            return [NextValue(a, value_a), NextValue(b, value_b), NextValue(product, 0), NextValue(step, index),
                NextState("MULTIPLY")]

        self.fsm = fsm = FSM(reset_state="IDLE")
        fsm.act("IDLE",
            If(sink.valid,
                NextValue(ticket.start, self.now),
                NextValue(ticket.skip, 0),
                NextValue(ticket.code, JobCode.OK),
                NextState("SHAPE"),
            ),
        )
        fsm.act("SHAPE",
            NextValue(ticket.fused,         fused),
            NextValue(ticket.wide,          wide),
            NextValue(ticket.shift,         shift),
            NextValue(ticket.weights_beat,  sink.weights_addr >> beat_log2),
            NextValue(ticket.act_beat,      sink.act_addr >> beat_log2),
            NextValue(ticket.out_beat,      sink.out_addr >> beat_log2),
            NextValue(ticket.n,             sink.n),
            NextValue(ticket.blocks,        blocks),
            NextValue(ticket.m,             sink.m),
            NextValue(ticket.tiles,         (sink.m[:16] + config.rows - 1) >> rows_log2),
            NextValue(ticket.last_rows,     Mux(sink.m[:rows_log2] == 0, config.rows, sink.m[:rows_log2])
                if rows_log2 else 1),
            NextValue(ticket.kwords,        sink.k >> lanes_log2),
            NextValue(ticket.group_words,   group_words),
            NextValue(ticket.groups,        groups),
            NextValue(ticket.stream_words,  Mux(planes, sink.k[:16] << 1, sink.k[:16]) >> lanes_log2),
            NextValue(ticket.stream_groups, Mux(planes, groups << 1, groups)),
            checks([
                refuse(flags[FLAG_MASK.bit_length():] != 0, JobCode.UNSUPPORTED),
                refuse(fused & (not config.fused), JobCode.UNSUPPORTED),
                refuse((wide | shift) & ~fused, JobCode.UNSUPPORTED),
                refuse((sink.n == 0) | (sink.n > N_LIMIT) | (sink.k < GROUP_MIN) | (sink.k > config.k_max)
                    | (sink.m == 0) | (sink.m > config.k_max), JobCode.SHAPE),
                refuse(wide & (sink.m[0] | (config.rows % 2)), JobCode.SHAPE),
                refuse(bad_group, JobCode.GROUP),
                refuse(bad_k, JobCode.SHAPE),
                refuse(Mux(planes, groups << 1, groups) > config.groups_max, JobCode.GROUP),
            ], NextState("ROWS")),
        )
        fsm.act("ROWS", *multiply(0, ticket.tiles, ticket.kwords))
        fsm.act("MULTIPLY",
            If(b == 0,
                NextState("USE"),
            ).Else(
                If(b[0], NextValue(product, product + a)),
                NextValue(a, a << 1),
                NextValue(b, b >> 1),
            ),
        )
        fsm.act("USE",
            # tiles·kwords
            If(step == 0,
                checks([
                    refuse(product > config.act_words, JobCode.ROWS),
                    refuse((ticket.tiles > 1) & (ticket.stream_words > config.buffer_beats), JobCode.ROWS),
                    refuse((Cat(sink.weights_addr[:beat_log2], sink.act_addr[:beat_log2],
                        sink.out_addr[:beat_log2]) != 0), JobCode.ALIGN),
                ], *multiply(1, Mux(shift, table_beats, 0) + 2*ticket.kwords, ticket.m)),
            ),
            # m·(beats of a row and its shifts)
            If(step == 1,
                NextValue(ticket.act_beats, product),
                *multiply(2, block_beats, ticket.blocks),
            ),
            # blocks·(beats of a block)
            If(step == 2,
                NextValue(ticket.stream_beats, product),
                *multiply(3, Mux(fused, 1, ticket.stream_groups), Mux(wide, ticket.m >> 1, ticket.m)),
            ),
            # rows·groups of results
            If(step == 3, *multiply(4, product, ticket.n)),
            # words of results
            If(step == 4,
                NextValue(result_bytes, product << 2),
                NextState("REGIONS"),
            ),
        )
        fsm.act("REGIONS",
            checks([
                refuse((weights_end > mem_beats) | (act_end > mem_beats) | (out_end > mem_beats), JobCode.MEMORY),
                refuse((ticket.weights_beat < out_end) & (ticket.out_beat < weights_end), JobCode.OVERLAP),
                refuse((ticket.act_beat < out_end) & (ticket.out_beat < act_end), JobCode.OVERLAP),
                refuse((sink.out_bytes >> beat_log2) < out_beats, JobCode.SPACE),
            ], NextState("SEND")),
        )
        fsm.act("SEND",
            source.valid.eq(1),
            If(source.ready,
                sink.ready.eq(1),
                NextState("IDLE"),
            ),
        )

