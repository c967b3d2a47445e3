# SPDX-License-Identifier: BSD-2-Clause
"""Packets to a far end that counts them: each is carried out once and in order, or an error says that it may not be.

The far end takes the packet whose number is due and no other, and says in each answer which is due then. So

    write    is sent and kept until some answer shows that it was taken. Nothing is read back
    read     its answer shows that all before it was taken. Where the answer is lost the words are asked for again,
             under a new number, since the far end drops what it took already
    probe    asks what is due where no answer is to come: behind long writes, at the end, and when answers stay out
    loss     what is not known to be taken is sent again, from the first packet on, with the numbers that it has: what
             was taken all the same is dropped
    session  begins at a random number, in place of the one that is due: late packets of an earlier session, or of
             another program, are never due again. It ends with the first error; what was sent is then forgotten here

A packet that is sent again is the same packet, so nobody need know what it does.
"""

import time
from collections import deque
from dataclasses import dataclass

import numpy as np

from mixpe.errors import LinkError
from mixpe.link.packets import WORDS_MAX, numbered, probe_packet, read_packet
from mixpe.link.session import begin_session
from mixpe_gateware.contract.packetnumbers import NUMBER_MASK, after

PACKET_WORDS  = WORDS_MAX + 4  # of the longest
SHORT_PACKETS = 3              # under way in place of a long one: the gate keeps eight packets


@dataclass
class Request:
    """A read without its answer.

    Attributes
    ----------
    start : int
        Of its words in the whole.
    number : int
        Of the packet that asked last.
    sent_s : float
        When that was.
    """

    start: int
    addrs: np.ndarray
    number: int = 0
    sent_s: float = 0.0

    @property
    def text(self):
        """What does not happen, for messages."""
        return f"no answer to a read of {len(self.addrs)} words at 0x{int(self.addrs[0]):08x}"


@dataclass(frozen=True)
class Sent:
    """A packet that is not known to be taken; `text` says for messages what did not happen."""

    number: int
    packet: bytes
    text: str
    asks: bool


