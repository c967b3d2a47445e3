# SPDX-License-Identifier: BSD-2-Clause
"""Scale-accumulate units side by side, and their totals on the way to FP32 (`gemm.finished`)."""

from litex.gen import LiteXModule
from migen import Cat, Signal, bits_for

from mixpe_gateware.contract.descriptor import FORM
from mixpe_gateware.contract.scaling import FACTOR_BITS
from mixpe_gateware.contract.widths import GROUP_SUM_BITS, ROW_SUM_BITS
from mixpe_gateware.gemm.finished import FinishedRows
from mixpe_gateware.gemm.scaler import ScaleUnit
from mixpe_gateware.stream.fanout import delayed

REAL = ("form", "minimum", "factor_a", "factor_b")  # what real minima add to a group sum


class Scalers(LiteXModule):
    """S scale-accumulate units side by side, and what follows them up to FP32.

    Attributes
    ----------
    valid, first, last : Signal(), in; slot : Signal(max=R/S), in; partials : list of S Signal, in
        Group sums of rows slot·S … slot·S + S−1. Row sums, scale, zero and shift belong to the same cycle; with real
        minima form, minimum and factors too.
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
        self.empty    = Signal()
        if config.minima:
            self.form     = Signal(FORM.width)
            self.minimum  = Signal(16)
            self.factor_a = Signal(FACTOR_BITS)
            self.factor_b = Signal(FACTOR_BITS)

        # # #

        units = [ScaleUnit(config) for _ in range(count)]
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
            if config.minima:
                self.comb += [getattr(unit, name).eq(getattr(self, name)) for name in REAL]

        self.results = results = FinishedRows(config, depth=max(4, 2*slots))
        self.source  = results.source
        self.comb += [
            results.valid.eq(units[0].done),
            results.totals.eq(Cat(*[unit.total for unit in units])),
            Cat(results.rows, results.wide).eq(delayed(self, Cat(self.rows, self.wide), ScaleUnit.latency_of(config))),
            results.take.eq(self.issue_last),
            self.credit.eq(results.room),
            self.empty.eq(results.empty),
        ]
