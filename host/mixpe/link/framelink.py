# SPDX-License-Identifier: BSD-2-Clause
"""A device behind bytes that may be damaged on the way: frames with numbers and checks, sent until they arrive."""

import threading

import numpy as np

from mixpe.errors import RangeError
from mixpe.link.base import Link
from mixpe.link.framesession import FrameSession, Wanted
from mixpe.link.uartbone import READ_FIXED, READ_INCREMENT, WRITE_FIXED, WRITE_INCREMENT
from mixpe_gateware.contract.frames import FRAME_WORDS

FRAMES_PER_SEND = 64   # of a bulk write: 64 KiB, between two reports of progress
WRITES_MAX      = 128  # frames of writes under way


class FrameLink(Link):
    """Accesses as frames of `mixpe_gateware.contract.frames`.

    Parameters
    ----------
    transport : mixpe.link.transport.Transport
    timeout_s : float
        Longest wait without progress, with all retries.
    window : int or None
        Frames of reads under way. None: 4, or 32 when the transport has back-pressure.
    """

    def __init__(self, transport, *, timeout_s=2.0, window=None):
        super().__init__()
        if window is not None and not 1 <= window <= 64:
            raise RangeError(f"window must be 1 … 64, not {window!r}")
        if not timeout_s > 0:
            raise RangeError(f"timeout_s must be positive, not {timeout_s!r}")
        self.transport = transport
        self.url       = transport.url
        self.session   = FrameSession(transport, self.counters, timeout_s)
        self.window    = window or (32 if transport.has_backpressure else 4)
        self.lock      = threading.RLock()
        self.is_open   = True

    @property
    def timeout_s(self):
        """Longest wait without progress."""
        return self.session.timeout_s

    @timeout_s.setter
    def timeout_s(self, value):
        self.session.timeout_s = value

    @property
    def breaks(self):
        """As of `Link`."""
        return self.session.breaks

    # Transfers --------------------------------------------------------------------------------------------------------

    def read_words(self, addr, n, *, increment=True, retry=True):
        self._check(addr, n, increment)
        with self.lock:
            return self._read(addr, n, increment, retry, None)

    def write_words(self, addr, words, *, increment=True):
        words = self._words(words)
        self._check(addr, len(words), increment)
        with self.lock:
            self._write(addr, words, increment, None)

    def read_bytes(self, addr, n, *, progress=None):
        first, last = addr//4*4, -(-(addr + n)//4)*4 if n else addr//4*4  # whole words around it
        self._check(first, (last - first)//4, True)
        with self.lock:
            raw = self._read(first, (last - first)//4, True, True, progress).view(np.uint8)
        return raw[addr - first:addr - first + n]

    def write_bytes(self, addr, data, *, progress=None):
        size = memoryview(data).nbytes
        first, last = addr//4*4, -(-(addr + size)//4)*4
        self._check(first, (last - first)//4, True)
        with self.lock:
            first, words = self._whole_words(addr, data)
            self._write(first, words, True, progress)

    def flush(self):
        with self.lock, self.session:
            self.session.settle(0)

    def close(self):
        if self.is_open:
            self.is_open = False
            try:
                with self.lock, self.session:
                    self.session.end()
            finally:
                self.transport.close()

    # Inside -----------------------------------------------------------------------------------------------------------

    def _read(self, addr, n, increment, retry, progress):
        words, session = np.empty(n, ">u4"), self.session
        command, step  = (READ_INCREMENT, 4) if increment else (READ_FIXED, 0)
        window = self.window if retry else 1  # what must not happen twice is asked for when all before it is here
        wanted = [Wanted(command, addr + step*start, words[start:start + FRAME_WORDS], retry)
                  for start in range(0, n, FRAME_WORDS)]
        done = 0
        with session:
            while done < len(wanted):
                session.begin()
                session.settle(window//2)
                batch = wanted[done:done + max(1, window - session.level)]
                session.ask(batch)
                done += len(batch)
                if progress is not None:
                    progress(4*FRAME_WORDS*max(0, done - session.level))
            session.settle(0)
        if progress is not None:
            progress(4*n)
        self.counters.read_bytes += 4*n
        return words.astype("<u4")

    def _write(self, addr, words, increment, progress):
        command, step = (WRITE_INCREMENT, 4) if increment else (WRITE_FIXED, 0)
        with self.session as session:
            for start in range(0, len(words), FRAMES_PER_SEND*FRAME_WORDS):
                part = words[start:start + FRAMES_PER_SEND*FRAME_WORDS]
                session.begin()
                session.settle(WRITES_MAX - FRAMES_PER_SEND)
                session.tell(command, addr + step*start, part, step)
                self.counters.written_bytes += 4*len(part)
                if progress is not None:
                    progress(4*(start + len(part)))
