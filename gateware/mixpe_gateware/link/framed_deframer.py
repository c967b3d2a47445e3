# SPDX-License-Identifier: BSD-2-Clause
"""The bridge's way to a host over a line that damages bytes: frames of ours, and LiteX's UARTBone beside them."""

from litex.gen import LiteXModule, reverse_bytes
from litex.soc.interconnect import stream
from migen import If, Signal

from mixpe_gateware.link.deframer import WORD_BYTES, wide_layout
from mixpe_gateware.link.frame_receiver import FrameReceiver
from mixpe_gateware.link.frame_server import FrameServer


class WordSender(LiteXModule):
    """Words as bytes, one a cycle, the highest first.

    Attributes
    ----------
    sink : stream.Endpoint([("data", 32)]), in
    source : stream.Endpoint([("data", 8)]), out
    """

    def __init__(self):
        self.sink   = sink   = stream.Endpoint([("data", 32)])
        self.source = source = stream.Endpoint([("data", 8)])

        # # #

        word  = Signal(32)
        left  = Signal(3)
        taken = Signal()
        self.comb += [
            taken.eq(source.valid & source.ready),
            source.valid.eq(left != 0),
            source.data.eq(word[24:]),
            sink.ready.eq((left == 0) | (taken & (left == 1))),
        ]
        self.sync += [
            If(taken, word.eq(word << 8), left.eq(left - 1)),
            If(sink.valid & sink.ready, word.eq(sink.data), left.eq(WORD_BYTES)),
        ]


class FramedDeframer(LiteXModule):
    """In the place of a plain deframer: frames as `contract.frames` has them, and UARTBone between sessions.

        sink ──► FrameReceiver ──requests──► FrameServer ──► frame
                      └──────payload──► word       ▲ └──► source
                                        answer ────┘

    Nothing that `frame` and `word` give is ever taken back, so `abort` is never high.

    Parameters
    ----------
    timeout_cycles : int
        As of `FrameReceiver`.
    wide : bool
        Four bytes a cycle instead of one.

    Attributes
    ----------
    sink, source, frame, word, answer, writing, reading, framing, hungry, abort
        As of the plain deframers.
    attached : Signal(), in
        As of `FrameReceiver`.
    """

    def __init__(self, timeout_cycles, *, wide):
        layout        = wide_layout(WORD_BYTES) if wide else [("data", 8)]
        self.receiver = receiver = FrameReceiver(layout, timeout_cycles)
        self.server   = server   = FrameServer()
        self.sink     = receiver.sink
        self.frame    = server.frame
        self.word     = receiver.payload
        self.answer   = server.answer
        self.attached = receiver.attached
        self.writing  = Signal()
        self.reading  = Signal()
        self.framing  = Signal()
        self.hungry   = Signal()
        self.abort    = Signal()

        # # #

        if wide:
            self.source = source = stream.Endpoint([("data", 8*WORD_BYTES)])
            self.comb += [
                source.valid.eq(server.source.valid),
                source.data.eq(reverse_bytes(server.source.data)),
                server.source.ready.eq(source.ready),
            ]
        else:
            self.sender = sender = WordSender()
            self.source = source = sender.source
            self.comb  += server.source.connect(sender.sink)
        self.comb += [
            receiver.requests.connect(server.requests),
            server.session.eq(receiver.session),
            server.due.eq(receiver.due),
            server.working.eq(self.writing | self.reading),
            self.framing.eq(receiver.framing | server.busy | source.valid),
            self.hungry.eq(receiver.hungry & ~server.busy & ~source.valid),
        ]
