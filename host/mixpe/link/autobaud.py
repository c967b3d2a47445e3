# SPDX-License-Identifier: BSD-2-Clause
"""Find the baud rate of a bridge by asking for what the caller knows its device by.

Rates are tried from the fastest down. So the host is never slower than the bridge, and the six bytes of a question
never look like the ten that a write has at the least.
"""

import time

from mixpe.errors import LinkTimeout
from mixpe.link.uartbone import BRIDGE_TIMEOUT_S, read_requests

BAUDRATES = (3_000_000, 2_000_000, 1_500_000, 1_000_000, 921_600, 460_800, 230_400, 115_200)
ANSWER_S  = 0.05   # of a question: USB adapters hold short answers back for 16 ms
QUIET_S   = 0.002


def find_baudrate(transport, is_device, rates=BAUDRATES):
    """Set the transport to the rate at which the device answers.

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
    before = transport.baudrate

    def read(addr):
        # What came of a question at a wrong rate must be forgotten before the next, here and in the bridge.
        transport.drain(QUIET_S)
        answer = bytearray(4)
        try:
            transport.send(read_requests(addr, 1).view("u1"), ANSWER_S)
            transport.receive_into(memoryview(answer), ANSWER_S)
        except LinkTimeout:
            time.sleep(1.1*BRIDGE_TIMEOUT_S)
            return None
        return int.from_bytes(answer, "big")

    for rate in rates:
        if not transport.set_baudrate(rate):
            continue
        if is_device(read):
            return rate
        transport.drain(QUIET_S)
        time.sleep(1.1*BRIDGE_TIMEOUT_S)
    transport.set_baudrate(before)
    return None
