# SPDX-License-Identifier: BSD-2-Clause
"""What follows from a job's shape: counts of tiles, words and groups for its ticket, and sizes of its regions."""

from litex.gen import LiteXModule
from migen import If, Mux, Signal, bits_for

from mixpe_gateware.contract.config import CHANNELS_PER_BLOCK, GROUP_SIZES
from mixpe_gateware.contract.descriptor import (
    FLAG_FUSED,
    FLAG_PLANES,
    FLAG_SHIFT,
    FLAG_WIDE,
    FLAGS,
    FORM,
    GROUP_CODE_K,
)
from mixpe_gateware.contract.layout import FACTORS, MINIMA, SCALES, ZEROS
from mixpe_gateware.contract.scaling import SUPERBLOCK_GROUPS, TWO_LEVEL_GROUP, Form
from mixpe_gateware.contract.widths import log2


class Shape(LiteXModule):
    """Derive a ticket from a descriptor's registers.

    Latency 2 cycles to all of a ticket, 3 to the sizes in beats; the descriptor stays until its ticket was taken.

    Parameters
    ----------
    config : Config
    descriptor : Descriptor
        Whose outputs are read.
    ticket : Record
        Payload of `ticket_layout` whose fields of shape are driven.

    Attributes
    ----------
    fused, wide, shift, planes : Signal(), out
        The flags.
    bad_group, bad_k : Signal(), out
        No such group size, or none of the form; k is no multiple of group (superblock) and lanes.
    tiles, blocks : Signal, out
        Row tiles and blocks of eight channels.
    block_beats, row_beats : Signal, out
        Beats of a block of the weight stream, and of a row of activations with its shifts.
    """

    def __init__(self, config, descriptor, ticket):
        n, k, m, flags = descriptor.n, descriptor.k, descriptor.m, descriptor.flags
        self.fused     = (flags & FLAG_FUSED)  != 0
        self.wide      = (flags & FLAG_WIDE)   != 0
        self.shift     = (flags & FLAG_SHIFT)  != 0
        self.planes    = (flags & FLAG_PLANES) != 0
        self.bad_group = Signal()
        self.bad_k     = Signal()
        self.tiles     = Signal(bits_for(config.k_max))
        self.blocks    = Signal.like(ticket.blocks_last)
        self.block_beats = Signal(len(ticket.kwords) + 6)
        self.row_beats   = Signal(len(ticket.kwords) + 2)

        # # #

        # Groups. ------------------------------------------------------------------------------------------------------
        field       = FLAGS.field("group")
        code        = flags[field.lsb:field.msb + 1]
        lanes_log2  = log2(config.lanes)
        ragged      = Signal()
        groups      = Signal(bits_for(config.k_max))
        group_words = Signal.like(ticket.kwords)
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

        # Counts, then the index of each last one. ---------------------------------------------------------------------
        rows_log2 = log2(config.rows)
        self.sync += [
            ticket.fused.eq(self.fused),
            ticket.wide.eq(self.wide),
            ticket.shift.eq(self.shift),
            ticket.n_last.eq(n - 1),
            ticket.m_last.eq(m - 1),
            self.blocks.eq((n + CHANNELS_PER_BLOCK - 1) >> log2(CHANNELS_PER_BLOCK)),
            self.tiles.eq((m + config.rows - 1) >> rows_log2),
            ticket.last_rows.eq(Mux(m[:rows_log2] == 0, config.rows, m[:rows_log2]) if rows_log2 else 1),
            ticket.kwords.eq(k >> lanes_log2),
            ticket.group_words_last.eq(group_words - 1),
            ticket.groups.eq(groups),
            ticket.stream_words.eq(Mux(self.planes, k[lanes_log2:] << 1, k[lanes_log2:])),
            ticket.stream_groups.eq(Mux(self.planes, groups << 1, groups)),
            self.bad_group.eq((code >= len(GROUP_SIZES)) & (code != GROUP_CODE_K)),
            self.bad_k.eq(ragged),
            ticket.blocks_last.eq(self.blocks - 1),
            ticket.tiles_last.eq(self.tiles - 1),
            ticket.kwords_last.eq(ticket.kwords - 1),
            ticket.groups_last.eq(ticket.groups - 1),
            ticket.stream_words_last.eq(ticket.stream_words - 1),
            ticket.stream_groups_last.eq(ticket.stream_groups - 1),
        ]

        # Sizes. They have settled when they are used: the multiplier takes longer. ------------------------------------
        beat_log2   = log2(config.beat_bytes)
        scale_beats = Signal(len(ticket.groups) + 4)
        zero_beats  = Signal(len(ticket.groups) + (5 if config.minima else 3))
        table_beats = Signal.like(ticket.groups)
        self.comb += [
            scale_beats.eq(SCALES.beats(ticket.stream_groups, config)),
            zero_beats.eq(ZEROS.beats(ticket.stream_groups, config)),
            table_beats.eq((ticket.groups + config.beat_bytes - 1) >> beat_log2),
        ]
        if config.minima:
            self._add_forms(config, descriptor, ticket, code, ragged, scale_beats, zero_beats)
        self.sync += [
            self.block_beats.eq(scale_beats + zero_beats + (ticket.stream_words << log2(CHANNELS_PER_BLOCK))),
            self.row_beats.eq(Mux(self.shift, table_beats, 0) + (ticket.kwords << 1)),
        ]

    def _add_forms(self, config, descriptor, ticket, code, ragged, scale_beats, other_beats):
        """What is different in the forms with real minima; `other_beats` are those between scales and weights."""
        k, form      = descriptor.k, descriptor.flags[FORM.lsb:FORM.msb + 1]
        fine, coarse = ticket.stream_groups, ticket.stream_groups[log2(SUPERBLOCK_GROUPS):]
        two_level    = Signal()
        self.comb += [
            two_level.eq(form == Form.TWO_LEVEL),
            If(form == Form.MINIMUM,
                other_beats.eq(MINIMA.beats(fine, config)),
            ),
            If(two_level,
                scale_beats.eq(SCALES.beats(coarse, config)),
                other_beats.eq(MINIMA.beats(coarse, config) + FACTORS.beats(fine, config)),
                If(k[:log2(TWO_LEVEL_GROUP*SUPERBLOCK_GROUPS)] != 0, ragged.eq(1)),
            ),
        ]
        self.sync += [
            ticket.form.eq(form),
            If(two_level & (code != GROUP_SIZES.index(TWO_LEVEL_GROUP)), self.bad_group.eq(1)),
        ]
