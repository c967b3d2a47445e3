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

from litex.gen import LiteXModule
from litex.soc.interconnect import stream
from migen import FSM, If, Mux, NextState, NextValue, Signal

from mixpe_gateware.contract.widths import log2
from mixpe_gateware.gemm.filling import FIELDS as FILLING_FIELDS
from mixpe_gateware.gemm.filling import Filling
from mixpe_gateware.gemm.rowmemories import RowMemories
from mixpe_gateware.gemm.rowsums import GroupMemory, in_buffer
from mixpe_gateware.gemm.ticket import hand_on, ticket_layout
from mixpe_gateware.stream.fanout import register_stage
from mixpe_gateware.stream.reader import RegionReader

FIELDS = (*FILLING_FIELDS, "skip", "shift", "double", "act_beat", "act_beats")  # of a ticket


class ActivationMemory(LiteXModule):
    """Load a job's activations and serve them to array and scalers.

    Parameters
    ----------
    config : Config
    port : LiteDRAMNativePort
        One address bit wider than the memory's where there is an inbox.

    Attributes
    ----------
    sink : Endpoint(ticket_layout(config, address_bits, *FIELDS)), in
        Taken when the activations of the job are on chip.
    release, release_both : Signal(), in
        Strobe: the oldest loaded job is done with its buffer, or with both.
    finished : Signal(), out
        Strobe: the activations of a further job are on chip.
    buffer : Signal(), in, with address : Signal(max=2·act_words), in
        Word counted from the start of one of the two buffers; `data` shows it `fanout.levels` + 2 cycles later.
    data : list of R Signal, out
        As the processing element takes them (`RowMemories`).
    groups : GroupMemory
        Its `buffer` and `address`, in, and 1 cycle later `sums` and `shifts`, out.
    reader : RegionReader
        Its `enable` and `idle` serve an abort.
    beat : Signal(), out
        A beat came from memory.
    """

    READ_LATENCY = 2  # behind the levels

    def __init__(self, config, port):
        address_bits = port.address_width - config.inbox_bits - log2(config.words_per_beat)
        self.sink         = sink = stream.Endpoint(ticket_layout(config, address_bits, *FIELDS))
        self.release      = Signal()
        self.release_both = Signal()
        self.finished     = Signal()
        self.buffer       = Signal()
        self.address      = Signal(max=2*config.act_words)
        self.memories     = memories = RowMemories(config)
        self.data         = memories.data
        self.groups       = groups = GroupMemory(config)
        self.beat         = Signal()

        # # #

        self.reader = reader = RegionReader([port], fifo_depth=32, data_width=config.port_bits,
            buffered=not config.is_shallow)
        beat = reader.source
        if not config.is_shallow:
            self.arrived = arrived = register_stage([("data", config.port_bits)])  # the row sums begin at registers
            self.comb += beat.connect(arrived.sink)
            beat = arrived.source
        self.place = place = Filling(config, address_bits)
        half = Signal()  # buffer that is being filled
        self.comb += [
            *hand_on(sink, place.ticket),
            place.beat_ends.eq(beat.ready),
            self.beat.eq(beat.valid & beat.ready),
            memories.beat.eq(beat.data),
            memories.valid.eq(place.take),
            memories.upper.eq(place.upper),
            memories.row.eq(place.row),
            memories.write_address.eq(in_buffer(place.word, half)),
            memories.read_address.eq(in_buffer(self.address, self.buffer)),
            groups.data.eq(beat.data),
            groups.take.eq(place.take),
            groups.first.eq(place.first),
            groups.last.eq(place.end_group),
            groups.take_byte.eq(place.take_byte),
            groups.byte.eq(place.byte),
            groups.row.eq(place.row),
            groups.group.eq(place.group),
            groups.half.eq(half),
        ]

        # Control ------------------------------------------------------------------------------------------------------
        requested = Signal()
        loaded    = Signal(max=3)  # buffers in use
        drain_cycles = max(GroupMemory.LATENCY, memories.latency)
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
                place.take.eq(beat.valid),
                If(place.end_all,
                    If(sink.shift, NextState("SHIFTS")).Else(NextState("DRAIN")),
                ),
            ),
        )
        fsm.act("SHIFTS",
            # A row of the table is `groups` bytes, padded to a beat; one byte a cycle.
            place.take_byte.eq(beat.valid),
            beat.ready.eq(place.end_beat),
            If(place.end_all, NextState("DRAIN")),
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
