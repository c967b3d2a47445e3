# SPDX-License-Identifier: BSD-2-Clause
"""Where the results are: the same channels, tiles and groups as the array walks, and the rows of each vector."""

from litex.gen import LiteXModule
from migen import If, Mux, Record, Signal, bits_for

from mixpe_gateware.contract.config import CHANNELS_PER_BLOCK
from mixpe_gateware.gemm.ticket import ticket_layout

FIELDS = ("double", "tiles_last", "last_rows", "groups", "groups_last", "stream_groups", "stream_groups_last",
    "n_last")  # of a ticket


class ResultWalk(LiteXModule):
    """Position of the oldest vector of group sums, and of the next row in it.

    Throughput one row, or S rows that leave together, a cycle; a cycle more for each channel and tile, in which what
    follows from them settles.

    Parameters
    ----------
    config : Config
    address_bits : int
        Width of a beat address.

    Attributes
    ----------
    ticket : Record(ticket_layout(…, *FIELDS)), in; valid : Signal(), in
        A job is there and not skipped; its results are being taken.
    vector : Signal(), in
        There is a vector.
    ready : Signal(), in
        What the row (or S rows) needs is free.
    rows_step : Signal, in
        Rows that leave together: 1 or S.
    settled, exists : Signal(), out
        Position and what follows from it are right; the channel is no padding.
    step, pop : Signal(), out
        A row, or S rows, leave; the vector is done with.
    row, rows : Signal, out
        Next row, and rows of this tile.
    first_group, last_group : Signal(), out
    group, act_group, tile_sum, entry : Signal, out
        Group of the stream and of the activations, first row sum of the tile, first scale entry of the channel.
    act_half, scale_half : Signal(), out
        Which buffers of activations and scales they are in.
    end_block, end_job : Signal(), out
        Strobes: the last row of a block or job leaves.
    """

    def __init__(self, config, address_bits):
        self.ticket = ticket = Record(ticket_layout(config, address_bits, *FIELDS))
        self.valid       = Signal()
        self.vector      = Signal()
        self.ready       = Signal()
        self.rows_step   = Signal(bits_for(config.scalers))
        self.settled     = Signal()
        self.exists      = Signal()
        self.step        = Signal()
        self.pop         = Signal()
        self.row         = Signal(bits_for(config.rows))
        self.rows        = Signal(bits_for(config.rows))
        self.first_group = Signal()
        self.last_group  = Signal()
        self.group       = Signal.like(ticket.stream_groups)
        self.act_group   = Signal.like(ticket.groups)
        self.tile_sum    = Signal.like(ticket.groups)
        self.entry       = Signal(bits_for(CHANNELS_PER_BLOCK*config.groups_max))
        self.act_half    = Signal()
        self.scale_half  = Signal()
        self.end_block   = Signal()
        self.end_job     = Signal()

        # # #

        tile    = Signal.like(ticket.tiles_last)
        lane    = Signal(bits_for(CHANNELS_PER_BLOCK - 1))
        channel = Signal.like(ticket.n_last)
        at_end, last_row, last_tile, end_channel = (Signal() for _ in range(4))
        step, pop = self.step, self.pop
        self.comb += [
            step.eq(self.settled & self.vector & self.exists & self.ready),
            pop.eq(self.settled & self.vector & (~self.exists | (self.ready & last_row))),
            self.first_group.eq(self.group == 0),
            end_channel.eq(pop & self.last_group & last_tile),
            self.end_block.eq(end_channel & (lane == CHANNELS_PER_BLOCK - 1)),
            self.end_job.eq(self.end_block & at_end),
        ]
        rows_here = Signal.like(self.rows)
        self.comb += rows_here.eq(Mux(tile == ticket.tiles_last, ticket.last_rows, config.rows))
        self.sync += [
            # What follows from channel and tile settles in the cycle after they changed. All of these are registers:
            # hundreds of others move with `pop`.
            self.settled.eq(self.valid & ~(pop & self.last_group)),
            If(~self.settled,
                last_row.eq(rows_here <= self.rows_step),
                self.last_group.eq(ticket.stream_groups_last == 0),
            ).Elif(pop,
                last_row.eq(self.rows <= self.rows_step),
                self.last_group.eq(self.group + 1 == ticket.stream_groups_last),
            ).Elif(step,
                last_row.eq(self.row + (self.rows_step << 1) >= self.rows),
            ),
            last_tile.eq(tile == ticket.tiles_last),
            self.rows.eq(rows_here),
            self.exists.eq(channel <= ticket.n_last),
            at_end.eq(channel >= ticket.n_last),
            If(pop,
                self.row.eq(0),
                self.group.eq(self.group + 1),
                self.act_group.eq(self.act_group + 1),
                If(self.act_group == ticket.groups_last, self.act_group.eq(0)),
                If(self.last_group,
                    self.group.eq(0),
                    self.act_group.eq(0),
                    tile.eq(tile + 1),
                    self.tile_sum.eq(self.tile_sum + ticket.groups),
                ),
                If(end_channel,
                    tile.eq(0),
                    self.tile_sum.eq(0),
                    lane.eq(lane + 1),
                    channel.eq(channel + 1),
                    self.entry.eq(self.entry + ticket.stream_groups),
                ),
                If(self.end_block, self.entry.eq(0), self.scale_half.eq(~self.scale_half)),
                If(self.end_job, channel.eq(0), self.act_half.eq(self.act_half ^ ~ticket.double)),
            ).Elif(step,
                self.row.eq(self.row + self.rows_step),
            ),
        ]
