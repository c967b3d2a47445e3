# SPDX-License-Identifier: BSD-2-Clause
"""From group sums to memory.

    vectors of R sums ─┬─ partials ─────────────────────────────────► int32 ──┐
                       └─ S scalers ─► FIFO ─► pairs of A16 ─► FP32 ──────────┴─► packer ─► beats ─► writer ─► DRAM

The sequencer walks the same channels, tiles and groups as the array. Padded channels end here. Packer and writer are in
`writer.py`.
"""

from litex.gen import LiteXModule
from litex.soc.interconnect import stream
from migen import FSM, Array, Cat, If, Mux, NextState, Signal, bits_for

from mixpe_gateware.contract.config import CHANNELS_PER_BLOCK
from mixpe_gateware.contract.widths import GROUP_SUM_BITS, log2
from mixpe_gateware.gemm.scalers import Scalers
from mixpe_gateware.gemm.ticket import ticket_layout
from mixpe_gateware.stream.fanout import delayed
from mixpe_gateware.stream.writer import Packer

READ_CYCLES = 3  # of sums, row sums and scales: address, memory, register


class ResultSequencer(LiteXModule):
    """Take the vectors of group sums and make a job's results of them.

    Parameters
    ----------
    config : Config
    vectors : Endpoint([("sums", …)])
        From the array.
    activations : ActivationMemory
    weights : WeightStream
    address_bits : int
        Width of a beat address.

    Attributes
    ----------
    sink : Endpoint(ticket_layout(config, address_bits)), in
        Taken when the last result of the job was packed.
    source : Endpoint([("data", port_bits), ("end", 1)]), out
        Beats, then one entry with `end` for each job.
    """

    def __init__(self, config, vectors, activations, weights, address_bits):
        self.sink = sink = stream.Endpoint(ticket_layout(config, address_bits))
        count, slots = config.scalers, config.rows//config.scalers

        # # #

        self.packer = packer = Packer(config.port_bits)
        self.source = packer.source

        # Position -----------------------------------------------------------------------------------------------------
        group     = Signal.like(sink.stream_groups)
        act_group = Signal.like(sink.groups)
        tile      = Signal.like(sink.tiles_last)
        tile_sum  = Signal.like(sink.groups)
        lane      = Signal(bits_for(CHANNELS_PER_BLOCK - 1))
        entry     = Signal(bits_for(CHANNELS_PER_BLOCK*config.groups_max))  # first scale entry of the channel
        channel   = Signal.like(sink.n_last)
        row       = Signal(bits_for(config.rows))
        half      = Signal()                 # buffer of the activations
        scale_half = Signal()                # buffer of the scales
        rows      = Signal(bits_for(config.rows))
        exists    = Signal()
        at_end    = Signal()
        settled   = Signal()
        fused     = Signal()
        rows_step = Signal(bits_for(count))  # rows that leave together
        last_row, last_tile, last_group, end_channel, end_block, end_job = (Signal() for _ in range(6))
        ready     = Signal()  # what this row needs is free
        pop, step, running = Signal(), Signal(), Signal()
        self.comb += [
            fused.eq(sink.fused & config.fused),
            rows_step.eq(Mux(fused, count, 1)),
            step.eq(settled & vectors.valid & exists & ready),
            pop.eq(settled & vectors.valid & (~exists | (ready & last_row))),
            end_channel.eq(pop & last_group & last_tile),
            end_block.eq(end_channel & (lane == CHANNELS_PER_BLOCK - 1)),
            end_job.eq(end_block & at_end),
            vectors.ready.eq(pop),
        ]
        self.sync += [
            weights.block_done.eq(end_block),
            activations.release.eq(end_job),
            activations.release_both.eq(sink.double),
            # What follows from channel and tile settles in the cycle after they changed. All of these are registers:
            # hundreds of others move with `pop`.
            settled.eq(sink.valid & ~sink.skip & running & ~(pop & last_group)),
            If(~settled,
                last_row.eq(Mux(tile == sink.tiles_last, sink.last_rows, config.rows) <= rows_step),
                last_group.eq(sink.stream_groups_last == 0),
            ).Elif(pop,
                last_row.eq(rows <= rows_step),
                last_group.eq(group + 1 == sink.stream_groups_last),
            ).Elif(step,
                last_row.eq(row + (rows_step << 1) >= rows),
            ),
            last_tile.eq(tile == sink.tiles_last),
            rows.eq(Mux(tile == sink.tiles_last, sink.last_rows, config.rows)),
            exists.eq(channel <= sink.n_last),
            at_end.eq(channel >= sink.n_last),
            If(pop,
                row.eq(0),
                group.eq(group + 1),
                act_group.eq(act_group + 1),
                If(act_group == sink.groups_last, act_group.eq(0)),
                If(last_group,
                    group.eq(0),
                    act_group.eq(0),
                    tile.eq(tile + 1),
                    tile_sum.eq(tile_sum + sink.groups),
                ),
                If(end_channel,
                    tile.eq(0),
                    tile_sum.eq(0),
                    lane.eq(lane + 1),
                    channel.eq(channel + 1),
                    entry.eq(entry + sink.stream_groups),
                ),
                If(end_block, entry.eq(0), scale_half.eq(~scale_half)),
                If(end_job, channel.eq(0), half.eq(half ^ ~sink.double)),
            ).Elif(step,
                row.eq(row + rows_step),
            ),
        ]

        # Control ------------------------------------------------------------------------------------------------------
        empty = Signal()
        self.fsm = fsm = FSM(reset_state="RUN")
        fsm.act("RUN",
            running.eq(1),
            If(sink.valid,
                If(sink.skip,
                    NextState("END"),
                ).Elif(end_job,
                    NextState("DRAIN"),
                ),
            ),
        )
        fsm.act("DRAIN",
            If(empty, NextState("END")),
        )
        fsm.act("END",
            packer.sink.valid.eq(1),
            packer.sink.end.eq(1),
            If(packer.sink.ready,
                sink.ready.eq(1),
                NextState("RUN"),
            ),
        )

        # Partials: a row a cycle. -------------------------------------------------------------------------------------
        sums = []
        for index in range(config.rows):
            total = Signal((GROUP_SUM_BITS, True))
            self.comb += total.eq(vectors.sums[GROUP_SUM_BITS*index:GROUP_SUM_BITS*(index + 1)])
            sums.append(total)
        if config.is_shallow:
            chosen = packed = stream.Endpoint([("data", 32)])
        else:
            self.words = words = stream.Buffer([("data", 32)], pipe_ready=True)
            chosen, packed = words.sink, words.source
        total = Signal((GROUP_SUM_BITS, True))
        data  = Signal((32, True))
        self.comb += [
            total.eq(Array(sums)[row[:max(1, log2(config.rows))]] if config.rows > 1 else sums[0]),
            data.eq(total),
            chosen.data.eq(data),
            empty.eq(~packed.valid),
            If(~fused,
                ready.eq(chosen.ready),
                chosen.valid.eq(settled & vectors.valid & exists),
                If(~fsm.ongoing("END"),
                    packer.sink.valid.eq(packed.valid),
                    packer.sink.data.eq(packed.data),
                    packed.ready.eq(packer.sink.ready),
                ),
            ),
        ]
        if not config.fused:
            return

        # Fused: S rows a cycle; memories answer `READ_CYCLES` after the issue. ----------------------------------------
        self.scalers = scalers = Scalers(config)
        issue = Signal()
        slot  = Signal(max(1, log2(slots)))
        self.comb += [
            issue.eq(step & fused),
            slot.eq(row[log2(count):log2(config.rows)] if slots > 1 else 0),
            empty.eq(scalers.empty & ~packed.valid),
            scalers.issue_last.eq(issue & last_group),
            If(fused,
                ready.eq(~last_group | scalers.credit),
                If(~fsm.ongoing("END"),
                    packer.sink.valid.eq(scalers.source.valid),
                    packer.sink.data.eq(scalers.source.data),
                    scalers.source.ready.eq(packer.sink.ready),
                ),
            ),
        ]
        self.sync += [
            activations.sum_buffer.eq(half),
            activations.sum_address.eq((tile_sum + act_group)*slots + slot),
        ]
        for memory in (weights.scales, weights.zeros):
            self.sync += [
                memory.buffer.eq(scale_half),
                memory.entry.eq(entry + group),
            ]
        left    = Mux(rows - row > count, count, rows - row)[:bits_for(count)]
        control = delayed(self, Cat(issue, group == 0, last_group, sink.wide, sink.shift, left, slot), READ_CYCLES)
        aligned = Signal()
        self.comb += [
            Cat(scalers.valid, scalers.first, scalers.last, scalers.wide, aligned, scalers.rows, scalers.slot)
                .eq(control),
            scalers.scale.eq(weights.scales.value),
            scalers.zero.eq(weights.zeros.value),
        ]
        for index in range(count):
            # One of the vector's sums: of each four first, then of four of these.
            values, select = sums[index::count], slot
            for _ in range(READ_CYCLES):
                registers = [Signal((GROUP_SUM_BITS, True), reset_less=True) for _ in range(0, len(values), 4)]
                for four, register in enumerate(registers):
                    choices = values[4*four:4*four + 4]
                    self.sync += register.eq(Array(choices)[select[:2]] if len(choices) > 1 else choices[0])
                values = registers
                if len(select) > 2:
                    select = delayed(self, select[2:], 1)
            shift = Signal(4, reset_less=True)
            self.comb += [
                scalers.partials[index].eq(values[0]),
                scalers.shifts[index].eq(Mux(aligned, shift, 0)),
            ]
            self.sync += [
                scalers.row_sums[index].eq(activations.sums[index]),
                shift.eq(activations.shifts[index]),
            ]
