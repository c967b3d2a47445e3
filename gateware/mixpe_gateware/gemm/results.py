# SPDX-License-Identifier: BSD-2-Clause
"""From group sums to beats of results.

    vectors of R sums ─┬─ partials ─────────────────────────────────► int32 ──┐
                       └─ S scalers ─► FIFO ─► pairs of A16 ─► FP32 ──────────┴─► packer ─► beats ─► writer ─► DRAM

The sequencer walks the same channels, tiles and groups as the array (`gemm.walk`). Padded channels end here. Packer and
writer are in `stream.writer`.
"""

from litex.gen import LiteXModule
from litex.soc.interconnect import stream
from migen import FSM, Array, If, Mux, NextState, Signal

from mixpe_gateware.contract.widths import GROUP_SUM_BITS, log2
from mixpe_gateware.gemm.fused import FusedResults
from mixpe_gateware.gemm.ticket import hand_on, ticket_layout
from mixpe_gateware.gemm.walk import FIELDS as WALK_FIELDS
from mixpe_gateware.gemm.walk import ResultWalk
from mixpe_gateware.stream.writer import Packer

FIELDS = (*WALK_FIELDS, "skip", "fused", "wide", "shift", "form")  # of a ticket


class ResultSequencer(LiteXModule):
    """Take the vectors of group sums and make a job's results of them.

    Parameters
    ----------
    config : Config
    address_bits : int
        Width of a beat address.

    Attributes
    ----------
    sink : Endpoint(ticket_layout(config, address_bits, *FIELDS)), in
        Taken when the last result of the job was packed.
    vectors : Endpoint([("sums", R·GROUP_SUM_BITS)]), in
        From the array.
    source : Endpoint([("data", port_bits), ("end", 1)]), out
        Beats, then one entry with `end` for each job.
    block_done : Signal(), out
        Strobe: the oldest block's scales are done with.
    release, release_both : Signal(), out
        Strobe: the oldest job's activations are done with, in one buffer or both.
    lookup : FusedResults or None
        Its ports to the row sums, shifts and scales; None without fused mode.
    """

    def __init__(self, config, address_bits):
        self.sink    = sink = stream.Endpoint(ticket_layout(config, address_bits, *FIELDS))
        self.vectors = vectors = stream.Endpoint([("sums", config.rows*GROUP_SUM_BITS)])
        self.block_done   = Signal()
        self.release      = Signal()
        self.release_both = Signal()

        # # #

        self.packer = packer = Packer(config.port_bits)
        self.source = packer.source
        self.walk   = walk = ResultWalk(config, address_bits)
        fused, running, empty = Signal(), Signal(), Signal()
        self.comb += [
            fused.eq(sink.fused & config.fused),
            *hand_on(sink, walk.ticket),
            walk.valid.eq(sink.valid & ~sink.skip & running),
            walk.vector.eq(vectors.valid),
            walk.rows_step.eq(Mux(fused, config.scalers, 1)),
            vectors.ready.eq(walk.pop),
        ]
        self.sync += [
            self.block_done.eq(walk.end_block),
            self.release.eq(walk.end_job),
            self.release_both.eq(sink.double),
        ]

        # A job's results, then its end. -------------------------------------------------------------------------------
        self.fsm = fsm = FSM(reset_state="RUN")
        fsm.act("RUN",
            running.eq(1),
            If(sink.valid,
                If(sink.skip,
                    NextState("END"),
                ).Elif(walk.end_job,
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

        # One of two ways to the packer. -------------------------------------------------------------------------------
        partials, packed = self._add_partials(config)
        self.lookup = self._add_fused(config, fused) if config.fused else None
        self.comb += [
            empty.eq(~packed.valid & (self.lookup.empty if config.fused else 1)),
            If(~fused,
                walk.ready.eq(partials.ready),
                partials.valid.eq(walk.settled & vectors.valid & walk.exists),
            ),
        ]
        chosen = {0: packed, **({1: self.lookup.source} if config.fused else {})}
        for value, results in chosen.items():
            self.comb += If((fused == value) & ~fsm.ongoing("END"),
                packer.sink.valid.eq(results.valid),
                packer.sink.data.eq(results.data),
                results.ready.eq(packer.sink.ready),
            )

    def _add_partials(self, config):
        """Partial sums, a row a cycle: the stream that takes them, and where they come out."""
        sums = []
        for row in range(config.rows):
            total = Signal((GROUP_SUM_BITS, True))
            self.comb += total.eq(self.vectors.sums[GROUP_SUM_BITS*row:GROUP_SUM_BITS*(row + 1)])
            sums.append(total)
        total = Signal((GROUP_SUM_BITS, True))
        data  = Signal((32, True))
        if config.is_shallow:
            sink = source = stream.Endpoint([("data", 32)])
        else:
            self.words = words = stream.Buffer([("data", 32)], pipe_ready=True)
            sink, source = words.sink, words.source
        self.comb += [
            total.eq(Array(sums)[self.walk.row[:max(1, log2(config.rows))]] if config.rows > 1 else sums[0]),
            data.eq(total),
            sink.data.eq(data),
        ]
        return sink, source

    def _add_fused(self, config, fused):
        """Dequantised results, S rows a cycle."""
        walk, sink = self.walk, self.sink
        self.scaling = scaling = FusedResults(config)
        self.comb += [
            scaling.issue.eq(walk.step & fused),
            scaling.first_group.eq(walk.first_group),
            scaling.last_group.eq(walk.last_group),
            scaling.wide.eq(sink.wide),
            scaling.aligned.eq(sink.shift),
            scaling.row.eq(walk.row),
            scaling.rows.eq(walk.rows),
            scaling.sums.eq(self.vectors.sums),
            scaling.sum_entry.eq(walk.tile_sum + walk.act_group),
            scaling.scale_entry.eq(walk.entry + walk.group),
            scaling.act_half.eq(walk.act_half),
            scaling.scale_half.eq(walk.scale_half),
            If(fused, walk.ready.eq(~walk.last_group | scaling.room)),
        ]
        if config.minima:
            self.comb += scaling.form.eq(sink.form)
        return scaling
