# SPDX-License-Identifier: BSD-2-Clause
"""Row sums and alignment shifts: made while the activations pass, and kept for the scalers.

    beats ─┬─► Σ of a group ─► S memories of row sums ──┐ one group of S rows a cycle
           └─► bytes of the shift table ─► S memories ──┴─► scalers
"""

from functools import reduce
from operator import add

from litex.gen import LiteXModule
from migen import READ_FIRST, Array, Cat, If, Memory, Signal, bits_for

from mixpe_gateware.contract.widths import ROW_SUM_BITS, SHIFT_BITS, log2


def in_buffer(index, buffer):
    """Address in a memory of two buffers: the upper half of the index goes on into the other one."""
    return Cat(index[:-1], index[-1] ^ buffer)


def signed(bits, value):
    """A signed view of an unsigned slice."""
    result = Signal((bits, True))
    return result, result.eq(value)


class RowSums(LiteXModule):
    """Add up the INT8 elements of beats, and the beats of a group.

    Latency 2 cycles from a beat to its group's sum; a beat a cycle; no back-pressure.

    Attributes
    ----------
    data : Signal(port_bits), in
    valid, first, last : Signal(), in
        A beat, and whether it is the first or last of its group.
    total : Signal((ROW_SUM_BITS, True)), out
    done : Signal(), out
        `total` is the sum of a whole group.
    """

    LATENCY = 2

    def __init__(self, port_bits):
        self.data  = Signal(port_bits)
        self.valid = Signal()
        self.first = Signal()
        self.last  = Signal()
        self.total = Signal((ROW_SUM_BITS, True), reset_less=True)
        self.done  = Signal()

        # # #

        elements = []
        for index in range(port_bits//8):
            element, assign = signed(8, self.data[8*index:8*index + 8])
            self.comb += assign
            elements.append(element)
        beat   = Signal((8 + bits_for(len(elements)), True), reset_less=True)
        valid  = Signal()
        first  = Signal()
        last   = Signal()
        self.sync += [
            beat.eq(reduce(add, elements)),
            valid.eq(self.valid),
            first.eq(self.first),
            last.eq(self.last),
            self.done.eq(valid & last),
            If(valid,
                If(first, self.total.eq(beat)).Else(self.total.eq(self.total + beat)),
            ),
        ]


class GroupMemory(LiteXModule):
    """Row sums and shifts of two buffers, in S memories each so that S rows are read at once.

    Latency 1 cycle from `address` to `sums` and `shifts`; a beat's sum and a byte of the shift table a cycle.

    Parameters
    ----------
    config : Config

    Attributes
    ----------
    data : Signal(port_bits), in
        A beat of activations, or of the shift table.
    take, first, last : Signal(), in
        It is one of activations, and whether it is the first or last of its group.
    take_byte : Signal(), in, with byte : Signal, in
        It is one of the shift table, and which of its bytes counts.
    row : Signal, in
        Of the tile.
    group : Signal(max=2·groups_max), in
        Group counted from the first tile's first, in the buffer that is being filled.
    half : Signal(), in
        That buffer.
    buffer : Signal(), in, with address : Signal, in
        Entry (tile·groups + g)·(R/S) + r div S from the start of a buffer.
    sums : list of S Signal((ROW_SUM_BITS, True)), out
    shifts : list of S Signal(SHIFT_BITS), out
    """

    LATENCY = RowSums.LATENCY  # from a beat until its sum is stored

    def __init__(self, config):
        count, slots = config.scalers, config.rows//config.scalers
        self.data      = Signal(config.port_bits)
        self.take      = Signal()
        self.first     = Signal()
        self.last      = Signal()
        self.take_byte = Signal()
        self.byte      = Signal(bits_for(config.beat_bytes))
        self.row       = Signal(max(1, log2(config.rows)))
        self.group     = Signal(max=2*config.groups_max)
        self.half      = Signal()
        self.buffer    = Signal()
        self.address   = Signal(max=2*config.groups_max*slots)
        self.sums      = [Signal((ROW_SUM_BITS, True)) for _ in range(count)]
        self.shifts    = [Signal(SHIFT_BITS) for _ in range(count)]

        # # #

        self.row_sums = row_sums = RowSums(config.port_bits)
        entry = Signal(max=2*config.groups_max*slots)
        bank  = Signal(max=max(2, count))
        self.comb += [
            row_sums.data.eq(self.data),
            row_sums.valid.eq(self.take),
            row_sums.first.eq(self.first),
            row_sums.last.eq(self.last),
            entry.eq(Cat(*([self.row[log2(count):]] if slots > 1 else []), in_buffer(self.group, self.half))),
            bank.eq(self.row[:log2(count)] if count > 1 else 0),
        ]
        late_entry, late_bank = entry, bank
        for _ in range(self.LATENCY):
            next_entry, next_bank = Signal.like(entry), Signal.like(bank)
            self.sync += next_entry.eq(late_entry), next_bank.eq(late_bank)
            late_entry, late_bank = next_entry, next_bank
        shift = Array([self.data[8*i:8*i + SHIFT_BITS] for i in range(config.beat_bytes)])[self.byte]
        depth = 2*config.groups_max*slots
        for index in range(count):
            self._add_memory(f"row_sums_{index}", self.sums[index], depth, late_entry, row_sums.total,
                row_sums.done & (late_bank == index))
            self._add_memory(f"shifts_{index}", self.shifts[index], depth, entry, shift,
                self.take_byte & (bank == index))

    def _add_memory(self, name, value, depth, entry, data, write_enable):
        memory = Memory(len(value), depth, name=name)
        write  = memory.get_port(write_capable=True)
        read   = memory.get_port(mode=READ_FIRST)
        self.specials += memory, write, read
        self.comb += [
            write.adr.eq(entry),
            write.dat_w.eq(data),
            write.we.eq(write_enable),
            read.adr.eq(in_buffer(self.address, self.buffer)),
            value.eq(read.dat_r),
        ]
