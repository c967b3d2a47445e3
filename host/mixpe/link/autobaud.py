# SPDX-License-Identifier: BSD-2-Clause
"""Find the baud rate of a bridge by asking for what the caller knows its device by.

Rates are tried from the fastest down. So the host is never slower than the bridge, and the six bytes of a question
never look like the ten that a write has at the least. A bridge that gives as many bytes as it is asked for, twice,
speaks the rate too, whatever it says: a SoC may have the accelerator's registers elsewhere.
"""

import time

from mixpe.errors import LinkTimeout
from mixpe.link.uartbone import BRIDGE_TIMEOUT_S, read_requests

BAUDRATES = (3_000_000, 2_000_000, 1_500_000, 1_000_000, 921_600, 460_800, 230_400, 115_200)
# Of a question: USB adapters hold short answers back for 16 ms, and where nothing is, LiteX's bus answers after a
# million cycles.
ANSWER_S  = 0.12
QUIET_S   = 0.002


def _ask(transport, address, words):
    """The answer to a question for words; None unless it has their number of bytes, no more and no less."""
    answer = bytearray(4*words)
    try:
        transport.send(read_requests(address, words).view("u1"), ANSWER_S)
        transport.receive_into(memoryview(answer), ANSWER_S)
    except LinkTimeout:
        return None
    return None if transport.drain(QUIET_S) else bytes(answer)


def _settle(transport):
    """Let the bridge forget what came of a question."""
    transport.drain(QUIET_S)
    time.sleep(1.1*BRIDGE_TIMEOUT_S)


def find_baudrate(transport, is_device, rates=BAUDRATES):
    """Set the transport to the rate at which a bridge answers.

    Parameters
    ----------
    transport : SerialTransport
    is_device : callable
        ``is_device(read)`` is true when the device is there. ``read(addr)`` asks for one word at the present rate and
        returns it, or None without an answer; what comes at a wrong rate may be any word.
    rates : tuple of int
        From the fastest down.

    Returns
    -------
    int or None
        None when nothing answers at any rate; the transport is then as it was.
    """
    before   = transport.baudrate
    answered = []

    def read(addr):
        answer = _ask(transport, addr, 1)
        if answer is None:
            _settle(transport)
            return None
        answered.append(addr)
        return int.from_bytes(answer, "big")

    for rate in rates:
        if not transport.set_baudrate(rate):
            continue
        transport.drain(QUIET_S)
        answered.clear()
        if is_device(read):
            return rate
        _settle(transport)
        if answered and _ask(transport, answered[0], 3) is not None:
            return rate
    transport.set_baudrate(before)
    return None
