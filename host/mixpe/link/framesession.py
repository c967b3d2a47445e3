# SPDX-License-Identifier: BSD-2-Clause
"""Frames to a bridge that counts them: each is carried out once and in order, or an error says that it may not be.

The bridge takes the frame whose number is due and no other, and answers every frame that came whole. So

    write    is kept until an answer shows that it was taken
    read     its answer is taken by its number. Where it got lost the frame is sent again: of the last read the bridge
             still has the answer. Else the words are asked for under a new number, unless they may be read once only
    probe    asks what is due where answers stay out. Bytes keep their order, so what was sent before it and is not
             taken by then is lost, and is sent again with the numbers that it has
    session  begins with a probe and a start, at a random name. Frames of another have no effect, however late. It ends
             with the first error: what was sent is then forgotten here, and `breaks` counts it
"""

import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass

import numpy as np

from mixpe.errors import LinkError, LinkTimeout
from mixpe.link.frames import FILLER, FrameParser, after, calm_word, control_frame, is_before, read_frame, write_frames
from mixpe_gateware.contract.frames import DATA, END, FOREIGN, HERE, LATE, POWER_ON, PROBE, START, TAKEN

FIRST_S = 0.05  # to an answer, until some were seen; doubled at each retry
PARTS   = 8     # the first wait is no longer than that share of the whole
END_S   = 0.2   # for the answer to the end of a session: only politeness waits for it


@dataclass
class Wanted:
    """A read of up to 256 words.

    Attributes
    ----------
    command : int
        Of UARTBone.
    addr : int
    words : (n,) >u4
        Where they go.
    again : bool
        They may be read again.
    """

    command: int
    addr: int
    words: np.ndarray
    again: bool


@dataclass
class Pending:
    """A frame without its answer; `wanted` is None for a write."""

    number: int
    frame: bytes
    wanted: Wanted | None = None
    sent_s: float = 0.0


