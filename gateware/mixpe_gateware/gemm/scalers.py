# SPDX-License-Identifier: BSD-2-Clause
"""Scale-accumulate units side by side, and what follows them up to FP32."""

from litex.gen import LiteXModule
from litex.soc.interconnect import stream
from migen import Array, Cat, If, Mux, Signal, bits_for

from mixpe_gateware.contract.reference import SCALE_UNIT_LOG2
from mixpe_gateware.contract.widths import GROUP_SUM_BITS, ROW_SUM_BITS, TOTAL_BITS, WIDE_BITS
from mixpe_gateware.gemm.scaler import ScaleUnit
from mixpe_gateware.stream.credits import places
from mixpe_gateware.stream.fanout import delayed, register_stage
from mixpe_gateware.stream.float32 import IntegerToFloat32

FLOATS = 16  # results that wait behind the conversion: more than it has cycles


class Scalers(LiteXModule):
    """S scale-accumulate units side by side, and what follows them up to FP32.

    Attributes
    ----------
    valid, first, last : Signal(), in; slot : Signal(max=R/S), in; partials : list of S Signal, in
        Group sums of rows slot·S … slot·S + S−1. Row sums, scale, zero and shift belong to the same cycle.
    rows : Signal(max=S+1), in
        How many of the S rows exist.
    wide : Signal(), in
    credit : Signal(), out
        A group with `last` may be issued.
    issue_last : Signal(), in
        One is being issued; it may arrive later.
    source : Endpoint([("data", 32)]), out
    empty : Signal(), out
        Nothing is on its way.
    """

    def __init__(self, config):
        count = config.scalers
        slots = config.rows//count
        self.valid    = Signal()
        self.first    = Signal()
        self.last     = Signal()
        self.slot     = Signal(max=max(2, slots))
        self.partials = [Signal((GROUP_SUM_BITS, True)) for _ in range(count)]
        self.row_sums = [Signal((ROW_SUM_BITS, True), reset_less=True) for _ in range(count)]
        self.shifts   = [Signal(4) for _ in range(count)]
        self.zero     = Signal(4)
        self.scale    = Signal(16)
        self.rows     = Signal(bits_for(count))
        self.wide     = Signal()
        self.credit     = Signal()
        self.issue_last = Signal()
        self.source   = stream.Endpoint([("data", 32)])
        self.empty    = Signal()

        # # #

        units = [ScaleUnit(slots) for _ in range(count)]
        for index, unit in enumerate(units):
            self.add_module(name=f"unit_{index}", module=unit)
            self.comb += [
                unit.valid.eq(self.valid),
                unit.first.eq(self.first),
                unit.last.eq(self.last),
                unit.slot.eq(self.slot),
                unit.partial.eq(self.partials[index]),
                unit.row_sum.eq(self.row_sums[index]),
                unit.zero.eq(self.zero),
                unit.scale.eq(self.scale),
                unit.shift.eq(self.shifts[index]),
            ]

        # Totals of S rows wait in a FIFO; credits keep it from overflowing. -------------------------------------------
        depth = max(4, 2*slots)
        self.totals = totals = stream.SyncFIFO([("data", count*TOTAL_BITS), ("rows", bits_for(count)), ("wide", 1)],
            depth)
        if config.is_shallow:
            source = totals.source
        else:
            # What leaves is decided from registers, not from the FIFO's memory.
            self.oldest = oldest = register_stage(totals.source.description)
            self.comb += totals.source.connect(oldest.sink)
            source = oldest.source
        all_back, self.credit = places(self, depth, self.issue_last, source.valid & source.ready)
        self.comb += [
            totals.sink.valid.eq(units[0].done),
            totals.sink.data.eq(Cat(*[unit.total for unit in units])),
            Cat(totals.sink.rows, totals.sink.wide).eq(delayed(self, Cat(self.rows, self.wide), ScaleUnit.LATENCY)),
        ]

        # One value a cycle: a row's total, or the two of an A16 token. It sets out when it has a place behind the
        # conversion, which then need not wait: its hundreds of registers have no common enable. -----------------------
        self.to_float = to_float = IntegerToFloat32(WIDE_BITS, SCALE_UNIT_LOG2)
        self.floats   = floats   = stream.SyncFIFO([("data", 32)], FLOATS)
        go    = Signal()
        value = Signal((WIDE_BITS, True), reset_less=True)
        added = Signal((TOTAL_BITS, True), reset_less=True)
        all_out, room = places(self, FLOATS, go, floats.source.valid & floats.source.ready)
        self.comb += [
            to_float.source.connect(floats.sink, omit={"ready"}),
            to_float.source.ready.eq(1),
            floats.source.connect(self.source),
            self.empty.eq(all_back & all_out),
        ]
        self.sync += to_float.sink.value.eq(value + added)
        self.comb += to_float.sink.valid.eq(delayed(self, go, 2))
        row      = Signal(max=max(2, count))
        high     = Signal((TOTAL_BITS, True), reset_less=True)  # of a pair whose rows come one after the other (S = 1)
        have     = Signal()
        view     = []
        for index in range(count):
            total = Signal((TOTAL_BITS, True))
            self.comb += total.eq(source.data[TOTAL_BITS*index:TOTAL_BITS*(index + 1)])
            view.append(total)
        if count == 1:
            self.comb += [
                go.eq(source.valid & room & (~source.wide | have)),
                source.ready.eq(room),
            ]
            self.sync += [
                value.eq(Mux(source.wide, high << 8, view[0])),
                added.eq(Mux(source.wide, view[0], 0)),
                If(source.valid & source.ready,
                    have.eq(source.wide & ~have),
                    high.eq(view[0]),
                ),
            ]
        else:
            step = Signal(2)
            pair = Array([view[min(index + 1, count - 1)] for index in range(count)])
            self.comb += [
                step.eq(Mux(source.wide, 2, 1)),
                go.eq(source.valid & room),
                source.ready.eq(room & (row + step >= source.rows)),
            ]
            self.sync += [
                value.eq(Mux(source.wide, Array(view)[row] << 8, Array(view)[row])),
                added.eq(Mux(source.wide, pair[row], 0)),
                If(go,
                    row.eq(row + step),
                    If(source.ready, row.eq(0)),
                ),
            ]
