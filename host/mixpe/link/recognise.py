# SPDX-License-Identifier: BSD-2-Clause
"""Whether a bridge takes frames, or UARTBone alone: asked in a way that does no harm to either.

A probe, then a plain read of one word. A bridge for frames answers the probe first, whatever state it is in. To another
a probe is four commands that nobody knows, and the word comes alone; one that waits for the rest of an unknown command
forgets it after a while. What is said of a bridge without frames is asked for twice, since a probe may get lost.
"""

import time

from mixpe.errors import LinkTimeout
from mixpe.link.frames import FILLER, FrameParser, control_frame
from mixpe.link.uartbone import BRIDGE_TIMEOUT_S, read_requests
from mixpe_gateware.contract.frames import HERE, PROBE

ADDR    = 0xF000_0000  # of a word that may be read: a SoC's registers begin there as LiteX has it; elsewhere it is none
FIRST_S = 0.5  # for an answer; longer later
QUIET_S = 0.05
PROBES  = 2    # without an answer, where a plain one came


def frames_answer_s(transport, timeout_s):
    """How long a bridge for frames took to answer; None where it takes none, or nobody answers at all.

    Parameters
    ----------
    transport : Transport
    timeout_s : float
        Limit of all of it, but for a little.

    Returns
    -------
    float or None
        Seconds.

    Raises
    ------
    LinkError
        The stream is broken.
    """
    begin = time.monotonic()
    end, plain, part_s = begin + timeout_s, 0, min(FIRST_S, timeout_s/4)
    question = read_requests(ADDR, 1).tobytes()
    tries    = 0
    names    = set()
    is_late  = False  # an answer may still come
    while plain < PROBES and time.monotonic() < end:
        name, frame = control_frame(PROBE)
        try:
            transport.send((FILLER if tries else b"") + frame + question, timeout_s)
        except LinkTimeout:
            return None
        names.add(name)
        answer = _answer(transport, names, min(part_s, max(0.0, end - time.monotonic())))
        if answer:
            return time.monotonic() - begin
        if answer is None:  # a frame may have been cut off
            time.sleep(1.2*BRIDGE_TIMEOUT_S)
            part_s *= 2
            is_late = True
        else:
            plain += 1
        tries += 1
    if is_late:
        transport.drain(QUIET_S)
    return None


def _answer(transport, names, limit_s):
    """True for an answer to a probe, be it an earlier one's, False for a word alone, None for neither."""
    parser, end, count = FrameParser(), time.monotonic() + limit_s, 0
    while (left_s := end - time.monotonic()) > 0:
        data   = transport.receive(left_s)
        count += len(data)
        if any(answer.kind == HERE and answer.number in names for answer in parser.take(data)):
            return True
        if count >= 4 and parser.is_empty:
            return False
    return None
