# SPDX-License-Identifier: BSD-2-Clause
"""Activation memory: two buffers of R rows, filled from DRAM while the array reads the other.

A job whose activations are larger than a buffer takes both (`double`): it waits for them to be empty, which costs
little beside its own length, and meets each weight with more rows.

    DRAM ─► reader ─► beats ─┬─► row memories (R words of D activations, 2·k_max/D deep) ─► array: R words a cycle
                             ├─► row sums XS[m,g] while the beats pass ────────────────┐
                             └─► alignment shifts h[m,g] (only jobs with `shift`) ─────┴─► scalers

The row sums need one adder tree for the whole accelerator, since they are made where the activations pass one beat a
cycle, not in the array where they pass R beats a cycle.
"""

from functools import reduce
from operator import add

from litex.gen import LiteXModule
from litex.soc.interconnect import stream
from migen import FSM, READ_FIRST, Array, Cat, Constant, If, Memory, Mux, NextState, NextValue, Signal, bits_for

from mixpe_gateware.contract.widths import ROW_SUM_BITS, SHIFT_BITS, log2
from mixpe_gateware.gemm.rowmemories import RowMemories
from mixpe_gateware.gemm.ticket import ticket_layout
from mixpe_gateware.stream.fanout import register_stage
from mixpe_gateware.stream.reader import RegionReader


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