class Delivery:
    """Numbered packets over a channel that loses, doubles and reorders them. Not for several threads at once.

    Parameters
    ----------
    channel : mixpe.link.channel.Channel
    window : int
        Long packets under way.
    """

    def __init__(self, channel, window):
        self.channel     = channel
        self.counters    = channel.counters
        self.words_max   = window*PACKET_WORDS
        self.packets_max = window*SHORT_PACKETS
        self._next       = None     # number; None without a session
        self._sent       = deque()  # packets not known to be taken, in order
        self._requests   = {}       # name: Request
        self._probes     = {}       # word: (number that was next, when it was sent)

    # What links do.

    def post(self, packet, text):
        """Send a packet that has no answer, when there is room for it.

        Raises
        ------
        LinkTimeout
            This packet, or one before it, does not arrive.
        LinkError
        """
        self._ensure_session()
        self._wait_for_room(len(packet)//4)
        self._transmit(packet, text, False)
        # Behind long writes: the answer is on its way back while the next one is on its way there.
        if not self._probes and 2*self._words() >= self.words_max:
            self._probe()

    def read(self, addrs, *, repeat=True, progress=None):
        """Words at any addresses, with several requests under way: (n,) uint32.

        Parameters
        ----------
        addrs : (n,) uint32
        repeat : bool
            Ask again where an answer is lost. False where reading has an effect.
        progress : callable, optional
            Is told how many words have come.
        """
        self._ensure_session()
        result, done = np.empty(len(addrs), np.uint32), 0
        todo = deque(range(0, len(addrs), WORDS_MAX))
        self.channel.restart()
        try:
            while todo or self._requests:
                while todo and self._has_room(min(WORDS_MAX, len(addrs) - todo[0]) + 4):
                    start = todo.popleft()
                    self._ask(self.channel.new_name(), Request(start, addrs[start:start + WORDS_MAX]))
                if not self._requests and not self._probes:
                    self._probe()
                found = self._wait(repeat)
                if found is None:
                    continue
                start, words = found
                result[start:start + len(words)] = words
                done += len(words)
                if progress is not None:
                    progress(done)
        finally:
            self._requests.clear()
        return result

    def flush(self):
        """Wait until the far end has taken all packets."""
        self.channel.restart()
        while self._sent:
            if not self._probes:
                self._probe()
            self._wait()

    # Sending.

    def _ensure_session(self):
        if self._next is None:
            self._next = begin_session(self.channel)

    def _end(self):
        self._next = None
        self._sent.clear()
        self._requests.clear()
        self._probes.clear()

    def _send(self, packet):
        try:
            self.channel.send(packet)
        except LinkError:
            self._end()
            raise

    def _transmit(self, packet, text, asks):
        """Send a packet under the next number; returns that."""
        number = self._next
        sent   = Sent(number, numbered(packet, number), text, asks)
        self._next = after(number)
        self._sent.append(sent)
        self._send(sent.packet)
        return number

    def _ask(self, name, request):
        self._requests[name] = request
        request.sent_s = time.monotonic()
        request.number = self._transmit(read_packet(name, request.addrs), request.text, True)

    def _probe(self):
        word = self.channel.new_name()
        self._probes[word] = self._next, time.monotonic()
        self._send(probe_packet(word))

    # What is under way.

    def _words(self):
        """Of writes that are not known to be taken, and of requests that wait for their answers."""
        return (sum(len(sent.packet)//4 for sent in self._sent if not sent.asks)
                + sum(len(request.addrs) + 4 for request in self._requests.values()))

    def _has_room(self, words):
        packets = len(self._requests) + sum(not sent.asks for sent in self._sent)
        return not packets or (packets < self.packets_max and self._words() + words <= self.words_max)

    def _wait_for_room(self, words):
        self.channel.restart()
        while not self._has_room(words):
            if not self._probes:
                self._probe()
            self._wait()

    def _taken(self, due):
        """How many packets were taken when `due` is due; None where no session of ours comes to that."""
        first = self._sent[0].number if self._sent else self._next
        count = (due - first) & NUMBER_MASK
        return count if count <= len(self._sent) else None

    # Waiting.

    def _wait(self, repeat=True):
        """Take one answer; at the deadline send again instead.

        Only what is waited for restarts the timer: words that were read, and writes that were taken.

        Returns
        -------
        (int, (n,) uint32) or None
            What was read: where it begins in the whole, and the words.
        """
        answer = self.channel.receive()
        if answer is None:
            self._again()
            return None
        found = None
        moved = self._take_due(answer)
        if answer.words is None:
            self._take_probe(answer, repeat)
        else:
            found = self._take_words(answer)
        if moved or found:
            self.channel.restart()
        return found

    def _again(self):
        """Send what is not known to be taken, and ask what is."""
        waiting = next((each.text for each in (*self._sent, *self._requests.values())), "no answer to a probe")
        try:
            self.channel.expire(waiting)
        except LinkError:
            self._end()
            raise
        for sent in self._sent:
            self._send(sent.packet)
        self.counters.retries += max(1, len(self._sent))
        self._probe()

    # Answers.

    def _take_due(self, answer):
        """Forget what was taken; true where there is a write among it. An old answer says nothing new."""
        moved = False
        for _ in range((answer.due is not None and self._taken(answer.due)) or 0):
            moved |= not self._sent.popleft().asks
        return moved

    def _take_words(self, answer):
        request = self._requests.get(answer.name)
        if request is None or len(answer.words) != len(request.addrs):
            self.counters.strays += 1
            return None
        del self._requests[answer.name]
        self.channel.learn(request.sent_s)
        self._forget_probes(after(request.number))
        return request.start, answer.words

    def _take_probe(self, answer, repeat):
        """What was sent before a probe, and whose effect does not show with its answer, is lost: send it again."""
        if answer.name not in self._probes:
            self.counters.strays += 1
            return
        next_number, sent_s = self._probes[answer.name]
        self.channel.learn(sent_s)
        self._forget_probes(next_number)
        if answer.due is None or self._taken(answer.due) is None:
            self._end()
            raise LinkError(f"{self.channel.url}: the device counts other packets than those that were sent: it was "
                            f"reset, or another program uses it; what was sent last may not have arrived")
        waiting = {sent.number for sent in self._sent}
        lost    = [sent for sent in self._sent if _is_before(sent.number, next_number)]
        asked   = [(name, request) for name, request in self._requests.items()
                   if _is_before(request.number, next_number) and request.number not in waiting and repeat]
        for sent in lost:
            self._send(sent.packet)
        for name, request in asked:
            self._ask(name, request)
        self.counters.retries += len(lost) + len(asked)
        if lost and not self._requests:
            self._probe()

    def _forget_probes(self, next_number):
        """Their answers came, or are overtaken: those sent when this number was next, and before."""
        self._probes = {word: probe for word, probe in self._probes.items() if _is_before(next_number, probe[0])}


def _is_before(number, other):
    """`number` was given out before `other`, of late."""
    return 0 < (other - number) & NUMBER_MASK <= NUMBER_MASK >> 1
