# SPDX-License-Identifier: BSD-2-Clause
"""The far end of a UART in Python, over any link: what the bridge does with the bytes of a host.

For models of a link and for tests; the gateware is `mixpe_gateware.link`.
"""

import zlib

import numpy as np

from mixpe.link.frames import HEADER_BYTES as FRAME_BYTES
from mixpe.link.frames import after, down_frame
from mixpe.link.uartbone import READ_FIXED, READ_INCREMENT, WRITE_FIXED, WRITE_INCREMENT
from mixpe_gateware.contract.frames import (
    DATA,
    END,
    FOREIGN,
    FRAME_WORDS,
    FRAMED,
    HERE,
    LATE,
    POWER_ON,
    PROBE,
    START,
    SYNC_UP,
    TAKEN,
)

SYNC         = SYNC_UP.to_bytes(4, "big")
HEADER_BYTES = 6
COMMANDS     = (WRITE_INCREMENT, READ_INCREMENT, WRITE_FIXED, READ_FIXED)


class ByteEnd:
    """LiteX's UARTBone: takes bytes, and writes and reads a device.

    Parameters
    ----------
    device : Link
        What is behind the bridge.
    """

    def __init__(self, device):
        self.device = device
        self._input = bytearray()

    def lapse(self):
        """Nothing came for as long as a bridge waits inside a frame: what came in part is forgotten."""
        self._input.clear()

    def leave(self):
        """The host is gone."""
        self.lapse()

    def take(self, data):
        """Carry out what these bytes complete; returns the answers, as bytes."""
        return b"".join(answer for _, answer in self.frames(data))

    def frames(self, data):
        """The same one by one: yields how many bytes were one frame, and its answer."""
        self._input += data
        while self._input:
            size, answer = self._first()
            if not size:
                break
            del self._input[:size]
            yield size, answer

    def _first(self):
        """Size of what comes first if it is complete, else 0, and its answer."""
        if len(self._input) < HEADER_BYTES:
            return 0, b""
        command, length = self._input[0], self._input[1] or FRAME_WORDS
        steps, writes   = command in (WRITE_INCREMENT, READ_INCREMENT), command in (WRITE_INCREMENT, WRITE_FIXED)
        size = HEADER_BYTES + 4*length*writes
        if len(self._input) < size:
            return 0, b""
        address = 4*int.from_bytes(self._input[2:HEADER_BYTES], "big") & 0xFFFFFFFF
        if writes:
            words = np.frombuffer(bytes(self._input[HEADER_BYTES:size]), ">u4")
            self.write(address, words.astype(np.uint32), steps)
        elif command in COMMANDS:
            return size, self.read(address, length, steps).astype(">u4").tobytes()
        return size, b""

    def write(self, address, words, increment):
        """Words come for the device; past the end of the address space they go on at its start."""
        for index, part in self._parts(address, len(words), increment):
            self.device.write_words(index, words[part], increment=increment)

    def read(self, address, count, increment):
        """Words of the device: (count,) uint32."""
        return np.concatenate([self.device.read_words(start, part.stop - part.start, increment=increment)
            for start, part in self._parts(address, count, increment)])

    @staticmethod
    def _parts(address, count, increment):
        first = min(count, ((1 << 32) - address)//4) if increment else count
        parts = [(address, slice(0, first))]
        return parts + [(0, slice(first, count))] if first < count else parts


class FrameEnd(ByteEnd):
    """Frames as `mixpe_gateware.contract.frames` has them, and UARTBone between sessions.

    Attributes
    ----------
    session, due : int
    locked : bool
        Frames alone are taken.
    """

    def __init__(self, device):
        super().__init__(device)
        self.session = POWER_ON
        self.due     = 0
        self.locked  = False
        self._kept   = None  # (number, words) of the last read

    def leave(self):
        """As of `ByteEnd`; the session is closed."""
        super().leave()
        self.locked = False

    def _first(self):
        """As of `ByteEnd`; what begins nothing is passed over."""
        if self._input[0] == SYNC[0]:
            return self._frame()
        if self._input[0] in COMMANDS and not self.locked:
            if len(self._input) < 4:
                return 0, b""
            return super()._first() if self._input[2] <= 0x3F else (1, b"")
        starts = [at for byte in (SYNC[:1], *(() if self.locked else (bytes([each]) for each in COMMANDS)))
                  if (at := self._input.find(byte)) >= 0]
        return min(starts, default=len(self._input)), b""

    def _frame(self):
        """The same where a frame begins; a damaged one has no answer."""
        if len(self._input) < 4:
            return 0, b""
        if self._input[:4] != SYNC:
            return 1, b""
        if len(self._input) < FRAME_BYTES:
            return 0, b""
        head = bytes(self._input[4:FRAME_BYTES])
        crc  = zlib.crc32(head[:12])
        if crc.to_bytes(4, "big") != head[12:]:
            return FRAME_BYTES, b""
        kind, length, number = head[0], head[1] or FRAME_WORDS, int.from_bytes(head[2:4], "big")
        session, word = int.from_bytes(head[4:8], "big"), int.from_bytes(head[8:12], "big")
        if kind in (PROBE, START, END):
            self._control(kind, session, word, number)
            return FRAME_BYTES, down_frame(HERE, number, self.session, self.due)
        command = kind ^ FRAMED
        if command not in COMMANDS:
            return FRAME_BYTES, b""
        if command in (READ_INCREMENT, READ_FIXED):
            return FRAME_BYTES, self._carry_out(command, session, number, word, length)
        size = FRAME_BYTES + 4*length + 4
        if len(self._input) < size:
            return 0, b""
        payload = bytes(self._input[FRAME_BYTES:size - 4])
        if zlib.crc32(payload, crc).to_bytes(4, "big") != self._input[size - 4:size]:
            return size, b""
        return size, self._carry_out(command, session, number, word, np.frombuffer(payload, ">u4").astype(np.uint32))

    def _control(self, kind, session, word, number):
        if kind == START and word == self.session:
            self.session, self.due, self.locked, self._kept = session, number, True, None
        if kind == END and session == self.session:
            self.locked = False

    def _carry_out(self, command, session, number, word, what):
        """Do what a frame asks for when it is due; returns the answer. `what`: words to write, or how many to read."""
        address, steps = 4*word & 0xFFFFFFFF, command in (WRITE_INCREMENT, READ_INCREMENT)
        if session != self.session:
            return down_frame(FOREIGN, number, self.session, self.due)
        if number != self.due:
            if self._kept is not None and self._kept[0] == number:
                return down_frame(DATA, number, self.session, self.due, self._kept[1])
            return down_frame(LATE, number, self.session, self.due)
        self.due = after(self.due)
        if isinstance(what, int):
            words = self.read(address, what, steps)
            self._kept = number, words
            return down_frame(DATA, number, self.session, self.due, words)
        self.write(address, what, steps)
        return down_frame(TAKEN, number, self.session, self.due)
