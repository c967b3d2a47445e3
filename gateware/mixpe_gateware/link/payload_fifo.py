# SPDX-License-Identifier: BSD-2-Clause
"""Words that go on only when their frame is known to be whole."""

from litex.gen import LiteXModule
from litex.soc.interconnect import stream
from migen import READ_FIRST, If, Memory, Signal


class PayloadFIFO(LiteXModule):
    """A FIFO in block RAM whose last words can be taken back.

        sink ──► words of the frame that comes ──commit──► source
                                               └─undo────► gone

    A word a cycle on both sides; a committed word is at `source` two cycles later.

    Parameters
    ----------
    depth : int
        Words; a power of two, at least twice the longest frame for frames to follow each other without a pause.

    Attributes
    ----------
    sink, source : stream.Endpoint([("data", 32)]), in and out
    commit, undo : Signal(), in
        One cycle, without a word at `sink`: what came since the last of either goes on, or is forgotten. Of both
        `commit` counts.
    """

    def __init__(self, depth):
        self.sink   = sink   = stream.Endpoint([("data", 32)])
        self.source = source = stream.Endpoint([("data", 32)])
        self.commit = Signal()
        self.undo   = Signal()

        # # #

        bits    = depth.bit_length()  # one more than an address has
        written = Signal(bits)
        whole   = Signal(bits)
        fetched = Signal(bits)
        level   = Signal(bits)
        fetch   = Signal()
        memory  = Memory(32, depth)
        write   = memory.get_port(write_capable=True)
        read    = memory.get_port(has_re=True, mode=READ_FIRST)  # what was fetched stays when its place is used again
        self.specials += memory, write, read
        self.comb += [
            level.eq(written - fetched),
            sink.ready.eq(level != depth),
            write.adr.eq(written),
            write.dat_w.eq(sink.data),
            write.we.eq(sink.valid & sink.ready),
            fetch.eq((fetched != whole) & (~source.valid | source.ready)),
            read.adr.eq(fetched),
            read.re.eq(fetch),
            source.data.eq(read.dat_r),
        ]
        self.sync += [
            If(sink.valid & sink.ready, written.eq(written + 1)),
            If(self.commit, whole.eq(written)).Elif(self.undo, written.eq(whole)),
            If(source.ready, source.valid.eq(0)),
            If(fetch, source.valid.eq(1), fetched.eq(fetched + 1)),
        ]
