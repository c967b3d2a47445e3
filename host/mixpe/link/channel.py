# SPDX-License-Identifier: BSD-2-Clause
"""Packets one by one over a carrier, with a limit on the wait for answers that follows what answers take."""

import secrets
import time

from mixpe.errors import LinkTimeout
from mixpe.link.packets import parse_answer

RETRIES      = 4     # of what has no answer
ANSWER_S     = 0.1   # to an answer, until some were seen; doubled at each retry
ANSWER_S_MIN = 0.02  # a host may be busy elsewhere for so long


class Channel:
    """Sends packets and receives answers, and counts them.

    A wait is of `RETRIES` + 1 parts, each longer than the last: at the end of each the caller sends again, at the end
    of the last one `expire` raises.

    Parameters
    ----------
    carrier : mixpe.link.udp.UdpCarrier
        Has `send(packet, timeout_s)`, `receive(limit_s)` and `url`.
    counters : mixpe.link.base.LinkCounters
    timeout_s : float
        Of all parts together.
    """

    def __init__(self, carrier, counters, timeout_s):
        self.carrier, self.counters, self.timeout_s = carrier, counters, timeout_s
        self.url        = carrier.url
        self._name      = secrets.randbits(32)
        self._slowest_s = ANSWER_S/4  # answer of late
        self._attempt   = 0
        self._deadline  = 0.0

    def new_name(self):
        """A 32-bit name for a request or a probe, for its answer to be known by."""
        self._name = (self._name + 1) & 0xFFFFFFFF
        return self._name

    def send(self, packet):
        """Send a packet; raises LinkTimeout, LinkError."""
        self.carrier.send(packet, self.timeout_s)
        self.counters.sent_bytes += len(packet)

    def receive(self):
        """The next `Answer`; None at the end of this part of the wait."""
        while (left_s := self._deadline - time.monotonic()) > 0:
            packet = self.carrier.receive(left_s)
            if packet is None:
                return None
            self.counters.received_bytes += len(packet)
            answer = parse_answer(packet)
            if answer is not None:
                return answer
            self.counters.strays += 1
        return None

    def wait_s(self, attempt):
        """Length of a part. Their sum is `timeout_s`, the first is short."""
        first = min(max(ANSWER_S_MIN, 4*self._slowest_s), self.timeout_s/(2 << RETRIES))
        if attempt < RETRIES:
            return first*(1 << attempt)
        return self.timeout_s - first*((1 << RETRIES) - 1)

    def restart(self):
        """Begin to wait: something was sent, or came."""
        self._attempt  = 0
        self._deadline = time.monotonic() + self.wait_s(0)

    def expire(self, text):
        """A part of the wait is over: begin the next one.

        Raises
        ------
        LinkTimeout
            It was the last; `text` says what did not happen.
        """
        self.counters.timeouts += 1
        if self._attempt == RETRIES:
            raise LinkTimeout(f"{self.url}: {text} within {self.timeout_s:g} s, tried {RETRIES + 1} times")
        self._attempt += 1
        self._deadline = time.monotonic() + self.wait_s(self._attempt)

    def learn(self, sent_s):
        """An answer came to what was sent then (`time.monotonic`)."""
        self._slowest_s = max(time.monotonic() - sent_s, 0.9*self._slowest_s)
