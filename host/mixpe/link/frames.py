# SPDX-License-Identifier: BSD-2-Clause
"""Frames of the byte link as bytes: what is sent, and answers out of bytes that may be damaged."""

import secrets
import zlib
from dataclasses import dataclass

import numpy as np

from mixpe_gateware.contract.frames import (
    DATA,
    FRAME_WORDS,
    FRAMED,
    HEADER_WORDS,
    NUMBER_MASK,
    SYNC_DOWN,
    SYNC_UP,
    is_calm,
)

HEADER_BYTES = 4*HEADER_WORDS
SYNC         = SYNC_DOWN.to_bytes(4, "big")
HOST_SYNC    = SYNC_UP.to_bytes(4, "big")
# Ends a frame that was cut, of ours (1048 bytes at most). To a bridge that knows no frames it is commands of six bytes
# that it does not know, and behind one that it does no address.
FILLER       = b"\xff"*1050
CALM_PAD     = b"\xff"*4  # makes 24 bytes of a header: four such commands


def after(number, count=1):
    """The number of a later frame."""
    return number + count & NUMBER_MASK


def is_before(number, other):
    """Whether a number comes before another, of those that are under way."""
    return (number - other & NUMBER_MASK) > NUMBER_MASK//2


def header(kind, length, number, session, word, sync=HOST_SYNC):
    """The first five words of a frame, and its CRC so far: (bytes, int)."""
    inside = b"".join(part.to_bytes(size, "big") for part, size in
        ((kind, 1), (length & 0xFF, 1), (number, 2), (session, 4), (word, 4)))
    crc = zlib.crc32(inside)
    return sync + inside + crc.to_bytes(4, "big"), crc


def read_frame(command, session, number, addr, words):
    """A frame that asks for up to 256 words from a byte address on: bytes."""
    return header(FRAMED | command, words, number, session, addr//4)[0]


def write_frames(command, session, number, addr, words, step):
    """Frames that write an array, numbered from `number` on.

    Parameters
    ----------
    command : int
        Of UARTBone.
    addr : int
        Byte address.
    words : (n,) uint32
    step : int
        Bytes of address a word.

    Returns
    -------
    list of bytes
    """
    raw, frames = words.astype(">u4").tobytes(), []
    for index, start in enumerate(range(0, len(words), FRAME_WORDS)):
        part = raw[4*start:4*(start + FRAME_WORDS)]
        head, crc = header(FRAMED | command, len(part)//4, after(number, index), session, (addr + step*start)//4)
        frames.append(b"".join((head, part, zlib.crc32(part, crc).to_bytes(4, "big"))))
    return frames


def down_frame(kind, number, session, due, words=None):
    """A frame from a bridge: bytes."""
    count = 0 if words is None else len(words)
    head, crc = header(kind, count, number, session, due, SYNC)
    if not count:
        return head
    part = words.astype(">u4").tobytes()
    return b"".join((head, part, zlib.crc32(part, crc).to_bytes(4, "big")))


def calm_word():
    """A random word, no byte of which begins a command of UARTBone."""
    return int.from_bytes(bytes(0x40 + secrets.randbelow(0xC0) for _ in range(4)), "big")


def control_frame(kind, session=None, word=None):
    """A frame that may meet any bridge, in any state, and does nothing there but what it says.

    Parameters
    ----------
    kind : int
        PROBE, START or END.
    session, word : int, optional
        Words 2 and 3.

    Returns
    -------
    number : int
        At random: what its answer is known by, and of START the one that is due then.
    frame : bytes
    """
    while True:
        number   = calm_word() >> 16
        frame, _ = header(kind, 0, number, calm_word() if session is None else session,
            calm_word() if word is None else word)
        if is_calm(frame[16:]):
            return number, frame + CALM_PAD


@dataclass
class FrameAnswer:
    """A frame from the bridge.

    Attributes
    ----------
    kind, number, session, due : int
        As in `mixpe_gateware.contract.frames`.
    words : (n,) >u4 or None
        Of DATA.
    """

    kind: int
    number: int
    session: int
    due: int
    words: np.ndarray | None = None


class FrameParser:
    """Takes bytes, gives the frames among them that came whole; begins anew at any byte.

    Attributes
    ----------
    noise : int
        Bytes that belong to no frame.
    """

    def __init__(self):
        self._input = bytearray()
        self.noise  = 0

    @property
    def is_empty(self):
        """Nothing that came may be the beginning of a frame."""
        return not any(SYNC.startswith(self._input[start:start + 4]) for start in range(len(self._input)))

    def clear(self):
        """Forget what came in part."""
        self._input.clear()

    def skip(self):
        """No more is coming: what waits for the rest of a frame is none."""
        self._drop(1)

    def take(self, data):
        """Whole frames among all bytes that came: list of FrameAnswer."""
        self._input += data
        found = []
        while (answer := self._next()) is not None:
            found.append(answer)
        return found

    def _drop(self, count):
        self.noise += min(count, len(self._input))
        del self._input[:count]

    def _next(self):
        while True:
            start = self._input.find(SYNC)
            self._drop(start if start >= 0 else max(0, len(self._input) - 3))
            if start < 0 or len(self._input) < HEADER_BYTES:
                return None
            head = bytes(self._input[4:HEADER_BYTES])
            crc  = zlib.crc32(head[:12])
            if crc.to_bytes(4, "big") != head[12:]:
                self._drop(1)
                continue
            answer = FrameAnswer(head[0], int.from_bytes(head[2:4], "big"), int.from_bytes(head[4:8], "big"),
                int.from_bytes(head[8:12], "big") & NUMBER_MASK)
            if answer.kind != DATA:
                del self._input[:HEADER_BYTES]
                return answer
            end = HEADER_BYTES + 4*(head[1] or FRAME_WORDS)
            if len(self._input) < end + 4:
                return None
            payload = bytes(self._input[HEADER_BYTES:end])
            if zlib.crc32(payload, crc).to_bytes(4, "big") != self._input[end:end + 4]:
                self._drop(1)
                continue
            answer.words = np.frombuffer(payload, ">u4")
            del self._input[:end + 4]
            return answer
