# SPDX-License-Identifier: BSD-2-Clause
"""The array: R rows × D lanes of shift-add processing elements with one group accumulator a row.

    weight buffer ──► D weights ──┬──► dot product row 0   ──► Σ group ──┐
                                  ├──► …                                 ├──► group sums of R rows, one vector a group
    activations  ──► R×D INT8 ────┴──► dot product row R−1 ──► Σ group ──┘

The datapath never stalls: `gemm.sequencer` starts a group only when there is a place for its sums.
"""

from functools import reduce
from operator import or_

from litex.gen import LiteXModule
from migen import CEInserter, If, Signal

from mixpe_gateware.contract.config import K_LIMIT
from mixpe_gateware.contract.widths import log2
from mixpe_gateware.pe.element import element
from mixpe_gateware.stream.fanout import ROWS_PER_COPY, delayed, levels, spread


class ArrayDatapath(LiteXModule):
    """R dot products of D lanes and R group accumulators.

    acc' = (first ? 0 : acc) + Σ_lanes q·x

    Latency `latency` cycles from `valid` to `done`; a beat a cycle; no back-pressure.

    Parameters
    ----------
    config : Config
    target : str
        See `element`.
    design : DotProduct, optional
        Of `config.lanes` lanes: any that `create_group` of `DotProduct` serves. That of `config.pe` if None.

    Attributes
    ----------
    weights : Signal(design.weights_bits), in
    activations : list of R Signal, in
        As the processing element takes them, `levels` cycles after the weights that they meet.
    valid, first, last : Signal(), in
        A beat, and whether it is the first or last of its group.
    rows : Signal(R), in
        Rows that the beat is for. The registers of the others stand still, which saves their toggling (and, in
        simulation, most of the time of decoding one token); their sums mean nothing.
    sums : list of R Signal, out
        Signed, of GROUP_SUM_BITS with the elements of `Config.pe`: as wide as the longest group needs.
    done : Signal(), out
        `sums` are those of a whole group.
    """

    def __init__(self, config, *, target="portable", design=None):
        design   = element(config, target) if design is None else design
        sum_bits = design.product_bits + log2(K_LIMIT//config.lanes)
        self.weights     = Signal(design.weights_bits)
        self.activations = [Signal(design.activation_bits) for _ in range(config.rows)]
        self.valid       = Signal()
        self.first       = Signal()
        self.last        = Signal()
        self.sums        = [
            Signal((sum_bits, True), name=f"sum_{row}", reset_less=True) for row in range(config.rows)]
        self.rows        = Signal(config.rows)
        self.done        = Signal()

        # # #

        latency = levels(config) + design.latency + 1
        self.latency = latency
        self.comb += self.done.eq(delayed(self, self.valid & self.last, latency))

        # What all rows need comes from registers of their own every few rows.
        weights = spread(self, self.weights, config)
        shared  = [design.create_shared() for _ in weights]
        for module, copy in zip(shared, weights, strict=True):
            if module is not None:
                self.submodules += module
                self.comb += module.weights.eq(copy)
        firsts  = [delayed(self, first, design.latency, reset_less=True) for first in spread(self, self.first, config)]
        for row in range(config.rows):
            # A row's stages move while one of them holds a beat for it, which a register says in advance.
            stages = [delayed(self, self.valid & self.rows[row], levels(config) - 1)]
            for _ in range(design.latency + bool(levels(config))):
                stages.append(delayed(self, stages[-1], 1))
            moving = reduce(or_, stages[:design.latency])
            move   = delayed(self, moving, 1) if levels(config) else moving
            copy = row//ROWS_PER_COPY
            unit = CEInserter()(design.create() if shared[copy] is None else design.create(shared[copy]))
            self.add_module(name=f"row_{row}", module=unit)
            total = self.sums[row]
            self.comb += unit.activations.eq(self.activations[row]), unit.ce.eq(move)
            if shared[copy] is None:
                self.comb += unit.weights.eq(weights[copy])
            self.sync += If(stages[-1],
                If(firsts[copy], total.eq(unit.product)).Else(total.eq(total + unit.product)),
            )
