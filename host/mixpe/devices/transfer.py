# SPDX-License-Identifier: BSD-2-Clause
"""Bytes to and from the device's memory, verified by checksums that the device computes."""

import zlib

import numpy as np

from mixpe.errors import DeviceMemoryError, ShapeError, VerifyError
from mixpe.progress import Progress
from mixpe_gateware.contract.registers import STATUS_CHECKSUM

CHUNK_BYTES = 64 << 10  # sent, and then waited for, at a time: what a slow simulation takes in a fraction of a second
ATTEMPTS    = 3         # for a chunk or a read-back whose checksum is wrong


class Transfer:
    """The memory behind a register bank; offsets count from its first byte, and go on in the inbox.

    Parameters
    ----------
    bank : RegisterBank
    limit_s : callable
        Longest wait for something that takes so many device cycles.
    """

    def __init__(self, bank, limit_s):
        self.bank = bank
        self.link = bank.link
        self.limit_s    = limit_s
        self.mem_base   = bank.identity["mem_base"]
        self.mem_bytes  = bank.identity["mem_bytes"]
        self.beat_bytes = bank.config.beat_bytes
        self.inbox_base = bank.identity["inbox_base"]
        self._rests     = True  # the checksum unit

    def write(self, offset, data):
        """Write a buffer or array."""
        array = np.ascontiguousarray(data) if isinstance(data, np.ndarray) else np.frombuffer(data, np.uint8)
        data = array.reshape(-1).view(np.uint8)
        self.link.write_bytes(self._address(offset, data.size), data)

    def read(self, offset, size):
        """Read: (size,) uint8."""
        return np.frombuffer(self.link.read_bytes(self._address(offset, size), size), np.uint8)

    def checksum(self, offset, size):
        """CRC-32 of a region, computed by the device. Offset and size are multiples of the beat."""
        self._check_region(offset, size)
        if offset % self.beat_bytes or size % self.beat_bytes:
            raise ShapeError(f"checksums cover whole beats of {self.beat_bytes} bytes, not {size} bytes at {offset}")
        if not self._rests:  # the unit takes no command while it runs
            self.bank.wait(STATUS_CHECKSUM, 0, self.limit_s(4*CHUNK_BYTES/self.beat_bytes),
                "an earlier checksum did not end")
        self._rests = False
        self.bank.write("checksum_addr", offset, size)
        # The status comes first in the request, so a value behind it that is done is this one.
        value = self.bank.wait(STATUS_CHECKSUM, 0, self.limit_s(4*size/self.beat_bytes),
            f"the checksum of {size} bytes did not end", "checksum_value")
        self._rests = True
        return value

    def upload(self, offset, data, verify):
        """Write (bytes,) uint8, chunk by chunk, and with `verify` compare checksums.

        Raises
        ------
        VerifyError
            A chunk stays wrong.
        """
        if data.size <= CHUNK_BYTES:
            self._send(offset, data, verify, None)
            return
        with Progress("upload", data.size, "B") as progress:
            for start in range(0, data.size, CHUNK_BYTES):
                chunk = data[start:start + CHUNK_BYTES]
                self._send(offset + start, chunk, verify, lambda done, before=start: progress.at(before + done))
                if not verify and start + chunk.size < data.size:
                    self.bank.read("scratch")  # comes back when the bytes before it are in memory
                progress.at(start + chunk.size)

    def download(self, offset, size, verify):
        """Read (size,) uint8 and with `verify` compare with the device's checksum.

        Raises
        ------
        VerifyError
            It stays wrong.
        """
        for _attempt in range(ATTEMPTS):
            raw = self.read(offset, size)
            if not verify or self.checksum(offset, size) == zlib.crc32(raw):
                return raw
        raise VerifyError(f"{size} bytes read at {offset} of the device's memory are not what it holds, "
            f"{ATTEMPTS} times; the link is faulty")

    def _send(self, offset, chunk, verify, progress):
        """Write at an offset, in the memory or the inbox, until the device's checksum agrees; at once without."""
        address = self._address(offset, chunk.size)
        for _attempt in range(ATTEMPTS):
            self.link.write_bytes(address, chunk, progress=progress)
            if not verify or self.checksum(offset, chunk.size) == zlib.crc32(chunk):
                return
        raise VerifyError(f"{chunk.size} bytes at {offset} of the device's memory are not what was sent, {ATTEMPTS} "
            "times; the link or the memory is faulty")

    def _address(self, offset, size):
        """Bus address of a region of the memory or of the inbox."""
        inbox_bytes = self.bank.config.inbox_bytes
        if offset >= self.mem_bytes and inbox_bytes:
            if size < 0 or offset + size > self.mem_bytes + inbox_bytes:
                raise DeviceMemoryError(f"{size} bytes at {offset} end outside the device's inbox, which ends at "
                                        f"{self.mem_bytes + inbox_bytes}")
            return self.inbox_base + offset - self.mem_bytes
        self._check_region(offset, size)
        return self.mem_base + offset

    def _check_region(self, offset, size):
        if offset < 0 or size < 0 or offset + size > self.mem_bytes:
            raise DeviceMemoryError(f"{size} bytes at {offset} end outside the device's memory of {self.mem_bytes}")
