# SPDX-License-Identifier: BSD-2-Clause
"""Frames and plain commands out of a stream of bytes that may be damaged: what comes out of here may be carried out."""

from litex.gen import LiteXModule, reverse_bytes
from litex.soc.interconnect import stream
from migen import FSM, Case, Cat, If, NextState, NextValue, Signal

from mixpe_gateware.contract.frames import (
    DATA,
    END,
    FOREIGN,
    FRAME_WORDS,
    FRAMED,
    HEADER_WORDS,
    HERE,
    LATE,
    NUMBER_BITS,
    POWER_ON,
    PROBE,
    START,
    SYNC_UP,
    TAKEN,
)
from mixpe_gateware.link.deframer import COMMANDS, WORD_BYTES
from mixpe_gateware.link.payload_fifo import PayloadFIFO
from mixpe_gateware.link.window import ByteWindow
from mixpe_gateware.stream.crc32 import START as CRC_START
from mixpe_gateware.stream.crc32 import crc_terms

# With the two bits that a FIFO adds these are 64, which a simulator has in a register.
REQUEST = [
    ("access",     1),  # the bus or the memory is to be written or read
    ("framed",     1),  # and an answer of kind `answer` sent; without: only what is read
    ("write",      1),
    ("increment",  1),
    ("length",     8),  # words; 0 is 256
    ("address",   30),
    ("answer",     3),  # low bits of the kind
    ("number",    NUMBER_BITS),
    ("opens",      1),  # a session begins: answers of the one before are forgotten
]
ANSWER_BITS   = 3
REQUEST_DEPTH = 32
PAYLOAD_DEPTH = 2*FRAME_WORDS


def short(kind):
    """The bits of an answer's kind in which they differ."""
    return kind & (1 << ANSWER_BITS) - 1


class Crc32(LiteXModule):
    """CRC-32 of words, a word a cycle.

    Attributes
    ----------
    word : Signal(32), in
        Its highest byte came first.
    restart, step : Signal(), in
        Begin anew; take the word. Not both.
    value : Signal(32), out
        Of all words that were taken.
    """

    def __init__(self):
        self.word    = word = Signal(32)
        self.restart = Signal()
        self.step    = Signal()
        self.value   = Signal(32)

        # # #

        state = Signal(32, reset=CRC_START)
        mixed = Signal(32)
        self.comb += [
            mixed.eq(state ^ reverse_bytes(word)),
            self.value.eq(~state),
        ]
        self.sync += [
            If(self.step, state.eq(Cat(*crc_terms(mixed, 32)))),
            If(self.restart, state.eq(CRC_START)),
        ]


