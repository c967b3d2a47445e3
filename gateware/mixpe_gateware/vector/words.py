# SPDX-License-Identifier: BSD-2-Clause
"""Operands from memory, a 32-bit word at a time.

    regions ─► requests ─► memory words ─► 32-bit words, those behind a region's last one dropped

What is only measured need not come word by word: of each memory word the one of largest magnitude is enough.
"""

from functools import reduce
from itertools import combinations
from operator import and_

from litex.gen import LiteXModule
from litex.soc.interconnect import stream
from migen import Array, If, Mux, Signal

from mixpe_gateware.contract.program.records import ROWS_MAX
from mixpe_gateware.contract.widths import log2
from mixpe_gateware.stream.fanout import register_stage
from mixpe_gateware.stream.reader import RegionReader

PLACE_BITS = 30  # of a word's offset
COUNT_BITS = 23  # of a region's words
AHEAD      = 4   # regions that are requested and not yet heard
STEP_BITS  = ROWS_MAX.bit_length()

REGION_LAYOUT = [("place", PLACE_BITS), ("words", COUNT_BITS), ("span", COUNT_BITS), ("skip", STEP_BITS),
    ("most", 1)]


class WordReader(LiteXModule):
    """Read regions of words, in order.

    Throughput a word a cycle as far as the memory gives it, without a pause between regions.

    Parameters
    ----------
    config : Config
    port : LiteDRAMNativePort
    measures : bool
        There are regions with `most`; words come a cycle later then.

    Attributes
    ----------
    parts : int
        32-bit words of a memory word.
    sink : Endpoint(REGION_LAYOUT), in
        Offset in words, a multiple of the memory's; so many words, one or more, of which the first is `skip` behind
        the offset and the last is the last of `span` that are read. With
        `most` each is the one of largest magnitude of a memory word, and there are span/parts.
    step : Signal(7), in
        From a word to the next one. It stays while a record's regions are read.
    source : Endpoint([("data", 32)]), out
    enable : Signal(), in; idle : Signal(), out
        Of a `RegionReader`.
    beat : Signal(), out
        A memory word has come.
    """

    def __init__(self, config, port, measures=False):
        self.sink   = sink   = stream.Endpoint(REGION_LAYOUT)
        self.step   = Signal(STEP_BITS, reset=1)
        self.source = source = stream.Endpoint([("data", 32)])
        self.enable = Signal(reset=1)
        self.idle   = Signal()
        self.beat   = Signal()

        # # #

        bits  = max(32, config.memory_bits)
        parts = self.parts = bits//32
        depth = 4 if config.is_shallow else 16
        self.reader = reader = RegionReader([port], fifo_depth=depth, data_width=bits, buffered=not config.is_shallow)
        self.comb += [
            reader.enable.eq(self.enable),
            self.idle.eq(reader.idle),
            self.beat.eq(port.rdata.valid),
            reader.sink.start.eq(sink.place[log2(parts):]),
            reader.sink.beats.eq((sink.span + parts - 1) >> log2(parts)),
        ]
        memory = reader.source
        if measures and parts > 1:
            self.measured = measured = register_stage([("data", bits), ("largest", log2(parts))])
            self.comb += [
                memory.connect(measured.sink, keep={"valid", "ready", "data"}),
                measured.sink.largest.eq(self._largest([memory.data[32*index:32*index + 31]
                    for index in range(parts)])),
            ]
            memory = measured.source
        self.counts = counts = stream.SyncFIFO([("words", COUNT_BITS), ("skip", STEP_BITS), ("most", 1)], AHEAD)
        self.comb += [
            reader.sink.valid.eq(sink.valid & counts.sink.ready),
            counts.sink.valid.eq(sink.valid & reader.sink.ready),
            counts.sink.words.eq(sink.words),
            counts.sink.skip.eq(sink.skip),
            counts.sink.most.eq(sink.most),
            sink.ready.eq(reader.sink.ready & counts.sink.ready),
        ]
        active = Signal()
        left   = Signal(COUNT_BITS)
        last   = Signal()
        slot   = Signal(STEP_BITS + 1)  # of the next word, counted from the memory word that is there
        behind = Signal(STEP_BITS + 1)  # of the one after it
        far    = Signal()               # it lies in another memory word
        most   = Signal()
        take   = Signal()
        which  = slot[:log2(parts)]
        words  = Array(memory.data[32*index:32*index + 32] for index in range(parts))
        if measures and parts > 1:
            which = Mux(most, memory.largest, which)
        self.comb += [
            far.eq(slot[log2(parts):] != 0),
            behind.eq(slot + Mux(most, parts, self.step)),
            source.valid.eq(memory.valid & active & ~far),
            source.data.eq(words[which] if parts > 1 else words[0]),
            take.eq(source.valid & source.ready),
            memory.ready.eq(active & (far | (source.ready & (last | (behind[log2(parts):] != 0))))),
            counts.source.ready.eq(~active | (take & last)),
        ]
        self.sync += [
            If(active & memory.valid & far, slot.eq(slot - parts)),
            If(take,
                slot.eq(Mux(behind[log2(parts):] != 0, behind - parts, behind)),
                left.eq(left - 1),
                last.eq(left == 2),
            ),
            If(counts.source.ready,
                active.eq(counts.source.valid),
                slot.eq(counts.source.skip),
                most.eq(counts.source.most),
                left.eq(counts.source.words),
                last.eq(counts.source.words == 1),
            ),
        ]

    def _largest(self, magnitudes):
        """Index of the largest of some magnitudes: each is held against each."""
        count  = len(magnitudes)
        behind = {}  # (a, b): a is not the largest, since b is larger
        for a, b in combinations(range(count), 2):
            less = Signal()
            self.comb += less.eq(magnitudes[a] < magnitudes[b])
            behind[a, b], behind[b, a] = less, ~less
        found = Signal(log2(count))
        for index in range(count):
            others = [~behind[index, other] for other in range(count) if other != index]
            self.comb += If(reduce(and_, others), found.eq(index))
        return found
