# SPDX-License-Identifier: BSD-2-Clause
"""The next bytes of a stream, of which any number is taken: to look for a word at any byte."""

from litex.gen import LiteXModule, reverse_bytes
from litex.soc.interconnect import stream
from migen import Case, If, Signal

WORD_BYTES = 4


class ByteWindow(LiteXModule):
    """Up to four bytes a cycle come in; the oldest four are seen, and none, one, two or four of them taken.

    A byte that comes is seen in the next cycle. With four a cycle on both sides none waits.

    Parameters
    ----------
    layout : list
        Of the stream: `wide_layout(4)`, or ``[("data", 8)]``.

    Attributes
    ----------
    sink : stream.Endpoint(layout), in
    word : Signal(32), out
        The oldest byte is the highest.
    level : Signal, out
        Bytes that are here; more than four count as four or more.
    take : Signal(3), in
        0, 1, 2 or 4, and no more than there are.
    clear : Signal(), in
        Forget all that is here.
    """

    def __init__(self, layout):
        self.sink  = sink = stream.Endpoint(layout)
        width      = len(sink.data)//8
        room       = WORD_BYTES if width == 1 else 2*WORD_BYTES
        self.word  = Signal(32)
        self.level = level = Signal(max=room + 1)
        self.take  = take = Signal(3)
        self.clear = Signal()

        # # #

        queue  = Signal(8*room)  # the oldest byte is lowest
        rest   = Signal(8*room)
        rest_n = Signal(max=room + 1)
        fresh  = Signal(8*width)
        added  = Signal(8*room)
        count  = 1 if width == 1 else sink.count
        takes  = {n: rest.eq(queue[8*n:]) for n in (1, 2)}
        takes[4] = rest.eq(queue[32:] if room > WORD_BYTES else 0)
        self.comb += [
            self.word.eq(reverse_bytes(queue[:8*WORD_BYTES])),
            Case(take, {**takes, "default": rest.eq(queue)}),
            rest_n.eq(level - take),
            sink.ready.eq(rest_n <= room - width),
            Case(rest_n, {n: added.eq(fresh << 8*n) for n in range(room - width + 1)}),
        ]
        if width == 1:
            self.comb += fresh.eq(sink.data)
        else:
            self.comb += Case(count, {**{n: fresh.eq(sink.data[:8*n]) for n in range(1, width)},
                "default": fresh.eq(sink.data)})
        self.sync += [
            queue.eq(rest),
            level.eq(rest_n),
            If(sink.valid & sink.ready,
                queue.eq(rest | added),
                level.eq(rest_n + count),
            ),
            If(self.clear, queue.eq(0), level.eq(0)),
        ]
