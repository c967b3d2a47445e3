# SPDX-License-Identifier: BSD-2-Clause
"""Finished rows of a channel: totals of S rows in, one FP32 a cycle out; the two rows of an A16 token become one.

    totals of S rows ─► FIFO ─► one row a cycle, or 256·hi + lo of two ─► FP32 ─► FIFO ─► source

Both FIFOs have their places taken in advance, so that nothing between them need wait: the conversion's hundreds of
registers have no common enable.
"""

from litex.gen import LiteXModule
from litex.soc.interconnect import stream
from migen import Array, If, Mux, Signal, bits_for

from mixpe_gateware.contract.reference import SCALE_UNIT_LOG2
from mixpe_gateware.contract.widths import total_bits, wide_bits
from mixpe_gateware.stream.credits import Credits
from mixpe_gateware.stream.fanout import delayed, register_stage
from mixpe_gateware.stream.float32 import IntegerToFloat32

FLOATS = 16  # results that wait behind the conversion: more than it has cycles


class FinishedRows(LiteXModule):
    """Totals to FP32.

    Throughput one result a cycle.

    Parameters
    ----------
    config : Config
    depth : int
        Entries of S totals that can wait.

    Attributes
    ----------
    valid : Signal(), in, with totals : Signal(S·total_bits(config)), rows : Signal(max=S+1) and wide : Signal(), in
        How many of the S rows exist, and whether two of them are a token of A16. No back-pressure but by `room`.
    take : Signal(), in
        Strobe: such an entry sets out; only while there is `room`, and before its `valid`.
    room : Signal(), out
    source : Endpoint([("data", 32)]), out
    empty : Signal(), out
        Nothing is on its way.
    """

    def __init__(self, config, depth):
        count = config.scalers
        bits  = total_bits(config)
        self.valid  = Signal()
        self.totals = Signal(count*bits)
        self.rows   = Signal(bits_for(count))
        self.wide   = Signal()
        self.take   = Signal()
        self.room   = Signal()
        self.source = stream.Endpoint([("data", 32)])
        self.empty  = Signal()

        # # #

        self.waiting = waiting = stream.SyncFIFO([("data", count*bits), ("rows", bits_for(count)), ("wide", 1)],
            depth)
        if config.is_shallow:
            source = waiting.source
        else:
            # What leaves is decided from registers, not from the FIFO's memory.
            self.oldest = oldest = register_stage(waiting.source.description)
            self.comb += waiting.source.connect(oldest.sink)
            source = oldest.source
        self.places   = places   = Credits(depth)
        self.to_float = to_float = IntegerToFloat32(wide_bits(config), SCALE_UNIT_LOG2)
        self.floats   = floats   = stream.SyncFIFO([("data", 32)], FLOATS)
        self.behind   = behind   = Credits(FLOATS)
        go    = Signal()
        value = Signal((wide_bits(config), True), reset_less=True)
        added = Signal((bits, True), reset_less=True)
        self.comb += [
            waiting.sink.valid.eq(self.valid),
            waiting.sink.data.eq(self.totals),
            waiting.sink.rows.eq(self.rows),
            waiting.sink.wide.eq(self.wide),
            places.take.eq(self.take),
            places.give.eq(source.valid & source.ready),
            self.room.eq(places.room),
            behind.take.eq(go),
            behind.give.eq(floats.source.valid & floats.source.ready),
            to_float.sink.valid.eq(delayed(self, go, 2)),
            to_float.source.connect(floats.sink, omit={"ready"}),
            to_float.source.ready.eq(1),
            floats.source.connect(self.source),
            self.empty.eq(places.whole & behind.whole),
        ]
        self.sync += to_float.sink.value.eq(value + added)
        rows = []
        for index in range(count):
            total = Signal((bits, True))
            self.comb += total.eq(source.data[bits*index:bits*(index + 1)])
            rows.append(total)
        (self._one_by_one if count == 1 else self._row_by_row)(source, rows, behind.room, go, value, added)

    def _one_by_one(self, source, rows, room, go, value, added):
        """The rows of a pair come one after the other."""
        high = Signal.like(rows[0], reset_less=True)
        have = Signal()
        self.comb += [
            go.eq(source.valid & room & (~source.wide | have)),
            source.ready.eq(room),
        ]
        self.sync += [
            value.eq(Mux(source.wide, high << 8, rows[0])),
            added.eq(Mux(source.wide, rows[0], 0)),
            If(source.valid & source.ready,
                have.eq(source.wide & ~have),
                high.eq(rows[0]),
            ),
        ]

    def _row_by_row(self, source, rows, room, go, value, added):
        """Rows of an entry leave one a cycle, or two that are a pair."""
        count = len(rows)
        row   = Signal(max=count)
        step  = Signal(2)
        pair  = Array([rows[min(index + 1, count - 1)] for index in range(count)])
        self.comb += [
            step.eq(Mux(source.wide, 2, 1)),
            go.eq(source.valid & room),
            source.ready.eq(room & (row + step >= source.rows)),
        ]
        self.sync += [
            value.eq(Mux(source.wide, Array(rows)[row] << 8, Array(rows)[row])),
            added.eq(Mux(source.wide, pair[row], 0)),
            If(go,
                row.eq(row + step),
                If(source.ready, row.eq(0)),
            ),
        ]
