# SPDX-License-Identifier: BSD-2-Clause
"""Group accumulator: adds up the dot products of one group and hands the sum out at its end."""

from migen import Cat, If, Module, Mux, Signal

from mixpe_gateware.pe.carry_chain import CarryChain, add_cell

KEEP_PLUS = add_cell(lambda a, b: a & 1 - b, lambda a, b, c, d: c)  # (a unless b) + c


class GatedSum(Module):
    """`total` = (drop ? 0 : running) + product, combinational; on ECP5 the gate is in the carry cells."""

    def __init__(self, running, drop, product, target):
        self.total = Signal((running.nbits, True))

        # # #

        if target == "ecp5":
            self.submodules.chain = chain = CarryChain()
            sums = [chain.cell(KEEP_PLUS, running[bit], drop, product[min(bit, product.nbits - 1)], 1)
                    for bit in range(running.nbits)]
            self.comb += self.total.eq(Cat(*sums))
        else:
            self.comb += self.total.eq(Mux(drop, 0, running) + product)


class GroupAccumulator(Module):
    """A dot product unit with the accumulator of one output behind it.

    Parameters
    ----------
    unit : Module
        With `weights`, `activations`, `product` and `latency`.
    beats : int
        Inputs of the longest group: the total is exact up to it.
    target : str
        ``"portable"`` or ``"ecp5"``.
    bits : int, optional
        Width of the total instead of the exact one; below that it wraps.

    Attributes
    ----------
    weights, activations : Signal, in
        Those of `unit`.
    first, last : Signal(), in
        This input begins a group; ends it. An input is always taken; outside groups (after `last`, before `first`)
        what it adds is overwritten by the next `first`.
    total : Signal((bits, True)), out
        Sum of the group, held until the next group ends.
    done : Signal(), out
        High for the cycle in which `total` takes its new value.
    latency : int
        Cycles from the inputs of a group's last beat to `done`.
    """

    def __init__(self, unit, beats, target="portable", bits=None):
        self.submodules.unit = unit
        self.weights     = unit.weights
        self.activations = unit.activations
        self.first       = Signal()
        self.last        = Signal()
        self.total       = Signal((bits or unit.product.nbits + (beats - 1).bit_length(), True))
        self.done        = Signal()
        self.latency     = unit.latency + 2

        # # #

        first, last = self.first, self.last
        for _ in range(unit.latency):
            next_first, next_last = Signal(reset_less=True), Signal()
            self.sync += next_first.eq(first), next_last.eq(last)
            first, last = next_first, next_last

        running = Signal.like(self.total, reset_less=True)
        ended   = Signal()
        self.submodules.sum = GatedSum(running, first, unit.product, target)
        self.sync += [
            running.eq(self.sum.total),
            ended.eq(last),
            self.done.eq(ended),
            If(ended, self.total.eq(running)),
        ]
