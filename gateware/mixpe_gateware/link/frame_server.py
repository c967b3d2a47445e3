# SPDX-License-Identifier: BSD-2-Clause
"""Requests carried out in order, and their answers as frames."""

from litex.gen import LiteXModule
from litex.soc.interconnect import stream
from migen import FSM, Case, Cat, Constant, If, Memory, NextState, NextValue, Signal

from mixpe_gateware.contract.frames import (
    DATA,
    FRAME_WORDS,
    HEADER_WORDS,
    LATE,
    NUMBER_BITS,
    POWER_ON,
    SYNC_DOWN,
    TAKEN,
)
from mixpe_gateware.link.deframer import FRAME, WORD
from mixpe_gateware.link.frame_receiver import ANSWER_BITS, REQUEST, Crc32, short

HEADER_END = HEADER_WORDS - 1  # index of its last word
KIND       = Constant(TAKEN >> ANSWER_BITS, 8 - ANSWER_BITS)  # what all kinds of answers have in common


class FrameServer(LiteXModule):
    """Takes requests one by one, has them carried out, and answers.

        requests ──┬─► frame  (the access; the bus or the memory carries it out)
                   └─► source ◄── header, words, CRC
        answer ────────┘   └──► kept: the answer to the last read, should it be asked for again

    A read's header goes out while its first words are fetched; then a word a cycle, and one in three of what was kept.
    A write is answered when it begins: nothing can keep it from happening, and before all that comes later.

    Attributes
    ----------
    requests : stream.Endpoint(REQUEST), in
    session, due : Signal, in
        As of `FrameReceiver`.
    frame : stream.Endpoint(FRAME), out
    working : Signal(), in
        From the cycle after `frame` is taken until its last word is taken or given.
    answer : stream.Endpoint(WORD), in
        What is read.
    source : stream.Endpoint(WORD), out
        For the host; the highest byte first.
    busy : Signal(), out
    """

    def __init__(self):
        self.requests = requests = stream.Endpoint(REQUEST)
        self.session  = Signal(32)
        self.due      = Signal(NUMBER_BITS)
        self.frame    = frame = stream.Endpoint(FRAME)
        self.working  = Signal()
        self.answers  = answers = stream.Buffer(WORD)  # `ready` stays once it is high
        self.answer   = answers.sink
        self.source   = source = stream.Endpoint(WORD)
        self.busy     = Signal()

        # # #

        self._session = Signal(32, reset=POWER_ON)  # of the requests that are served
        self._has     = Signal()             # an answer is kept
        self._number  = Signal(NUMBER_BITS)  # of the read that it belongs to
        self._count   = Signal(9)            # its words
        self._index   = Signal(9)            # of the word that goes out, in the header or behind it
        self._replay  = Signal()
        self._answer  = Signal(ANSWER_BITS)  # the kind that is sent
        self._words   = Signal(9)            # behind the header
        self._sent    = Signal()
        self._wanted  = words = Signal(9)    # by the request
        self.crc      = crc = Crc32()
        self.comb += [
            frame.write.eq(requests.write),
            frame.increment.eq(requests.increment),
            words.eq(Cat(requests.length, requests.length == 0)),
            frame.words.eq(words),
            frame.address.eq(requests.address),
            self._sent.eq(source.valid & source.ready),
            crc.word.eq(source.data),
        ]
        self.fsm = fsm = FSM(reset_state="IDLE")
        self.comb += self.busy.eq(~fsm.ongoing("IDLE") | answers.source.valid)
        self._act_on_requests(fsm)
        self._send_header(fsm)
        self._send_words(fsm)
        fsm.act("CRC",
            source.valid.eq(1),
            source.data.eq(crc.value),
            requests.ready.eq(source.ready),
            If(source.ready, NextState("IDLE")),
        )
        fsm.act("END",  # the words of a write may still be under way to where they belong
            requests.ready.eq(~self.working),
            If(~self.working, NextState("IDLE")),
        )

    def _act_on_requests(self, fsm):
        """An access is handed on; what is to be answered, and how, is noted."""
        requests, frame = self.requests, self.frame
        fsm.act("IDLE",
            self.crc.restart.eq(1),
            NextValue(self._index, 0),
            NextValue(self._replay, 0),
            NextValue(self._answer, requests.answer),
            NextValue(self._words, 0),
            If(requests.valid,
                If(requests.opens, NextValue(self._session, self.session), NextValue(self._has, 0)),
                If(requests.access,
                    frame.valid.eq(1),
                    If(~requests.write, NextValue(self._words, self._wanted)),
                    If(frame.ready,
                        If(requests.framed & ~requests.write,
                            NextValue(self._has, 1),
                            NextValue(self._number, requests.number),
                            NextValue(self._count, self._wanted),
                        ),
                        If(requests.framed,
                            NextState("HEADER"),
                        ).Elif(requests.write,
                            NextState("END"),
                        ).Else(
                            NextState("WORDS"),
                        ),
                    ),
                ).Else(
                    If((requests.answer == short(LATE)) & self._has & (requests.number == self._number),
                        NextValue(self._replay, 1),
                        NextValue(self._answer, short(DATA)),
                        NextValue(self._words, self._count),
                    ),
                    NextState("HEADER"),
                ),
            ),
        )

    def _send_header(self, fsm):
        source, index = self.source, self._index
        fsm.act("HEADER",
            source.valid.eq(1),
            Case(index, {
                0: source.data.eq(SYNC_DOWN),
                1: source.data.eq(Cat(self.requests.number, self._words[:8], self._answer, KIND)),
                2: source.data.eq(self._session),
                3: source.data.eq(self.due),
                "default": source.data.eq(self.crc.value),
            }),
            If(self._sent,
                self.crc.step.eq((index != 0) & (index != HEADER_END)),
                NextValue(index, index + 1),
                If(index == HEADER_END,
                    NextValue(index, 0),
                    If(self._words == 0,
                        NextState("END"),
                    ).Elif(self._replay,
                        NextState("FETCH"),
                    ).Else(
                        NextState("WORDS"),
                    ),
                ),
            ),
        )

    def _send_words(self, fsm):
        """What is read, as it comes, and once more where it is kept."""
        source, answers, index = self.source, self.answers.source, self._index
        kept  = Memory(32, FRAME_WORDS)
        keep  = kept.get_port(write_capable=True)
        again = kept.get_port()
        self.specials += kept, keep, again
        held  = Signal(32)  # a memory's output is late in its cycle, and the CRC is long
        self.comb += [keep.adr.eq(index), keep.dat_w.eq(answers.data), again.adr.eq(index)]
        self.sync += held.eq(again.dat_r)
        is_last = index == self._words - 1
        fsm.act("WORDS",
            source.valid.eq(answers.valid),
            source.data.eq(answers.data),
            answers.ready.eq(source.ready),
            If(self._sent,
                self.crc.step.eq(1),
                keep.we.eq(self.requests.framed),
                NextValue(index, index + 1),
                If(is_last, If(self.requests.framed, NextState("CRC")).Else(NextState("END"))),
            ),
        )
        fsm.act("FETCH", NextState("HOLD"))  # the kept word at `index`
        fsm.act("HOLD",  NextState("AGAIN"))
        fsm.act("AGAIN",
            source.valid.eq(1),
            source.data.eq(held),
            If(self._sent,
                self.crc.step.eq(1),
                NextValue(index, index + 1),
                If(is_last, NextState("CRC")).Else(NextState("FETCH")),
            ),
        )
