# SPDX-License-Identifier: BSD-2-Clause
"""Table lookup as LUT Tensor Core and T-MAC: sums of four activations are looked up by four weight bits.

For every four lanes a table of 16 subset sums is kept in LUT RAM, once for each of the four weight bit planes, since a
LUT RAM has one read port. The planes are read in one cycle and added with their significance: exact, no multiplier, and
no adder below four lanes. It is worth its table while activations stay and weights of many channels stream past:
writing takes 16 cycles, one entry of all tables a cycle.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from migen import Array, Cat, If, Memory, Module, Mux, Signal

from mixpe_gateware.pe.adder_tree import AdderTree, lane_signals
from mixpe_gateware.pe.interface import DotProduct, check_operand

TABLE_LANES = 4
ENTRY_BITS  = 10


@dataclass(frozen=True, kw_only=True)
class TableLookupA8(DotProduct):
    """UINT4 × INT8 dot product by tables.

    The `activations` port writes the tables: for each four lanes the entry (10 bits), then its index (4 bits), then
    the write strobe. `table_writes` gives the 16 values for a vector of activations.
    """

    name: ClassVar[str] = "table"
    summary: ClassVar[str] = "table lookup in LUT RAM, 16 sums of four activations (LUT Tensor Core, T-MAC)"
    lanes_min: ClassVar[int] = 4

    @property
    def tables(self):
        return self.lanes//TABLE_LANES

    @property
    def activation_bits(self):
        return ENTRY_BITS*self.tables + 5

    @property
    def latency(self):
        return 3 + (self.tables - 1).bit_length()

    def table_writes(self, x):
        """The 16 successive values of the `activations` port that make the tables of activations (lanes,)."""
        x = check_operand("activations", x, 8, True, self.lanes).reshape(self.tables, TABLE_LANES)
        words = []
        for index in range(16):
            sums = x @ np.array([index >> bit & 1 for bit in range(TABLE_LANES)])
            word = sum((int(value) & 1023) << ENTRY_BITS*table for table, value in enumerate(sums))
            words.append(word | index << ENTRY_BITS*self.tables | 1 << ENTRY_BITS*self.tables + 4)
        return words

    def encode(self, x):
        """The port's value that writes nothing: activations stay in the tables."""
        check_operand("activations", x, 8, True, self.lanes)
        return 0

    def create(self):
        return TableLookupUnit(self)

    def create_encoder(self):
        return TableEncoder(self)


class TableLookupUnit(Module):
    """The unit of `TableLookupA8`: see `DotProduct` for its ports."""

    def __init__(self, params):
        self.weights     = Signal(4*params.lanes)
        self.activations = Signal(params.activation_bits)
        self.product     = Signal((params.product_bits, True), reset_less=True)
        self.latency     = params.latency

        # # #

        weights = lane_signals(self, self.weights, 4, False)
        index   = self.activations[ENTRY_BITS*params.tables:ENTRY_BITS*params.tables + 4]
        strobe  = self.activations[ENTRY_BITS*params.tables + 4]
        planes  = []
        for bit in range(4):
            entries = []
            for table in range(params.tables):
                memory = Memory(ENTRY_BITS, 16)
                write  = memory.get_port(write_capable=True)
                read   = memory.get_port(async_read=True)
                entry  = Signal((ENTRY_BITS, True), reset_less=True)
                lanes  = weights[TABLE_LANES*table:TABLE_LANES*(table + 1)]
                self.specials += memory, write, read
                self.comb += [
                    write.adr.eq(index),
                    write.dat_w.eq(self.activations[ENTRY_BITS*table:ENTRY_BITS*(table + 1)]),
                    write.we.eq(strobe),
                    read.adr.eq(Cat(*(lane[bit] for lane in lanes))),
                ]
                self.sync += entry.eq(read.dat_r)
                entries.append(entry)
            tree = AdderTree(entries)
            self.submodules += tree
            planes.append(tree.total)
        bits = planes[0].nbits + 2
        low  = Signal((bits, True), reset_less=True)
        high = Signal((bits, True), reset_less=True)
        self.sync += [
            low.eq(planes[0] + (planes[1] << 1)),
            high.eq(planes[2] + (planes[3] << 1)),
            self.product.eq(low + (high << 2)),
        ]


class TableEncoder(Module):
    """Makes the 16 table writes of activations, where they are written; one for a whole accelerator.

    Entries come in Gray code, so that each differs from the one before by a single activation: one adder a table.

    Parameters
    ----------
    params : TableLookupA8

    Attributes
    ----------
    activations : Signal(8·lanes), in
        Lane i's byte at bits 8·i; held for the 16 cycles after that of `start`.
    start : Signal(), in
        At most every 16 cycles.
    word : Signal(params.activation_bits), out
        The `activations` port's value of the unit: the first entry `latency` cycles after `start`, then 15 more.
    latency : int
    """

    def __init__(self, params):
        self.activations = Signal(8*params.lanes)
        self.start       = Signal()
        self.word        = Signal(params.activation_bits, reset_less=True)
        self.latency     = 2

        # # #

        # Entry c of the Gray code is c ^ (c >> 1): going from c − 1 to c, the bit of c's lowest 1 flips.
        count   = Signal(4, reset_less=True)
        running = Signal()
        index   = Signal(4)
        flipped = Signal(2)
        added   = Signal()
        self.sync += [
            If(self.start, count.eq(0), running.eq(1)).Elif(running, count.eq(count + 1), running.eq(count != 15)),
        ]
        self.comb += [
            index.eq(count ^ (count >> 1)),
            flipped.eq(Mux(count[0], 0, Mux(count[1], 1, Mux(count[2], 2, 3)))),
            added.eq((index >> flipped) & 1),
        ]
        lanes   = lane_signals(self, self.activations, 8, True)
        entries = []
        for table in range(params.tables):
            entry  = Signal((ENTRY_BITS, True), reset_less=True)
            change = Signal((8, True))
            signed = Signal((ENTRY_BITS, True))
            total  = Signal(ENTRY_BITS + 1)
            self.comb += [
                change.eq(Array(lanes[TABLE_LANES*table:TABLE_LANES*(table + 1)])[flipped]),
                signed.eq(Mux(added, change, ~change)),
                total.eq(Cat(~added, entry) + Cat(~added, signed)),  # one adder, with the carry of the subtraction
            ]
            self.sync += If(count == 0, entry.eq(0)).Else(entry.eq(total[1:]))
            entries.append(entry)
        written = Signal(5, reset_less=True)
        self.sync += written.eq(Cat(index, running))
        self.comb += self.word.eq(Cat(*entries, written))
