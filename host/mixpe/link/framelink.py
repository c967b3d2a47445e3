# SPDX-License-Identifier: BSD-2-Clause
"""A device behind bytes that may be damaged on the way: frames with numbers and checks, sent until they arrive."""

import numpy as np

from mixpe.link.framesession import FrameSession, Wanted
from mixpe.link.uartbone import READ_FIXED, READ_INCREMENT, WRITE_FIXED, WRITE_INCREMENT
from mixpe.link.words import WordLink
from mixpe_gateware.contract.frames import FRAME_WORDS

FRAMES_PER_SEND = 64   # of a bulk write: 64 KiB, between two reports of progress
WINDOW_MAX      = 64   # frames of reads under way
WRITES_MAX      = 128  # frames of writes under way


class FrameLink(WordLink):
    """Accesses as frames of `mixpe_gateware.contract.frames`.

    Parameters
    ----------
    transport : mixpe.link.transport.Transport
    timeout_s : float
        Longest wait without progress, with all retries.
    window : int or None
        Frames of reads under way. None: 4, or 32 when the transport has back-pressure.
    answer_s : float
        What an answer took, as far as is known.
    """

    def __init__(self, transport, *, timeout_s=2.0, window=None, answer_s=0.0):
        super().__init__(timeout_s, window, WINDOW_MAX)
        self.transport = transport
        self.url       = transport.url
        self.session   = FrameSession(transport, self.counters, timeout_s, answer_s)
        self.window    = window or (32 if transport.has_backpressure else 4)

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
