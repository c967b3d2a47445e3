# SPDX-License-Identifier: BSD-2-Clause
"""Take the UARTBone byte stream apart into headers and words, and send answers.

A frame is one byte of command (1 write, 2 read, 3 and 4 the same without increment), one of length in words (0 is 256),
four of word address and, for a write, the words; address and words come most significant byte first.
"""

from litex.gen import LiteXModule
from litex.soc.interconnect import stream
from migen import Case, Cat, If, Signal

HEADER_BYTES = 6
WORD_BYTES   = 4
COMMANDS     = {1: (1, 1), 2: (0, 1), 3: (1, 0), 4: (0, 0)}  # command: (write, increment)

FRAME = [
    ("write",      1),
    ("increment",  1),
    ("words",      9),  # 1 … 256
    ("address",   30),  # of the first word, in words
]
WORD = [("data", 32)]


def wide_layout(nbytes):
    """Stream of up to `nbytes` bytes a cycle: the first byte is the lowest, `count` says how many there are."""
    return [("data", 8*nbytes), ("count", 3)]


class _Deframer(LiteXModule):
    """What both widths share: the meaning of a header, the limit inside a frame.

    Parameters
    ----------
    timeout_cycles : int
        Rounded down to a power of two, which takes no comparison.

    Attributes
    ----------
    frame : stream.Endpoint(FRAME), out
        Headers of known commands; frames of others are skipped.
    word : stream.Endpoint(WORD), out
        Words of the write that the last header began.
    answer : stream.Endpoint(WORD), in
        Words for the host. `ready` stays once it is high, until a word is given.
    writing, reading : Signal(), in
        From the cycle after a frame is taken until its last word is taken or given: which of the two it is.
    framing : Signal(), out
        Inside a frame.
    hungry : Signal(), out
        Inside a frame, and it is the host's turn.
    abort : Signal(), out
        One cycle: the host sent nothing for `timeout_cycles` inside a frame, the rest of which is forgotten.
    """

    def __init__(self, timeout_cycles):
        self.frame   = frame = stream.Endpoint(FRAME)
        self.word    = stream.Endpoint(WORD)
        self.answer  = stream.Endpoint(WORD)
        self.writing = Signal()
        self.reading = Signal()
        self.framing = Signal()
        self.hungry  = Signal()
        self.abort   = Signal()

        # # #

        self.head  = head = Signal(8*HEADER_BYTES)  # a header, its first byte highest
        self.known = Signal()
        length     = head[32:40]
        cases = {code: [self.known.eq(1), frame.write.eq(write), frame.increment.eq(increment)]
                 for code, (write, increment) in COMMANDS.items()}
        self.comb += [
            Case(head[40:48], cases),
            frame.words.eq(Cat(length, length == 0)),
            frame.address.eq(head[:30]),
        ]
        quiet = Signal(timeout_cycles.bit_length())
        self.comb += self.abort.eq(quiet[-1])
        self.sync += If(self.hungry & ~self.abort, quiet.eq(quiet + 1)).Else(quiet.eq(0))


