# SPDX-License-Identifier: BSD-2-Clause
"""Where the activations that arrive belong: row, word and group; after them once more for the shift table."""

from litex.gen import LiteXModule
from migen import Constant, If, Record, Signal, bits_for

from mixpe_gateware.contract.widths import log2
from mixpe_gateware.gemm.ticket import ticket_layout

FIELDS = ("m_last", "kwords", "kwords_last", "group_words_last", "groups", "groups_last")  # of a ticket


class Filling(LiteXModule):
    """Position of the beat that arrives, or of the byte of the shift table.

    Rows come one after the other, each in two beats a word (a beat of INT8 is half a word of D activations); then, in
    jobs with `shift`, each row's shifts, a byte a group.

    Parameters
    ----------
    config : Config
    address_bits : int
        Width of a beat address.

    Attributes
    ----------
    ticket : Record(ticket_layout(…, *FIELDS)), in
    take : Signal(), in
        A beat of activations is taken.
    take_byte : Signal(), in
        A byte of the shift table is taken.
    beat_ends : Signal(), in
        The beat is done with, however many of its bytes were taken.
    row : Signal, out
        Row of the tile.
    word : Signal(max=2·act_words), out
        Word counted from the first tile's first.
    upper : Signal(), out
        Second beat of its word.
    group : Signal(max=2·groups_max), out
        Group counted from the first tile's first.
    byte : Signal, out
        Of the beat.
    first, end_group, end_beat, end_all : Signal(), out
        The first beat of a group; with `take` or `take_byte` the last of a group, of a beat's bytes, of all rows.
    """

    def __init__(self, config, address_bits):
        self.ticket = ticket = Record(ticket_layout(config, address_bits, *FIELDS))
        rows_log2      = log2(config.rows)
        self.take      = Signal()
        self.take_byte = Signal()
        self.beat_ends = Signal()
        self.row       = Signal(max(1, rows_log2))
        self.word      = Signal(max=2*config.act_words)
        self.upper     = Signal()
        self.group     = Signal(max=2*config.groups_max)
        self.byte      = Signal(bits_for(config.beat_bytes))
        self.first     = Signal()
        self.end_group = Signal()
        self.end_beat  = Signal()
        self.end_all   = Signal()

        # # #

        row       = Signal(bits_for(config.k_max))
        word      = Signal(max=2*config.act_words)
        in_group  = Signal(max=2*config.act_words)
        group     = Signal(max=2*config.groups_max)
        tile_word = Signal(max=2*config.act_words)
        tile_sum  = Signal(max=2*config.groups_max)
        end_row   = Signal()
        take, take_byte = self.take, self.take_byte
        self.comb += [
            self.row.eq(row[:rows_log2] if rows_log2 else Constant(0)),
            self.word.eq(tile_word + word),
            self.group.eq(tile_sum + group),
            self.first.eq((in_group == 0) & ~self.upper),
            self.end_group.eq(take_byte | (take & self.upper & (in_group == ticket.group_words_last))),
            end_row.eq((take_byte & (group == ticket.groups_last))
                | (take & self.upper & (word == ticket.kwords_last))),
            self.end_beat.eq((take_byte & end_row) | (self.byte == config.beat_bytes - 1)),
            self.end_all.eq(end_row & (row == ticket.m_last)),
        ]
        self.sync += [
            If(take,
                self.upper.eq(~self.upper),
                If(self.upper, word.eq(word + 1), in_group.eq(in_group + 1)),
            ),
            If(take_byte, self.byte.eq(self.byte + 1)),
            If(self.beat_ends, self.byte.eq(0)),
            If(self.end_group, in_group.eq(0), group.eq(group + 1)),
            If(end_row,
                word.eq(0),
                group.eq(0),
                row.eq(row + 1),
                If(self.row == config.rows - 1,
                    tile_word.eq(tile_word + ticket.kwords),
                    tile_sum.eq(tile_sum + ticket.groups),
                ),
            ),
            If(self.end_all, row.eq(0), tile_word.eq(0), tile_sum.eq(0)),
        ]