class ActivationMemory(LiteXModule):
    """Load a job's activations and serve them to array and scalers.

    Parameters
    ----------
    config : Config
    port : LiteDRAMNativePort
        One address bit wider than the memory's where there is an inbox.

    Attributes
    ----------
    sink : Endpoint(ticket_layout(config, address_bits)), in
        Taken when the activations of the job are on chip.
    release, release_both : Signal(), in
        Strobe: the oldest loaded job is done with its buffer, or with both.
    finished : Signal(), out
        Strobe: the activations of a further job are on chip.
    buffer : Signal(), in, with address : Signal(max=2·act_words), in
        Word counted from the start of one of the two buffers; `data` shows it `fanout.levels` + 2 cycles later.
    data : list of R Signal, out
        As the processing element takes them (`RowMemories`).
    sum_buffer : Signal(), in, with sum_address : Signal, in
        Entry (tile·groups + g)·(R/S) + r div S from the start of a buffer; `sums` and `shifts` show it 1 cycle later.
    sums : list of S Signal((ROW_SUM_BITS, True)), out
    shifts : list of S Signal(SHIFT_BITS), out
    reader : RegionReader
        Its `enable` and `idle` serve an abort.
    beat : Signal(), out
        A beat came from memory.
    """

    READ_LATENCY = 2  # behind the levels

    def __init__(self, config, port):
        slots = config.rows//config.scalers
        address_bits = port.address_width - config.inbox_bits - log2(config.words_per_beat)
        self.sink    = sink = stream.Endpoint(ticket_layout(config, address_bits))
        self.release = Signal()
        self.release_both = Signal()
        self.finished = Signal()
        self.buffer  = Signal()
        self.address = Signal(max=2*config.act_words)
        self.memories = memories = RowMemories(config)
        self.data    = memories.data
        self.sum_buffer  = Signal()
        self.sum_address = Signal(max=2*config.groups_max*slots)
        self.sums    = [Signal((ROW_SUM_BITS, True)) for _ in range(config.scalers)]
        self.shifts  = [Signal(SHIFT_BITS) for _ in range(config.scalers)]
        self.beat    = Signal()

        # # #

        self.reader = reader = RegionReader([port], fifo_depth=32, data_width=config.port_bits,
            buffered=not config.is_shallow)
        beat = reader.source
        if not config.is_shallow:
            self.arrived = arrived = register_stage([("data", config.port_bits)])  # the row sums begin at registers
            self.comb += beat.connect(arrived.sink)
            beat = arrived.source

        # Position of the beat that arrives: row, word, group; after the activations once more for the shift table. ----
        half      = Signal()                          # buffer that is being filled
        row       = Signal(bits_for(config.k_max))
        rows_log2 = log2(config.rows)
        lane_row  = row[:rows_log2] if rows_log2 else Constant(0)
        word      = Signal(max=2*config.act_words)
        upper     = Signal()                          # second beat of a word
        in_group  = Signal(max=2*config.act_words)
        group     = Signal(max=2*config.groups_max)
        tile_word = Signal(max=2*config.act_words)
        tile_sum  = Signal(max=2*config.groups_max)
        byte      = Signal(bits_for(config.beat_bytes))
        take, take_byte, end_group, end_row, end_all = Signal(), Signal(), Signal(), Signal(), Signal()
        self.comb += [
            end_all.eq(end_row & (row == sink.m_last)),
            self.beat.eq(beat.valid & beat.ready),
        ]
        self.sync += [
            If(take,
                upper.eq(~upper),
                If(upper, word.eq(word + 1), in_group.eq(in_group + 1)),
            ),
            If(take_byte, byte.eq(byte + 1)),
            If(beat.ready, byte.eq(0)),
            If(end_group, in_group.eq(0), group.eq(group + 1)),
            If(end_row,
                word.eq(0),
                group.eq(0),
                row.eq(row + 1),
                If(lane_row == config.rows - 1,
                    tile_word.eq(tile_word + sink.kwords),
                    tile_sum.eq(tile_sum + sink.groups),
                ),
            ),
            If(end_all, row.eq(0), tile_word.eq(0), tile_sum.eq(0)),
        ]

        # Control ------------------------------------------------------------------------------------------------------
        requested = Signal()
        loaded    = Signal(max=3)  # buffers in use
        drain_cycles = max(RowSums.LATENCY, memories.latency)
        drain     = Signal(max=drain_cycles + 1)
        filling   = Signal()
        active    = Signal()  # low for a cycle between jobs
        self.comb += [
            reader.sink.start.eq(sink.act_beat),
            reader.sink.beats.eq(sink.act_beats),
            reader.sink.valid.eq(active & ~requested),
        ]
        self.sync += [
            If(reader.sink.valid & reader.sink.ready, requested.eq(1)),
            active.eq(sink.valid & ~sink.skip & Mux(sink.double, loaded == 0, loaded != 2) & filling),
            If(self.finished, requested.eq(0), half.eq(half ^ ~sink.double)),
            loaded.eq(loaded + (self.finished << sink.double) - (self.release << self.release_both)),
        ]
        self.fsm = fsm = FSM(reset_state="FILL")
        fsm.act("FILL",
            filling.eq(1),
            If(sink.valid & sink.skip, sink.ready.eq(1)),
            If(active,
                beat.ready.eq(1),
                take.eq(beat.valid),
                end_group.eq(take & upper & (in_group == sink.group_words_last)),
                end_row.eq(take & upper & (word == sink.kwords_last)),
                If(end_all,
                    If(sink.shift, NextState("SHIFTS")).Else(NextState("DRAIN")),
                ),
            ),
        )
        fsm.act("SHIFTS",
            # A row of the table is `groups` bytes, padded to a beat; one byte a cycle.
            take_byte.eq(beat.valid),
            end_group.eq(beat.valid),
            end_row.eq(beat.valid & (group == sink.groups_last)),
            beat.ready.eq(end_row | (byte == config.beat_bytes - 1)),
            If(end_all, NextState("DRAIN")),
        )
        fsm.act("DRAIN",
            # The last row sum and activations are still on their way to their memories.
            NextValue(drain, drain + 1),
            If(drain == drain_cycles,
                NextValue(drain, 0),
                sink.ready.eq(1),
                self.finished.eq(1),
                NextState("FILL"),
            ),
        )

        def place(index, buffer):
            """Address in a memory of two buffers: the upper half of the index goes on into the other one."""
            return Cat(index[:-1], index[-1] ^ buffer)

        # Activations --------------------------------------------------------------------------------------------------
        place_word = Signal(max=2*config.act_words)
        self.comb += [
            place_word.eq(tile_word + word),
            memories.beat.eq(beat.data),
            memories.valid.eq(take),
            memories.upper.eq(upper),
            memories.row.eq(lane_row),
            memories.write_address.eq(place(place_word, half)),
            memories.read_address.eq(place(self.address, self.buffer)),
        ]

        # Row sums and shifts ------------------------------------------------------------------------------------------
        self.row_sums = row_sums = RowSums(config.port_bits)
        entry = Signal(max=2*config.groups_max*slots)
        bank  = Signal(max=max(2, config.scalers))
        place_sum = Signal(max=2*config.groups_max)
        self.comb += [
            row_sums.data.eq(beat.data),
            row_sums.valid.eq(take),
            row_sums.first.eq((in_group == 0) & ~upper),
            row_sums.last.eq(end_group),
            place_sum.eq(tile_sum + group),
            entry.eq(Cat(*([lane_row[log2(config.scalers):]] if slots > 1 else []), place(place_sum, half))),
            bank.eq(lane_row[:log2(config.scalers)] if config.scalers > 1 else 0),
        ]
        late_entry, late_bank = entry, bank
        for _ in range(RowSums.LATENCY):
            next_entry, next_bank = Signal.like(entry), Signal.like(bank)
            self.sync += next_entry.eq(late_entry), next_bank.eq(late_bank)
            late_entry, late_bank = next_entry, next_bank
        read_entry = place(self.sum_address, self.sum_buffer)
        for index in range(config.scalers):
            for name, bits, target, adr, data, we in (
                ("row_sums", ROW_SUM_BITS, self.sums[index], late_entry, row_sums.total,
                    row_sums.done & (late_bank == index)),
                ("shifts", SHIFT_BITS, self.shifts[index], entry, Array(
                    [beat.data[8*i:8*i + SHIFT_BITS] for i in range(config.beat_bytes)])[byte],
                    take_byte & (bank == index)),
            ):
                memory = Memory(bits, 2*config.groups_max*slots, name=f"{name}_{index}")
                write  = memory.get_port(write_capable=True)
                read   = memory.get_port(mode=READ_FIRST)
                self.specials += memory, write, read
                self.comb += [
                    write.adr.eq(adr),
                    write.dat_w.eq(data),
                    write.we.eq(we),
                    read.adr.eq(read_entry),
                    target.eq(read.dat_r),
                ]
