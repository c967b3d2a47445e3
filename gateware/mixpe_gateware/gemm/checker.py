# SPDX-License-Identifier: BSD-2-Clause
"""Checker: descriptors in, checked tickets out.

    queue ──► words, one a cycle ──► shape ──► multiplier: regions ──► ticket ──► activations, weights, array, results

The checker makes the checks of `contract.jobs.check_job`, and where several fail it finds the same one first; a job
that fails passes through as a ticket with `skip`, so that it ends in its turn with its code and touches nothing.
"""

from litex.gen import LiteXModule
from litex.soc.interconnect import stream
from migen import FSM, Case, Cat, If, Mux, NextState, NextValue, Signal, bits_for

from mixpe_gateware.contract.config import CHANNELS_PER_BLOCK, GROUP_MIN, GROUP_SIZES, N_LIMIT
from mixpe_gateware.contract.descriptor import (
    FLAG_BITS,
    FLAG_FUSED,
    FLAG_PLANES,
    FLAG_SHIFT,
    FLAG_WIDE,
    FLAGS,
    GROUP_CODE_K,
    INDEX,
    SLOT_WORDS,
)
from mixpe_gateware.contract.jobs import JobCode
from mixpe_gateware.contract.layout import SCALES, ZEROS
from mixpe_gateware.contract.widths import log2
from mixpe_gateware.control.multiplier import Multiplier
from mixpe_gateware.gemm.ticket import ticket_layout


