# SPDX-License-Identifier: BSD-2-Clause
"""Regions of parts of the memory's words: where fewer bytes a cycle are used than a word has."""

from litex.gen import LiteXModule
from litex.soc.interconnect import stream
from migen import Array, If, Signal

from mixpe_gateware.contract.widths import log2
from mixpe_gateware.stream.reader import RegionReader

AHEAD = 8  # regions that are requested and not yet heard: more than a pass has


class PartReader(LiteXModule):
    """Read `beats` parts from part address `start`, in order; what else is in their words is dropped.

    Throughput a part a cycle as far as the memory gives it, also from a region to the next one.

    Parameters
    ----------
    port : LiteDRAMNativePort
    bits : int
        Of a part, less than the port's.
    fifo_depth : int
        Words in flight.

    Attributes
    ----------
    sink : Endpoint([("start", address_bits), ("beats", address_bits + 1)]), in
        One part or more.
    source : Endpoint([("data", bits)]), out
    enable : Signal(), in; idle : Signal(), out
        Of a `RegionReader`.
    """

    def __init__(self, port, bits, *, fifo_depth):
        parts        = port.data_width//bits
        parts_log2   = log2(parts)
        address_bits = port.address_width + parts_log2
        self.sink    = sink   = stream.Endpoint([("start", address_bits), ("beats", address_bits + 1)])
        self.source  = source = stream.Endpoint([("data", bits)])
        self.enable  = Signal(reset=1)
        self.idle    = Signal()

        # # #

        self.reader  = reader  = RegionReader([port], fifo_depth=fifo_depth, buffered=True)
        self.regions = regions = stream.SyncFIFO([("slot", parts_log2), ("beats", address_bits + 1)], AHEAD)
        first  = sink.start[:parts_log2]
        behind = Signal(address_bits + 2)
        self.comb += [
            reader.enable.eq(self.enable),
            self.idle.eq(reader.idle),
            behind.eq(first + sink.beats + parts - 1),
            reader.sink.valid.eq(sink.valid & regions.sink.ready),
            reader.sink.start.eq(sink.start[parts_log2:]),
            reader.sink.beats.eq(behind[parts_log2:]),
            regions.sink.valid.eq(sink.valid & reader.sink.ready),
            regions.sink.beats.eq(sink.beats),
            regions.sink.slot.eq(first),
            sink.ready.eq(reader.sink.ready & regions.sink.ready),
        ]

        # Parts of the words that come. --------------------------------------------------------------------------------
        active = Signal()
        left   = Signal(address_bits + 1)
        last   = Signal()
        slot   = Signal(parts_log2)
        take   = Signal()
        words  = [reader.source.data[bits*index:bits*(index + 1)] for index in range(parts)]
        self.comb += [
            source.valid.eq(reader.source.valid & active),
            source.data.eq(Array(words)[slot]),
            take.eq(source.valid & source.ready),
            reader.source.ready.eq((active & source.ready & (last | (slot == parts - 1))) | ~self.enable),
            regions.source.ready.eq(~active | (take & last)),
        ]
        self.sync += [
            If(take,
                slot.eq(slot + 1),
                left.eq(left - 1),
                last.eq(left == 2),
            ),
            If(regions.source.ready,
                active.eq(regions.source.valid),
                slot.eq(regions.source.slot),
                left.eq(regions.source.beats),
                last.eq(regions.source.beats == 1),
            ),
        ]