class FrameSession:
    """Sends frames and takes answers. Used in a ``with`` statement, in which an error ends the session.

    Parameters
    ----------
    transport : mixpe.link.transport.Transport
    counters : mixpe.link.base.LinkCounters
    timeout_s : float
        Longest wait without progress.
    answer_s : float
        What an answer took before: each try adds to what a slow bridge has to go through, so none comes too early.

    Attributes
    ----------
    breaks : int
        Sessions that ended with an error.
    """

    def __init__(self, transport, counters, timeout_s, answer_s=0.0):
        self.transport, self.counters, self.timeout_s = transport, counters, timeout_s
        self.breaks     = 0
        self._name      = None     # of the session; None without one
        self._next      = 0        # number of the next frame
        self._pending   = deque()  # oldest first
        self._parser    = FrameParser()
        self._slowest_s = max(FIRST_S/4, answer_s)
        self._stale     = False    # the transport's connection may be gone

    def __enter__(self):
        return self

    def __exit__(self, _kind, error, _trace):
        if error is not None:
            self.breaks += self._name is not None
            self._name   = None
            self._stale  = True
            self._pending.clear()

    @property
    def level(self):
        """Frames under way."""
        return len(self._pending)

    def begin(self):
        """See to it that there is a session.

        Raises
        ------
        LinkTimeout, LinkError
        """
        if self._name is not None:
            return
        if self._stale:
            self.transport.reopen()
        self._parser.clear()
        name, probes = calm_word(), set()

        def take(answer):
            if answer.kind == HERE and answer.session == name:
                return answer
            if answer.kind == HERE and answer.number in probes:
                probes.clear()  # a start for each of them would only double it
                self._transmit(control_frame(START, name, answer.session)[1])
            return None

        due = self._insist(lambda: self._probe(probes), take, "no answer to a probe").due
        self._name, self._next, self._stale = name, due, False

    def ask(self, wanted):
        """Send reads: list of Wanted. Their words are there when `settle` says that nothing is under way."""
        self._send([self._numbered(each) for each in wanted])

    def tell(self, command, addr, words, step):
        """Send writes of (n,) uint32 from a byte address on, `step` bytes of address a word."""
        frames = write_frames(command, self._name, self._next, addr, words, step)
        self._send([Pending(after(self._next, index), frame) for index, frame in enumerate(frames)])
        self._next = after(self._next, len(frames))

    def settle(self, level):
        """Wait until no more than so many frames are under way.

        Raises
        ------
        LinkTimeout, LinkError
        """
        while len(self._pending) > level:
            self._advance()

    def end(self):
        """Settle, and close the session."""
        if self._name is None:
            return
        self.settle(0)
        name, self._name = self._name, None
        ending, frame = control_frame(END, name)
        with suppress(LinkError):
            self._insist(lambda: self._transmit(frame), lambda answer: answer.number == ending, "", END_S)

    # Inside.

    def _numbered(self, wanted):
        number, self._next = self._next, after(self._next)
        frame = read_frame(wanted.command, self._name, number, wanted.addr, len(wanted.words))
        return Pending(number, frame, wanted)

    def _send(self, pending):
        now = time.monotonic()
        for each in pending:
            each.sent_s = now
        self._pending.extend(pending)
        self._transmit(b"".join(each.frame for each in pending))

    def _transmit(self, data):
        self.transport.send(data, self.timeout_s)
        self.counters.sent_bytes += len(data)

    def _receive(self, limit_s):
        """Frames that came, after a wait for the first byte; None without one."""
        data = self.transport.receive(limit_s)
        if not data:
            return None
        self.counters.received_bytes += len(data)
        before  = self._parser.noise
        answers = self._parser.take(data)
        self.counters.strays += self._parser.noise != before
        return answers

    def _part_s(self):
        """Length of the first part of a wait."""
        return min(max(FIRST_S, 4*self._slowest_s), self.timeout_s/PARTS)

    def _advance(self):
        """Take what comes; where nothing does, or something is missing, ask what is due."""
        answers = self._receive(self._part_s())
        if answers is None or not all([self._settle_one(answer) for answer in answers]):
            self._recover()

    def _settle_one(self, answer):
        """Take an answer; False where it shows that frames got lost."""
        if answer.session != self._name:
            self._check_session(answer)
            return True
        if answer.kind == LATE:
            return is_before(answer.number, answer.due) and self._settle_late(answer)
        if answer.kind not in (TAKEN, DATA) or all(each.number != answer.number for each in self._pending):
            self.counters.strays += answer.kind != HERE
            return True
        while (front := self._pending[0]).number != answer.number:
            if front.wanted is not None:
                return False  # its answer got lost
            self._pending.popleft()
        if answer.kind == DATA and front.wanted is not None and len(answer.words) == len(front.wanted.words):
            front.wanted.words[:] = answer.words
        elif front.wanted is not None or answer.kind == DATA:
            raise LinkError(f"{self.transport.url}: the bridge answers another request than was sent")
        self._slowest_s = max(time.monotonic() - front.sent_s, 0.9*self._slowest_s)
        self._pending.popleft()
        return True

    def _settle_late(self, answer):
        """A frame was carried out before it came again: a read whose answer is no longer kept is asked for anew."""
        while self._pending and self._pending[0].wanted is None and is_before(self._pending[0].number, answer.due):
            self._pending.popleft()
        for each in list(self._pending):
            if each.number == answer.number and each.wanted is not None:
                if not each.wanted.again:
                    raise LinkTimeout(f"{self.transport.url}: what was read at 0x{each.wanted.addr:08x} got lost on "
                        "the way, and cannot be read again")
                self._pending.remove(each)
                self.counters.retries += 1
                self.ask([each.wanted])
        return True

    def _check_session(self, answer):
        """Raise LinkError for an answer that says our session is over."""
        if answer.kind != FOREIGN:
            self.counters.strays += 1
            return
        why = ("the device was restarted, and what its memory held is gone" if answer.session == POWER_ON else
            "another program has opened the device; close one of the two")
        raise LinkError(f"{self.transport.url}: {why}")

    def _recover(self):
        """Find out what is due, and send again what got lost."""
        self.counters.timeouts += 1
        names = set()

        def take(answer):
            if answer.kind == HERE and answer.number in names:
                if answer.session == self._name:
                    return answer
                answer.kind = FOREIGN
                self._check_session(answer)
            elif answer.kind != LATE and answer.session == self._name:
                self._settle_one(answer)
            return None

        due = self._insist(lambda: self._probe(names), take, "no answer").due
        lost = []
        while self._pending and is_before(self._pending[0].number, due):
            front = self._pending.popleft()
            if front.wanted is not None:
                lost.append(front)
        if lost or self._pending:
            self.counters.retries += 1
            rest = list(self._pending)
            self._pending.clear()
            self._send(lost + rest)

    def _probe(self, numbers):
        """Ask what is due; the probe's number is kept."""
        number, frame = control_frame(PROBE)
        numbers.add(number)
        self._transmit(frame)

    def _insist(self, ask, take, text, limit_s=None):
        """Ask until an answer is taken, and return what `take` makes of it.

        Raises
        ------
        LinkTimeout
            None within the limit.
        """
        limit_s = limit_s or self.timeout_s
        end, part_s, tries = time.monotonic() + limit_s, self._part_s(), 0
        while (left_s := end - time.monotonic()) > 0 or not tries:
            if tries:
                self._parser.skip()
                self._transmit(FILLER)
            ask()
            tries += 1
            until  = time.monotonic() + min(part_s, max(0.0, left_s))
            part_s = 2*part_s
            while (wait_s := until - time.monotonic()) > 0:
                for answer in self._receive(wait_s) or ():
                    if found := take(answer):
                        return found
        raise LinkTimeout(f"{self.transport.url}: {text} within {limit_s:g} s, tried {tries} times")
