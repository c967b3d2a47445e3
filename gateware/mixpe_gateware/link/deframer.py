# SPDX-License-Identifier: BSD-2-Clause
"""Take the UARTBone byte stream apart into headers and words.

A frame is one byte of command (1 write, 2 read, 3 and 4 the same without increment), one of length in words (0 is 256),
four of word address and, for a write, the words; address and words come most significant byte first.
"""

from litex.gen import LiteXModule
from litex.soc.interconnect import stream
from migen import Case, Cat, If, Signal

HEADER_BYTES = 6
WORD_BYTES   = 4
COMMANDS     = {1: (1, 1), 2: (0, 1), 3: (1, 0), 4: (0, 0)}  # command: (write, increment)

TOKEN = [
    ("header",     1),  # a header, or else a word of the write that the last header began
    ("write",      1),
    ("increment",  1),
    ("words",      9),  # of the frame, 1 … 256
    ("address",   30),  # of the first word, in words
    ("data",      32),
]


def wide_layout(nbytes):
    """Stream of up to `nbytes` bytes a cycle: the first byte is the lowest, `count` says how many there are."""
    return [("data", 8*nbytes), ("count", 3)]


class _Deframer(LiteXModule):
    """What both widths share: the meaning of a header, the words that are left, the limit inside a frame.

    Attributes
    ----------
    source : stream.Endpoint(TOKEN), out
        `last` marks the last word of a write.
    framing : Signal(), out
        Inside a frame.
    hungry : Signal(), out
        Inside a frame, and it is the host's turn.
    abort : Signal(), out
        One cycle: the host sent nothing for `timeout_cycles` inside a frame, the rest of which is forgotten.
    """

    def __init__(self, timeout_cycles):
        self.source  = stream.Endpoint(TOKEN)
        self.framing = Signal()
        self.hungry  = Signal()
        self.abort   = Signal()
        self.left    = Signal(9)   # words of a write that are still to come
        self.head    = Signal(8*HEADER_BYTES)  # a header, its first byte highest

        # # #

        command = self.head[40:48]
        length  = self.head[32:40]
        known   = Signal()
        source  = self.source
        self.known = known
        cases = {code: [known.eq(1), source.write.eq(write), source.increment.eq(increment)]
                 for code, (write, increment) in COMMANDS.items()}
        self.comb += [
            Case(command, cases),
            source.header.eq(self.left == 0),
            source.words.eq(length),
            If(length == 0, source.words.eq(256)),
            source.address.eq(self.head[:30]),
            source.last.eq(self.left == 1),
        ]
        quiet = Signal(max=timeout_cycles + 1)
        self.comb += self.abort.eq(quiet == timeout_cycles)
        self.sync += [
            If(source.valid & source.ready,
                If(self.left != 0,
                    self.left.eq(self.left - 1),
                ).Elif(source.write,
                    self.left.eq(source.words),
                )
            ),
            If(self.hungry & ~self.abort, quiet.eq(quiet + 1)).Else(quiet.eq(0)),
            If(self.abort, self.left.eq(0)),
        ]


class ByteDeframer(_Deframer):
    """Deframer for one byte a cycle, as a UART gives it."""

    def __init__(self, timeout_cycles):
        super().__init__(timeout_cycles)
        self.sink = sink = stream.Endpoint([("data", 8)])

        # # #

        count = Signal(3)  # bytes of the header or word that have come
        full  = Signal()
        drop  = Signal()
        self.comb += [
            self.source.data.eq(self.head[:32]),
            full.eq((count == HEADER_BYTES) | ((self.left != 0) & (count == WORD_BYTES))),
            drop.eq(full & (self.left == 0) & ~self.known),
            self.source.valid.eq(full & ~drop),
            sink.ready.eq(~full),
            self.framing.eq((self.left != 0) | (count != 0)),
            self.hungry.eq(self.framing & ~full & ~sink.valid),
        ]
        self.sync += [
            If(sink.valid & sink.ready,
                self.head.eq(Cat(sink.data, self.head[:40])),
                count.eq(count + 1),
            ),
            If((self.source.valid & self.source.ready) | drop | self.abort, count.eq(0)),
        ]


class WideDeframer(_Deframer):
    """Deframer for up to four bytes a cycle: a word a cycle, for links that are wider than a UART."""

    def __init__(self, timeout_cycles):
        super().__init__(timeout_cycles)
        self.sink = sink = stream.Endpoint(wide_layout(4))

        # # #

        # The oldest byte is lowest. A header that lacks one byte must leave room for four: 5 + 4.
        queue   = Signal(72)
        level   = Signal(4)
        take    = Signal(4)
        rest    = Signal(72)
        rest_n  = Signal(4)
        added   = Signal(72)
        fresh   = Signal(32)
        drop    = Signal()
        oldest  = [queue[8*i:8*i + 8] for i in range(HEADER_BYTES)]
        is_word = self.left != 0
        self.comb += [
            self.head.eq(Cat(*reversed(oldest))),
            self.source.data.eq(Cat(*reversed(oldest[:WORD_BYTES]))),
            drop.eq(~is_word & (level >= HEADER_BYTES) & ~self.known),
            self.source.valid.eq((is_word & (level >= WORD_BYTES))
                                 | (~is_word & (level >= HEADER_BYTES) & self.known)),
            rest.eq(queue),
            If(self.source.valid & self.source.ready & is_word,
                take.eq(WORD_BYTES),
                rest.eq(queue[8*WORD_BYTES:]),
            ).Elif((self.source.valid & self.source.ready) | drop,
                take.eq(HEADER_BYTES),
                rest.eq(queue[8*HEADER_BYTES:]),
            ),
            rest_n.eq(level - take),
            sink.ready.eq(rest_n <= HEADER_BYTES - 1),
            Case(sink.count, {**{n: fresh.eq(sink.data[:8*n]) for n in (1, 2, 3)}, "default": fresh.eq(sink.data)}),
            Case(rest_n, {n: added.eq(fresh << 8*n) for n in range(HEADER_BYTES)}),
            self.framing.eq(is_word | (level != 0)),
            self.hungry.eq(self.framing & ~self.source.valid & ~drop & ~sink.valid),
        ]
        self.sync += [
            queue.eq(rest),
            level.eq(rest_n),
            If(sink.valid & sink.ready,
                queue.eq(rest | added),
                level.eq(rest_n + sink.count),
            ),
            If(self.abort, level.eq(0), queue.eq(0)),
        ]