class ByteDeframer(_Deframer):
    """Deframer for one byte a cycle, as a UART gives it. It takes none while an answer is under way.

    One register holds a header, a word of a write and a word of an answer, in turn.

    Attributes
    ----------
    sink, source : stream.Endpoint([("data", 8)]), in and out
    """

    def __init__(self, timeout_cycles):
        super().__init__(timeout_cycles)
        self.sink   = sink   = stream.Endpoint([("data", 8)])
        self.source = source = stream.Endpoint([("data", 8)])

        # # #

        frame, word, answer = self.frame, self.word, self.answer
        count   = Signal(3)  # bytes of header or word that have come, or that have gone
        sending = Signal()
        drop    = Signal()
        header  = ~self.writing & (count == HEADER_BYTES)
        full    = header | (self.writing & (count == WORD_BYTES))
        come    = sink.valid & sink.ready
        gone    = source.valid & source.ready
        self.comb += [
            drop.eq(header & ~self.known),
            frame.valid.eq(header & self.known),
            word.valid.eq(self.writing & (count == WORD_BYTES)),
            word.data.eq(self.head[:32]),
            sink.ready.eq(~full & ~self.reading & ~sending),
            answer.ready.eq(~sending),
            source.valid.eq(sending),
            source.data.eq(self.head[24:32]),
            self.framing.eq(self.writing | sending | (count != 0)),
            self.hungry.eq((self.writing | (count != 0)) & ~full & ~sending & ~sink.valid),
        ]
        self.sync += [
            If(answer.valid & answer.ready,
                self.head[:32].eq(answer.data),
                sending.eq(1),
            ).Elif(come | gone,
                self.head.eq(Cat(sink.data, self.head[:40])),
                count.eq(count + 1),
            ),
            If(gone & (count == WORD_BYTES - 1), sending.eq(0), count.eq(0)),
            If((frame.valid & frame.ready) | (word.valid & word.ready) | drop | self.abort, count.eq(0)),
        ]


class WideDeframer(_Deframer):
    """Deframer for up to four bytes a cycle: a word a cycle, for links that are wider than a UART.

    Attributes
    ----------
    sink : stream.Endpoint(wide_layout(4)), in
    source : stream.Endpoint([("data", 32)]), out
        The first byte is the lowest.
    """

    def __init__(self, timeout_cycles):
        super().__init__(timeout_cycles)
        self.sink   = sink   = stream.Endpoint(wide_layout(WORD_BYTES))
        self.source = source = stream.Endpoint([("data", 8*WORD_BYTES)])

        # # #

        frame, word, answer = self.frame, self.word, self.answer
        # The oldest byte is lowest. A header that lacks one byte must leave room for four: 5 + 4.
        queue  = Signal(72)
        level  = Signal(4)
        take   = Signal(4)
        rest   = Signal(72)
        rest_n = Signal(4)
        added  = Signal(72)
        fresh  = Signal(32)
        drop   = Signal()
        oldest = [queue[8*i:8*i + 8] for i in range(HEADER_BYTES)]
        header = ~self.writing & (level >= HEADER_BYTES)
        self.comb += [
            self.head.eq(Cat(*reversed(oldest))),
            word.data.eq(Cat(*reversed(oldest[:WORD_BYTES]))),
            word.valid.eq(self.writing & (level >= WORD_BYTES)),
            frame.valid.eq(header & self.known),
            drop.eq(header & ~self.known),
            rest.eq(queue),
            If(word.valid & word.ready,
                take.eq(WORD_BYTES),
                rest.eq(queue[8*WORD_BYTES:]),
            ).Elif((frame.valid & frame.ready) | drop,
                take.eq(HEADER_BYTES),
                rest.eq(queue[8*HEADER_BYTES:]),
            ),
            rest_n.eq(level - take),
            sink.ready.eq(rest_n <= HEADER_BYTES - 1),
            Case(sink.count, {**{n: fresh.eq(sink.data[:8*n]) for n in (1, 2, 3)}, "default": fresh.eq(sink.data)}),
            Case(rest_n, {n: added.eq(fresh << 8*n) for n in range(HEADER_BYTES)}),
            self.framing.eq(self.writing | (level != 0) | source.valid),
            self.hungry.eq((self.writing | (level != 0)) & ~word.valid & ~header & ~sink.valid),
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
        # Answers wait in a register, so that `ready` stays.
        self.answers = answers = stream.Buffer(WORD)
        self.comb += [
            answer.connect(answers.sink),
            source.valid.eq(answers.source.valid),
            answers.source.ready.eq(source.ready),
        ]
        self.comb += [source.data[8*n:8*n + 8].eq(answers.source.data[24 - 8*n:32 - 8*n]) for n in range(WORD_BYTES)]
