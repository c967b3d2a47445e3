# SPDX-License-Identifier: BSD-2-Clause
"""Jobs that are posted and not collected: their tags, and how those ended that did."""

from litex.gen import LiteXModule
from litex.soc.interconnect import stream
from migen import If, Signal, bits_for


class Ledger(LiteXModule):
    """Every posted job ends once, in the order of posting, and is collected once.

    Parameters
    ----------
    depth : int
        Most jobs that are posted and not collected; the user keeps to it.

    Attributes
    ----------
    post : Signal(), in, with tag : Signal(32), in
        Strobe: a job is posted.
    sink : Endpoint([("code", 4), ("cycles", 32)]), in
        The oldest job that has not ended ends; there is always a place.
    source : Endpoint([("tag", 32), ("code", 4), ("cycles", 32)]), out
        Ended jobs; taking one collects it.
    posted, ended : Signal, out
        Jobs not collected, and those of them that the host sees as ended: their results are at the end of the FIFO.
    busy : Signal(), out
        A job is posted and has not ended.
    known : Signal(), out
        The tag of the oldest such job has arrived: it may end.
    """

    def __init__(self, depth):
        layout = [("tag", 32), ("code", 4), ("cycles", 32)]
        self.post   = Signal()
        self.tag    = Signal(32)
        self.sink   = sink = stream.Endpoint([("code", 4), ("cycles", 32)])
        self.source = stream.Endpoint(layout)
        self.posted = Signal(bits_for(depth))
        self.ended  = Signal(bits_for(depth))
        self.busy   = Signal()
        self.known  = Signal()

        # # #

        # Not shallower than what synthesis puts into block RAM.
        self.tags = tags = stream.SyncFIFO([("tag", 32)], max(depth, 16), buffered=True)
        self.done = done = stream.SyncFIFO(layout, max(depth, 16), buffered=True)
        ended   = Signal(bits_for(depth))
        finish  = Signal()
        collect = Signal()
        self.comb += [
            tags.sink.valid.eq(self.post),
            tags.sink.tag.eq(self.tag),
            sink.ready.eq(1),
            finish.eq(sink.valid),
            done.sink.valid.eq(finish),
            done.sink.tag.eq(tags.source.tag),
            done.sink.code.eq(sink.code),
            done.sink.cycles.eq(sink.cycles),
            tags.source.ready.eq(finish),
            done.source.connect(self.source),
            collect.eq(self.source.valid & self.source.ready),
            self.busy.eq(self.posted != ended),
            self.known.eq(tags.source.valid & self.busy),
            If(self.source.valid, self.ended.eq(ended)),
        ]
        self.sync += [
            self.posted.eq(self.posted + self.post - collect),
            ended.eq(ended + finish - collect),
        ]
