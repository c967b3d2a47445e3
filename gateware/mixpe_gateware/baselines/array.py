# SPDX-License-Identifier: BSD-2-Clause
"""Rows of one design that share their weights, each with its group accumulator."""

from migen import Module, Signal

from mixpe_gateware.contract.errors import ConfigError


def unit_flags(unit):
    """Outputs of a unit besides its total that say whether the total means something: a list of none or one."""
    return [getattr(unit, name) for name in ("flags", "flag") if hasattr(unit, name)]


class RowArray(Module):
    """`rows` units of a design, one group accumulator each.

    Weights are registered twice: once for all, then once for every `rows_per_copy` rows. The copies, and a cycle for
    the way to them, keep the broadcast short. Synthesis would merge equal registers whatever their attributes, so every
    other copy starts at ones: neighbouring copies stay apart. What rows derive from the same copy (`PairPlaneA8`'s
    selects) is equal logic, which synthesis shares.

    Parameters
    ----------
    params : DotProduct
    rows : int
    group_size : int
    rows_per_copy : int
        Rows that share one copy of the weight registers.
    accumulator_bits : int, optional
        As in `DotProduct.create_group`.

    Attributes
    ----------
    weights : Signal, in
    activations : list of Signal, in
        One a row.
    first, last : Signal(), in
    totals : list of Signal, out
        One a row; all are new in the cycle of `done`.
    flags : list of Signal, out
        One a row, of designs that mark sums without a meaning; else empty.
    done : Signal(), out
    latency : int
        Cycles from a group's last beat to `done`.
    """

    def __init__(self, params, rows, group_size=128, rows_per_copy=4, accumulator_bits=None):
        if rows < 1 or rows_per_copy < 1:
            raise ConfigError(f"rows and rows_per_copy must be 1 or more, not {rows!r} and {rows_per_copy!r}")
        units = [params.create_group(group_size, accumulator_bits) for _ in range(rows)]
        self.submodules += units
        self.weights     = Signal.like(units[0].weights)
        self.first       = Signal()
        self.last        = Signal()
        self.activations = [Signal.like(unit.activations) for unit in units]
        self.totals      = [unit.total for unit in units]
        self.flags       = [flag for unit in units for flag in unit_flags(unit)]
        self.done        = units[0].done
        self.latency     = units[0].latency + 2

        # # #

        weights_in = Signal(len(self.weights), reset_less=True)
        first_in   = Signal()
        last_in    = Signal()
        self.sync += weights_in.eq(self.weights), first_in.eq(self.first), last_in.eq(self.last)
        for index, (unit, activations) in enumerate(zip(units, self.activations, strict=True)):
            if index % rows_per_copy == 0:
                ones    = index//rows_per_copy % 2
                weights = Signal(len(self.weights), reset_less=True, reset=ones*((1 << len(self.weights)) - 1))
                first   = Signal(reset_less=True, reset=ones)
                last    = Signal()
                self.sync += weights.eq(weights_in), first.eq(first_in), last.eq(last_in)
            early = Signal(len(activations), reset_less=True)
            later = Signal(len(activations), reset_less=True)
            self.sync += early.eq(activations), later.eq(early)
            self.comb += [
                unit.weights.eq(weights),
                unit.activations.eq(later),
                unit.first.eq(first),
                unit.last.eq(last),
            ]
