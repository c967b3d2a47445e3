# SPDX-License-Identifier: BSD-2-Clause
"""The far end of a UART in Python, over any link: what the bridge does with the bytes of a host.

For models of a link and for tests; the gateware is `mixpe_gateware.link`.
"""

import numpy as np

from mixpe.link.uartbone import READ_FIXED, READ_INCREMENT, WRITE_FIXED, WRITE_INCREMENT

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

    def forget(self):
        """Nothing came for as long as a bridge waits inside a frame."""
        self._input.clear()

    def take(self, data):
        """Carry out what these bytes complete; returns the answers, as bytes."""
        self._input += data
        answers = []
        while len(self._input) >= HEADER_BYTES:
            command, length = self._input[0], self._input[1] or 256
            address = 4*int.from_bytes(self._input[2:6], "big") & 0xFFFFFFFF
            writes  = command in (WRITE_INCREMENT, WRITE_FIXED)
            size    = HEADER_BYTES + 4*length*writes
            if len(self._input) < size:
                break
            frame = bytes(self._input[:size])
            del self._input[:size]
            steps = command in (WRITE_INCREMENT, READ_INCREMENT)
            if writes:
                self.write(address, np.frombuffer(frame, ">u4", offset=2)[1:].astype(np.uint32), steps)
            elif command in COMMANDS:
                answers.append(self.read(address, length, steps).astype(">u4").tobytes())
        return b"".join(answers)

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