class FrameReceiver(LiteXModule):
    """Looks for frames at every byte, checks them, and hands on what is to be carried out.

    A frame's words are held back until its CRC is known to be right, so nothing of a damaged one goes further; a plain
    write's until all have come. It takes bytes until its buffers are full: `REQUEST_DEPTH` requests,
    `PAYLOAD_DEPTH` words.

    Parameters
    ----------
    layout : list
        Of `sink`, as of `ByteWindow`.
    timeout_cycles : int
        A frame is forgotten when the host sends nothing for so long inside it; rounded down to a power of two.

    Attributes
    ----------
    sink : stream.Endpoint(layout), in
    requests : stream.Endpoint(REQUEST), out
        In the order in which they came.
    payload : stream.Endpoint([("data", 32)]), out
        Words of the writes among them, whole before their request.
    session : Signal(32), out
    due : Signal(16), out
        Number of the next frame.
    attached : Signal(), in
        A host is there. Without one what came in part is forgotten, and plain commands are taken again.
    framing : Signal(), out
        Inside a frame, or requests wait.
    hungry : Signal(), out
        Inside a frame, and it is the host's turn.
    """

    def __init__(self, layout, timeout_cycles):
        self.window   = window = ByteWindow(layout)
        self.sink     = window.sink
        self.session  = Signal(32, reset=POWER_ON)
        self.due      = Signal(NUMBER_BITS)
        self.attached = Signal(reset=1)
        self.framing  = Signal()
        self.hungry   = Signal()

        # # #

        self.crc      = crc = Crc32()
        self.fifo     = fifo = PayloadFIFO(PAYLOAD_DEPTH)
        self.queue    = queue = stream.SyncFIFO(REQUEST, REQUEST_DEPTH)
        self.requests = queue.source
        self.payload  = fifo.source
        self._request = queue.sink
        self._locked  = Signal()   # frames alone
        self._kinds   = Signal(32)  # word 1 of a header
        self._named   = Signal(32)  # word 2
        self._word    = Signal(32)  # word 3
        self._index   = Signal(2)
        self._left    = Signal(9)
        self._plain   = Signal()
        self._due     = Signal()   # the frame is to be carried out
        self._answer  = Signal(ANSWER_BITS)
        self._opens   = Signal()
        self._read_header()

        whole  = window.level >= WORD_BYTES
        first  = window.word[24:32]
        lapse  = Signal()
        quiet  = Signal(timeout_cycles.bit_length())
        self.comb += [crc.word.eq(window.word), fifo.sink.data.eq(window.word)]
        self.fsm = fsm = FSM(reset_state="HUNT")
        fsm.act("HUNT",
            crc.restart.eq(1),
            NextValue(self._index, 0),
            NextValue(self._opens, 0),
            If(window.level != 0,
                If(first == SYNC_UP >> 24,
                    If(whole,
                        If(window.word == SYNC_UP,
                            window.take.eq(4),
                            NextValue(self._plain, 0),
                            NextState("HEADER"),
                        ).Else(
                            window.take.eq(1),
                        ),
                    ),
                ).Elif((first >= min(COMMANDS)) & (first <= max(COMMANDS)) & ~self._locked,
                    If(whole,
                        # No address has the highest bits, and every frame that opens a session would have them there.
                        If(window.word[14:16] == 0,
                            window.take.eq(4),
                            NextValue(self._named, window.word),
                            NextValue(self._plain, 1),
                            NextState("ADDRESS"),
                        ).Else(
                            window.take.eq(1),
                        ),
                    ),
                ).Else(
                    window.take.eq(1),
                ),
            ),
        )
        self._act_on_plain(fsm)
        self._act_on_frames(fsm)
        fsm.act("PUSH",
            self._request.valid.eq(1),
            If(self._request.ready, NextState("HUNT")),
        )
        stuck = ~fsm.ongoing("PUSH") & (~fsm.ongoing("HUNT") | (window.level != 0)) & ~whole
        self.comb += [
            self.hungry.eq(stuck & (window.take == 0) & ~window.sink.valid & ~queue.source.valid),
            lapse.eq(quiet[-1] | ~self.attached),
            window.clear.eq(lapse),
            self.framing.eq(~fsm.ongoing("HUNT") | (window.level != 0) | queue.source.valid),
        ]
        self.sync += [
            If(self.hungry & ~lapse, quiet.eq(quiet + 1)).Else(quiet.eq(0)),
            If(~self.attached, self._locked.eq(0)),
        ]
        for state in ("HEADER", "JUDGE", "WORDS", "CHECK", "ADDRESS", "PLAIN-WORDS"):
            fsm.act(state, If(lapse, fifo.undo.eq(1), NextState("HUNT")))

    def _read_header(self):
        """What the words of a header say, and the request that comes of it."""
        request       = self._request
        named, word   = self._named, self._word
        self._kind    = kind = self._kinds[24:]
        self._number  = self._kinds[:16]
        # Of a plain command: command, length and address as they came, in the place of session and word 3.
        code          = Signal(8)
        self._known   = Signal()
        self._write   = Signal()
        increment     = Signal()
        cases = {command: [self._known.eq(1), self._write.eq(write), increment.eq(inc)]
                 for command, (write, inc) in COMMANDS.items()}
        self._count   = Signal(9)
        self.comb += [
            code.eq(kind ^ FRAMED),
            request.length.eq(self._kinds[16:24]),
            request.address.eq(word),
            If(self._plain,
                code.eq(named[24:]),
                request.length.eq(named[16:24]),
                request.address.eq(Cat(word[16:], named[:14])),
            ),
            self._count.eq(Cat(request.length, request.length == 0)),
            Case(code, cases),
            request.access.eq(self._plain | self._due),
            request.framed.eq(~self._plain),
            request.write.eq(self._write),
            request.increment.eq(increment),
            request.answer.eq(self._answer),
            request.number.eq(self._number),
            request.opens.eq(self._opens),
        ]

    def _act_on_plain(self, fsm):
        """LiteX's UARTBone: two more bytes of address, then the words of a write."""
        window, fifo = self.window, self.fifo
        fsm.act("ADDRESS",
            If(window.level >= 2,
                window.take.eq(2),
                NextValue(self._word[16:], window.word[16:]),
                NextValue(self._left, self._count),
                If(self._write, NextState("PLAIN-WORDS")).Else(NextState("PUSH")),
            ),
        )
        fsm.act("PLAIN-WORDS",
            If(self._left == 0,
                fifo.commit.eq(1),
                NextState("PUSH"),
            ).Elif((window.level >= WORD_BYTES),
                fifo.sink.valid.eq(1),
                If(fifo.sink.ready,
                    window.take.eq(4),
                    NextValue(self._left, self._left - 1),
                ),
            ),
        )

    def _act_on_frames(self, fsm):
        """A header, its meaning, the words of a write and their CRC."""
        window, fifo, crc = self.window, self.fifo, self.crc
        whole, good = window.level >= WORD_BYTES, Signal()
        fsm.act("HEADER",
            If(whole,
                window.take.eq(4),
                If(self._index != HEADER_WORDS - 2,
                    crc.step.eq(1),
                    NextValue(self._kinds, self._named),
                    NextValue(self._named, self._word),
                    NextValue(self._word, window.word),
                ),
                NextValue(good, window.word == crc.value),
                NextValue(self._index, self._index + 1),
                If(self._index == HEADER_WORDS - 2, NextState("JUDGE")),
            ),
        )
        mine, is_due = Signal(), Signal()
        self.comb += [
            mine.eq(self._named == self.session),
            is_due.eq(mine & (self._number == self.due)),
        ]
        opens = (self._kind == START) & (self._word == self.session)
        fsm.act("JUDGE",
            NextState("HUNT"),
            NextValue(self._due, 0),
            NextValue(self._left, self._count),
            If(good,
                If((self._kind == PROBE) | (self._kind == START) | (self._kind == END),
                    NextValue(self._answer, short(HERE)),
                    NextState("PUSH"),
                    If(opens,
                        NextValue(self.session, self._named),
                        NextValue(self.due, self._number),
                        NextValue(self._locked, 1),
                        NextValue(self._opens, 1),
                    ),
                    If((self._kind == END) & mine, NextValue(self._locked, 0)),
                ).Elif(self._known,
                    NextValue(self._answer, short(FOREIGN)),
                    If(mine, NextValue(self._answer, short(LATE))),
                    If(is_due,
                        NextValue(self._due, 1),
                        NextValue(self._answer, short(DATA)),
                        If(self._write, NextValue(self._answer, short(TAKEN))),
                    ),
                    If(self._write,
                        NextState("WORDS"),
                    ).Else(
                        If(is_due, NextValue(self.due, self.due + 1)),
                        NextState("PUSH"),
                    ),
                ),
            ),
        )
        fsm.act("WORDS",
            If(whole,
                fifo.sink.valid.eq(self._due),
                If(fifo.sink.ready | ~self._due,
                    window.take.eq(4),
                    crc.step.eq(1),
                    NextValue(self._left, self._left - 1),
                    If(self._left == 1, NextState("CHECK")),
                ),
            ),
        )
        fsm.act("CHECK",
            If(whole & (window.word == crc.value),
                self._request.valid.eq(1),
                If(self._request.ready,
                    window.take.eq(4),
                    fifo.commit.eq(self._due),
                    If(self._due, NextValue(self.due, self.due + 1)),
                    NextState("HUNT"),
                ),
            ).Elif(whole,
                window.take.eq(4),
                fifo.undo.eq(1),
                NextState("HUNT"),
            ),
        )
