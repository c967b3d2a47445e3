# SPDX-License-Identifier: BSD-2-Clause
"""A session with a far end that counts packets begins at a random number."""

import secrets
import time

from mixpe.errors import LinkError
from mixpe.link.packets import probe_packet, start_packet
from mixpe_gateware.contract.packetnumbers import NUMBER_BITS, after


def begin_session(channel):
    """Put a random number in place of the one that is due; returns the first of the session.

    A probe says what is due, a start names that and the new number. A start that comes late or twice names what is due
    no more, and packets of another session are never due again.

    Parameters
    ----------
    channel : Channel

    Raises
    ------
    LinkTimeout
        Nobody answers.
    LinkError
        Who answers does not count packets.
    """
    number, probes = secrets.randbits(NUMBER_BITS), {}
    channel.restart()
    while True:
        word = channel.new_name()
        probes[word] = time.monotonic()
        channel.send(probe_packet(word))
        while (answer := channel.receive()) is not None:
            if answer.words is None and answer.due == after(number):
                return answer.due
            if answer.words is not None or answer.name not in probes:
                channel.counters.strays += 1
                continue
            if answer.due is None:
                raise LinkError(f"{channel.url}: the Etherbone bridge that answers does not count packets: build its "
                                "bitstream with this mixpe")
            channel.learn(probes[answer.name])
            channel.send(start_packet(number, answer.due))
        channel.expire("no answer to a probe")
        channel.counters.retries += 1
