# SPDX-License-Identifier: BSD-2-Clause
"""Fused results: S rows of a vector meet their scale, zero, row sums and shifts, and go through the scalers.

    issue ─► addresses ─► memories ─► registers ─┐
    vector ─► S of its rows, in as many cycles ──┴─► scalers ─► FP32
"""

from litex.gen import LiteXModule
from litex.soc.interconnect import stream
from migen import Array, Cat, Mux, Signal, bits_for

from mixpe_gateware.contract.config import CHANNELS_PER_BLOCK
from mixpe_gateware.contract.descriptor import FORM
from mixpe_gateware.contract.scaling import SUPERBLOCK_GROUPS, Form
from mixpe_gateware.contract.widths import GROUP_SUM_BITS, ROW_SUM_BITS, SHIFT_BITS, log2
from mixpe_gateware.gemm.scalers import Scalers
from mixpe_gateware.stream.fanout import delayed

READ_CYCLES = 3  # of sums, row sums and scales: address, memory, register


class FusedResults(LiteXModule):
    """Scale-accumulate of S rows at a time.

    Latency `READ_CYCLES` from `issue` to the scalers; an issue a cycle.

    Parameters
    ----------
    config : Config

    Attributes
    ----------
    issue, first_group, last_group, wide, aligned : Signal(), in
        S rows of the vector leave; of which group, and in which mode. With `last_group` only while there is `room`.
    row, rows : Signal, in
        The first of the S rows, and how many the tile has.
    sums : Signal(R·GROUP_SUM_BITS), in
        The vector; it stays until its last rows were issued.
    room : Signal(), out
    sum_entry : Signal, in; scale_entry : Signal, in; act_half, scale_half : Signal(), in
        What to look up: group's row sum of the tile, scale of channel and group, and in which buffers.
    sum_buffer, sum_address, row_sums, shifts
        Of an `ActivationMemory`: the first two out, lists of S in.
    scale_buffer, scale_address, scale, zero
        Of the scale memories: the first two out, the others in.
    form : Signal(2), in; coarse_address, fine, coarse
        With real minima: the form at `issue`; address of scales and of the superblocks' minima, which differs from that
        of zeros and of what stands in their place; both values, in.
    source : Endpoint([("data", 32)]), out
    empty : Signal(), out
    """

    def __init__(self, config):
        count, slots = config.scalers, config.rows//config.scalers
        self.issue       = Signal()
        self.first_group = Signal()
        self.last_group  = Signal()
        self.wide        = Signal()
        self.aligned     = Signal()
        self.row         = Signal(bits_for(config.rows))
        self.rows        = Signal(bits_for(config.rows))
        self.sums        = Signal(config.rows*GROUP_SUM_BITS)
        self.sum_entry   = Signal(max=2*config.groups_max)
        self.scale_entry = Signal(max=CHANNELS_PER_BLOCK*config.groups_max)
        self.act_half    = Signal()
        self.scale_half  = Signal()
        self.sum_buffer    = Signal()
        self.sum_address   = Signal(max=2*config.groups_max*slots)
        self.row_sums      = [Signal((ROW_SUM_BITS, True)) for _ in range(count)]
        self.shifts        = [Signal(SHIFT_BITS) for _ in range(count)]
        self.scale_buffer  = Signal()
        self.scale_address = Signal(max=CHANNELS_PER_BLOCK*config.groups_max)
        self.scale         = Signal(16)
        self.zero          = Signal(4)
        self.source        = stream.Endpoint([("data", 32)])
        if config.minima:
            self.form           = Signal(FORM.width)
            self.coarse_address = Signal.like(self.scale_address)
            self.fine           = Signal(16)
            self.coarse         = Signal(16)

        # # #

        self.scalers = scalers = Scalers(config)
        self.room    = scalers.credit
        self.empty   = scalers.empty
        slot = Signal(max(1, log2(slots)))
        left = Signal(bits_for(count))
        self.comb += [
            slot.eq(self.row[log2(count):log2(config.rows)] if slots > 1 else 0),
            left.eq(Mux(self.rows - self.row > count, count, self.rows - self.row)),
            scalers.issue_last.eq(self.issue & self.last_group),
            scalers.source.connect(self.source),
        ]
        self.sync += [
            self.sum_buffer.eq(self.act_half),
            self.sum_address.eq(self.sum_entry*slots + slot),
            self.scale_buffer.eq(self.scale_half),
            self.scale_address.eq(self.scale_entry),
        ]
        aligned = Signal()
        self.comb += [
            Cat(scalers.valid, scalers.first, scalers.last, scalers.wide, aligned, scalers.rows, scalers.slot).eq(
                delayed(self, Cat(self.issue, self.first_group, self.last_group, self.wide, self.aligned, left, slot),
                    READ_CYCLES)),
            scalers.scale.eq(self.scale),
            scalers.zero.eq(self.zero),
        ]
        if config.minima:
            self._add_forms()
        for index in range(count):
            shift = Signal(SHIFT_BITS, reset_less=True)
            self.comb += [
                scalers.partials[index].eq(self._choose(config, index, slot)),
                scalers.shifts[index].eq(Mux(aligned, shift, 0)),
            ]
            self.sync += [
                scalers.row_sums[index].eq(self.row_sums[index]),
                shift.eq(self.shifts[index]),
            ]

    def _add_forms(self):
        """Minimum and factors of the group, from where its form has them."""
        scalers, form = self.scalers, delayed(self, self.form, READ_CYCLES)
        self.comb += [
            scalers.form.eq(form),
            scalers.minimum.eq(Mux(form == Form.TWO_LEVEL, self.coarse, self.fine)),
            scalers.factor_a.eq(self.fine[:8]),
            scalers.factor_b.eq(self.fine[8:]),
        ]
        self.sync += self.coarse_address.eq(
            Mux(self.form == Form.TWO_LEVEL, self.scale_entry[log2(SUPERBLOCK_GROUPS):], self.scale_entry))

    def _choose(self, config, index, slot):
        """One of the vector's rows, `READ_CYCLES` later: of each four first, then of four of these."""
        values = [self.sums[GROUP_SUM_BITS*row:GROUP_SUM_BITS*(row + 1)]
            for row in range(index, config.rows, config.scalers)]
        select = slot
        for _ in range(READ_CYCLES):
            registers = [Signal((GROUP_SUM_BITS, True), reset_less=True) for _ in range(0, len(values), 4)]
            for four, register in enumerate(registers):
                choices = values[4*four:4*four + 4]
                self.sync += register.eq(Array(choices)[select[:2]] if len(choices) > 1 else choices[0])
            values = registers
            if len(select) > 2:
                select = delayed(self, select[2:], 1)
        return values[0]
