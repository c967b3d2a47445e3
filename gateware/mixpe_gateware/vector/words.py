# SPDX-License-Identifier: BSD-2-Clause
"""Operands from memory, a 32-bit word at a time.

    regions ─► requests ─► memory words ─► 32-bit words, those behind a region's last one dropped
"""

from litex.gen import LiteXModule
from litex.soc.interconnect import stream
from migen import Array, If, Mux, Signal

from mixpe_gateware.contract.widths import log2
from mixpe_gateware.stream.reader import RegionReader

PLACE_BITS = 30  # of a word's offset
COUNT_BITS = 23  # of a region's words
AHEAD      = 4   # regions that are requested and not yet heard


class WordReader(LiteXModule):
    """Read regions of words, in order.

    Throughput a word a cycle as far as the memory gives it, without a pause between regions.

    Parameters
    ----------
    config : Config
    port : LiteDRAMNativePort

    Attributes
    ----------
    sink : Endpoint([("place", 30), ("words", 23)]), in
        Offset in words, a multiple of the memory's; one word or more.
    source : Endpoint([("data", 32)]), out
    enable : Signal(), in; idle : Signal(), out
        Of a `RegionReader`.
    beat : Signal(), out
        A memory word has come.
    """

    def __init__(self, config, port):
        self.sink   = sink   = stream.Endpoint([("place", PLACE_BITS), ("words", COUNT_BITS)])
        self.source = source = stream.Endpoint([("data", 32)])
        self.enable = Signal(reset=1)
        self.idle   = Signal()
        self.beat   = Signal()

        # # #

        bits  = max(32, config.memory_bits)
        parts = bits//32
        depth = 4 if config.is_shallow else 16
        self.reader = reader = RegionReader([port], fifo_depth=depth, data_width=bits, buffered=not config.is_shallow)
        self.comb += [
            reader.enable.eq(self.enable),
            self.idle.eq(reader.idle),
            self.beat.eq(port.rdata.valid),
            reader.sink.start.eq(sink.place[log2(parts):]),
            reader.sink.beats.eq((sink.words + parts - 1) >> log2(parts)),
        ]
        if parts == 1:  # nothing is behind a region's last word
            self.comb += [
                reader.sink.valid.eq(sink.valid),
                sink.ready.eq(reader.sink.ready),
                reader.source.connect(source),
            ]
            return

        self.counts = counts = stream.SyncFIFO([("words", COUNT_BITS)], AHEAD)
        self.comb += [
            reader.sink.valid.eq(sink.valid & counts.sink.ready),
            counts.sink.valid.eq(sink.valid & reader.sink.ready),
            counts.sink.words.eq(sink.words),
            sink.ready.eq(reader.sink.ready & counts.sink.ready),
        ]
        active = Signal()
        left   = Signal(COUNT_BITS)
        last   = Signal()
        slot   = Signal(max=parts)
        take   = Signal()
        words  = [reader.source.data[32*index:32*index + 32] for index in range(parts)]
        self.comb += [
            source.valid.eq(reader.source.valid & active),
            source.data.eq(Array(words)[slot]),
            take.eq(source.valid & source.ready),
            reader.source.ready.eq(active & source.ready & (last | (slot == parts - 1))),
            counts.source.ready.eq(~active | (take & last)),
        ]
        self.sync += [
            If(take,
                slot.eq(Mux(last | (slot == parts - 1), 0, slot + 1)),
                left.eq(left - 1),
                last.eq(left == 2),
            ),
            If(counts.source.ready,
                active.eq(counts.source.valid),
                left.eq(counts.source.words),
                last.eq(counts.source.words == 1),
            ),
        ]
