# SPDX-License-Identifier: BSD-2-Clause
"""Find the baud rate of a bridge by asking for the accelerator's magic number.

Rates are tried from the fastest down. So the host is never slower than the bridge, and the six bytes of a question
never look like the ten that a write has at the least.
"""

import time

from mixpe.errors import LinkTimeout
from mixpe.link.uartbone import BRIDGE_TIMEOUT_S, read_requests
from mixpe_gateware.contract.registers import CSR_BANK, CSR_BASES, CSR_PAGE_BYTES, MAGIC

BAUDRATES = (3_000_000, 2_000_000, 1_500_000, 1_000_000, 921_600, 460_800, 230_400, 115_200)
ANSWER_S  = 0.05  # of a question: USB adapters hold short answers back for 16 ms


def _answers(transport, base):
    """The bridge speaks this rate: it says MAGIC."""
    answer = bytearray(4)
    try:
        transport.send(read_requests(base + CSR_BANK*CSR_PAGE_BYTES, 1).view("u1"), ANSWER_S)
        transport.receive_into(memoryview(answer), ANSWER_S)
    except LinkTimeout:
        return False
    return int.from_bytes(answer, "big") == MAGIC


def find_baudrate(transport, rates=BAUDRATES, bases=CSR_BASES):
    """Set the transport to the rate at which an accelerator answers.

    Parameters
    ----------
    transport : SerialTransport
    rates : tuple of int
        From the fastest down.
    bases : tuple of int
        Where the CSRs may be.

    Returns
    -------
    int or None
        None when nothing answers at any rate; the transport is then as it was.
    """
    before = transport.baudrate
    for rate in rates:
        if not transport.set_baudrate(rate):
            continue
        transport.drain(0.002)
        for base in bases:
            if _answers(transport, base):
                return rate
            # What came of the question at a wrong rate must be forgotten before the next.
            transport.drain(0.002)
            time.sleep(1.1*BRIDGE_TIMEOUT_S)
    transport.set_baudrate(before)
    return None