class JobChecker(LiteXModule):
    """Check descriptors and derive tickets.

    Latency about 150 cycles a job, mostly a bit-serial multiplier; it runs while earlier jobs do.

    Parameters
    ----------
    config : Config
    mem_bytes : int
        Size of the memory that addresses are checked against.
    address_bits : int
        Width of a beat address.

    Attributes
    ----------
    valid : Signal(), in; index : Signal(max=SLOT_WORDS), out; value : Signal(32), in; pop : Signal(), out
        Of a `JobQueue`.
    source : Endpoint(ticket_layout(config, address_bits)), out
    now : Signal(32), in
        Free-running time stamp in cycles.
    """

    def __init__(self, config, mem_bytes, address_bits):
        self.valid  = Signal()
        self.index  = Signal(max=SLOT_WORDS)
        self.value  = Signal(32)
        self.pop    = Signal()
        self.source = source = stream.Endpoint(ticket_layout(config, address_bits))
        self.now    = Signal(32)

        # # #

        lanes_log2 = log2(config.lanes)
        rows_log2  = log2(config.rows)
        beat_log2  = log2(config.beat_bytes)
        mem_beats  = mem_bytes//config.beat_bytes
        size_bits  = address_bits + 2                       # of a region's size or end in beats
        words_bits = max(size_bits + 3, len(source.kwords) + 1)  # of the products; results are counted in words
        ticket     = source.payload

        # Words arrive two cycles after their index: memory, register. -------------------------------------------------
        fetching = Signal(3)
        which    = Signal(max=SLOT_WORDS)
        which_d  = Signal(max=SLOT_WORDS)
        word     = Signal(32)
        self.sync += [
            word.eq(self.value),
            which.eq(self.index),
            which_d.eq(which),
        ]
        n, k, m = Signal(bits_for(N_LIMIT)), Signal(bits_for(config.k_max)), Signal(bits_for(config.k_max))
        flags   = Signal(FLAG_BITS)
        space   = Signal(size_bits)   # of the result buffer in beats, or the largest number
        bad_flags, bad_shape, misaligned, outside = (Signal() for _ in range(4))
        beats   = Signal(32 - beat_log2)
        over    = Signal()
        def address(bits):
            return [NextValue(misaligned, misaligned | (word[:beat_log2] != 0)),
                NextValue(outside, outside | (beats >> bits != 0))]
        shape   = NextValue(bad_shape, bad_shape | (word == 0) | over)
        self.comb += [
            beats.eq(word[beat_log2:]),
            over.eq(word > Mux(which_d == INDEX["n"], N_LIMIT, config.k_max)),
        ]
        arrived = {
            "weights_addr": [NextValue(ticket.weights_beat, beats), *address(address_bits)],
            "act_addr":     [NextValue(ticket.act_beat, beats), *address(address_bits + config.inbox_bits)],
            "out_addr":     [NextValue(ticket.out_beat, beats), *address(address_bits)],
            "n":            [NextValue(n, word), shape],
            "k":            [NextValue(k, word), shape],
            "m":            [NextValue(m, word), shape],
            "flags":        [NextValue(flags, word), NextValue(bad_flags, word[FLAG_BITS:] != 0)],
            "out_bytes":    [NextValue(space, Mux(beats >> size_bits != 0, (1 << size_bits) - 1, beats))],
        }
        last_word = max(INDEX[name] for name in arrived)

        # Shape --------------------------------------------------------------------------------------------------------
        fused  = (flags & FLAG_FUSED)  != 0
        wide   = (flags & FLAG_WIDE)   != 0
        shift  = (flags & FLAG_SHIFT)  != 0
        planes = (flags & FLAG_PLANES) != 0
        group  = FLAGS.field("group")
        code   = flags[group.lsb:group.msb + 1]
        bad_group, bad_k, ragged = Signal(), Signal(), Signal()
        groups      = Signal(bits_for(config.k_max))
        group_words = Signal.like(ticket.kwords)
        tiles       = Signal(bits_for(config.k_max))
        blocks      = Signal.like(ticket.blocks_last)
        self.comb += [
            ragged.eq(k[:lanes_log2] != 0),
            groups.eq(1),
            group_words.eq(k >> lanes_log2),
        ]
        for index, size in enumerate(GROUP_SIZES):
            self.comb += If(code == index,
                groups.eq(k >> log2(size)),
                group_words.eq(size >> lanes_log2),
                If(k[:log2(size)] != 0, ragged.eq(1)),
            )

        # Regions, in beats --------------------------------------------------------------------------------------------
        self.multiplier = multiplier = Multiplier(words_bits, bits_for(N_LIMIT))
        scale_beats = Signal(len(ticket.groups) + 4)
        zero_beats  = Signal(len(ticket.groups) + 3)
        block_beats = Signal(len(ticket.kwords) + 6)
        table_beats = Signal.like(ticket.groups)
        row_beats   = Signal(len(ticket.kwords) + 2)
        start       = Signal(address_bits + config.inbox_bits)
        size        = Signal(size_bits)
        end         = Signal(size_bits)
        fits        = Signal()
        fits_inbox  = Signal()
        act_end, weights_end, out_beats = Signal(size_bits), Signal(size_bits), Signal(size_bits)
        over_weights, over_acts, over_space = Signal(), Signal(), Signal()
        self.comb += [
            scale_beats.eq(SCALES.beats(ticket.stream_groups, config)),
            zero_beats.eq(ZEROS.beats(ticket.stream_groups, config)),
            table_beats.eq((ticket.groups + config.beat_bytes - 1) >> beat_log2),
        ]
        self.sync += [
            # These have settled when they are used: the multiplier takes longer.
            block_beats.eq(scale_beats + zero_beats + (ticket.stream_words << log2(CHANNELS_PER_BLOCK))),
            row_beats.eq(Mux(shift, table_beats, 0) + (ticket.kwords << 1)),
            fits.eq(end <= mem_beats),
            *([fits_inbox.eq((start >= mem_beats) & (end <= mem_beats + config.inbox_bytes//config.beat_bytes))]
                if config.inbox_bytes else []),
            over_weights.eq((ticket.weights_beat < end) & (ticket.out_beat < weights_end)),
            over_acts.eq((ticket.act_beat < end) & (ticket.out_beat < act_end)),
            over_space.eq(space < out_beats),
        ]
        result_beats = Signal(words_bits + 1)
        if config.port_bits <= 32:
            self.comb += result_beats.eq(multiplier.product << log2(32//config.port_bits))
        else:
            words_log2 = log2(config.port_bits//32)
            self.comb += result_beats.eq((multiplier.product + (1 << words_log2) - 1) >> words_log2)

        # Control ------------------------------------------------------------------------------------------------------
        def refuse(condition, job_code):
            return (condition, [NextValue(ticket.skip, 1), NextValue(ticket.code, job_code), NextState("SEND")])

        def checks(tests, *passed):
            chain = If(tests[0][0], *tests[0][1])
            for condition, action in tests[1:]:
                chain = chain.Elif(condition, *action)
            return chain.Else(*passed)

        def multiply(index, value_a, value_b):
            return [multiplier.a.eq(value_a), multiplier.b.eq(value_b), multiplier.start.eq(1), NextValue(step, index),
                NextState("MULTIPLY")]

        def region(first, beats_too_many, size_beats):
            """Take in a region and see whether it ends in the memory."""
            return [NextValue(start, first), NextValue(size, size_beats),
                NextValue(outside, outside | multiplier.overflow | beats_too_many), NextState("END")]

        step = Signal(3)
        product = multiplier.product
        self.fsm = fsm = FSM(reset_state="IDLE")
        fsm.act("IDLE",
            NextValue(ticket.start, self.now),
            NextValue(ticket.skip, 0),
            NextValue(ticket.code, JobCode.OK),
            *[NextValue(flag, 0) for flag in (bad_shape, misaligned, outside, self.index)],
            NextValue(fetching, 0),
            If(self.valid, NextState("FETCH")),
        )
        fsm.act("FETCH",
            NextValue(self.index, self.index + 1),
            NextValue(fetching, Cat(1, fetching[:2])),
            If(fetching[1], Case(which_d, {INDEX[name]: action for name, action in arrived.items()})),
            If(fetching[1] & (which_d == last_word), NextState("FLAGS")),
        )
        fsm.act("FLAGS",
            NextValue(ticket.fused,            fused),
            NextValue(ticket.wide,             wide),
            NextValue(ticket.shift,            shift),
            NextValue(ticket.n_last,           n - 1),
            NextValue(ticket.m_last,           m - 1),
            NextValue(blocks,                  (n + CHANNELS_PER_BLOCK - 1) >> log2(CHANNELS_PER_BLOCK)),
            NextValue(tiles,                   (m + config.rows - 1) >> rows_log2),
            NextValue(ticket.last_rows,        Mux(m[:rows_log2] == 0, config.rows, m[:rows_log2])
                if rows_log2 else 1),
            NextValue(ticket.kwords,           k >> lanes_log2),
            NextValue(ticket.group_words_last, group_words - 1),
            NextValue(ticket.groups,           groups),
            NextValue(ticket.stream_words,     Mux(planes, k[lanes_log2:] << 1, k[lanes_log2:])),
            NextValue(ticket.stream_groups,    Mux(planes, groups << 1, groups)),
            NextValue(bad_group,               (code >= len(GROUP_SIZES)) & (code != GROUP_CODE_K)),
            NextValue(bad_k,                   ragged),
            checks([
                refuse(bad_flags | (fused & (not config.fused)) | ((wide | shift) & ~fused), JobCode.UNSUPPORTED),
                refuse(bad_shape | (k < GROUP_MIN) | (wide & (m[0] | (config.rows % 2))), JobCode.SHAPE),
            ], NextState("SHAPE")),
        )
        fsm.act("SHAPE",
            NextValue(ticket.blocks_last,        blocks - 1),
            NextValue(ticket.tiles_last,         tiles - 1),
            NextValue(ticket.kwords_last,        ticket.kwords - 1),
            NextValue(ticket.groups_last,        ticket.groups - 1),
            NextValue(ticket.stream_words_last,  ticket.stream_words - 1),
            NextValue(ticket.stream_groups_last, ticket.stream_groups - 1),
            checks([
                refuse(bad_group, JobCode.GROUP),
                refuse(bad_k, JobCode.SHAPE),
                refuse(ticket.stream_groups > config.groups_max, JobCode.GROUP),
            ], *multiply(0, tiles, ticket.kwords)),
        )
        fsm.act("MULTIPLY",
            If(~multiplier.busy, NextState("USE")),
        )
        fsm.act("USE", Case(step, {
            # tiles·kwords
            0: [
                NextValue(ticket.double, product > config.act_words),
                checks([
                    refuse(multiplier.overflow | (product > 2*config.act_words), JobCode.ROWS),
                    refuse((tiles > 1) & (ticket.stream_words > config.buffer_beats), JobCode.ROWS),
                    refuse(misaligned, JobCode.ALIGN),
                ], *multiply(1, row_beats, m)),
            ],
            # m·(beats of a row and its shifts)
            1: [
                NextValue(ticket.act_beats, product),
                *region(ticket.act_beat, product >> address_bits + 1 != 0, product),
            ],
            # blocks·(beats of a block)
            2: [
                NextValue(ticket.stream_beats, product),
                *region(ticket.weights_beat, product >> address_bits + 1 != 0, product),
            ],
            # rows·groups of results
            3: [
                NextValue(outside, outside | multiplier.overflow),
                *multiply(4, product, n),
            ],
            # words of results
            4: [
                NextValue(out_beats, result_beats),
                *region(ticket.out_beat, result_beats >> address_bits + 1 != 0, result_beats),
            ],
        }))
        fsm.act("END",
            NextValue(end, start + size),
            NextState("SETTLE"),
        )
        fsm.act("SETTLE",
            NextState("REGION"),
        )
        fsm.act("REGION",
            checks([
                refuse(outside | ~(fits | (fits_inbox & (step == 1))), JobCode.MEMORY),
                (step == 1, [NextValue(act_end, end), *multiply(2, block_beats, blocks)]),
                (step == 2, [NextValue(weights_end, end),
                    *multiply(3, Mux(fused, 1, ticket.stream_groups), Mux(wide, m >> 1, m))]),
                refuse(over_weights | over_acts, JobCode.OVERLAP),
                refuse(over_space, JobCode.SPACE),
            ], NextState("SEND")),
        )
        fsm.act("SEND",
            source.valid.eq(1),
            If(source.ready,
                self.pop.eq(1),
                NextState("LEAVE"),
            ),
        )
        fsm.act("LEAVE",
            # The queue shows one cycle late that it was popped.
            NextState("IDLE"),
        )
