# SPDX-License-Identifier: BSD-2-Clause
"""A device behind LiteEth's Etherbone bridge and our gate: `packets` says what is sent, `delivery` how it arrives."""

import threading

import numpy as np

from mixpe.errors import RangeError
from mixpe.link.base import Link
from mixpe.link.channel import Channel
from mixpe.link.delivery import Delivery
from mixpe.link.packets import WORDS_MAX, write_packet

WINDOW = 2  # long packets under way: the gate keeps three of them and drops what is more


class EtherboneLink(Link):
    """Records over packets that are carried out once and in order.

    Parameters
    ----------
    carrier : mixpe.link.udp.UdpCarrier
    timeout_s : float
        Longest wait without progress, with all retries.
    window : int
        Packets of 255 words under way.
    """

    def __init__(self, carrier, *, timeout_s=2.0, window=WINDOW):
        super().__init__()
        if not 1 <= window <= 64:
            raise RangeError(f"window must be 1 … 64, not {window!r}")
        if not timeout_s > 0:
            raise RangeError(f"timeout_s must be positive, not {timeout_s!r}")
        self.carrier  = carrier
        self.url      = carrier.url
        self.channel  = Channel(carrier, self.counters, timeout_s)
        self.delivery = Delivery(self.channel, window)
        self.lock     = threading.RLock()
        self.is_open  = True

    @property
    def timeout_s(self):
        """Longest wait without progress."""
        return self.channel.timeout_s

    @timeout_s.setter
    def timeout_s(self, value):
        self.channel.timeout_s = value

    # Transfers --------------------------------------------------------------------------------------------------------

    def read_words(self, addr, n, *, increment=True, retry=True):
        self._check(addr, n, increment)
        addrs = addr + 4*np.arange(n, dtype=np.uint64)*increment
        with self.lock:
            return self._read(addrs, retry, None)

    def write_words(self, addr, words, *, increment=True):
        words = self._words(words)
        self._check(addr, len(words), increment)
        with self.lock:
            self._write(addr, words, WORDS_MAX if increment else 1, increment, None)

    def read_bytes(self, addr, n, *, progress=None):
        first, last = addr//4*4, -(-(addr + n)//4)*4 if n else addr//4*4
        self._check(first, (last - first)//4, True)
        with self.lock:
            words = self._read(np.arange(first, last, 4, np.uint64), True, progress)
        return words.astype("<u4").view(np.uint8)[addr - first:addr - first + n]

    def write_bytes(self, addr, data, *, progress=None):
        size = memoryview(data).nbytes
        first, last = addr//4*4, -(-(addr + size)//4)*4
        self._check(first, (last - first)//4, True)
        with self.lock:
            first, words = self._whole_words(addr, data)
            self._write(first, words.astype(np.uint32), WORDS_MAX, True, progress)

    def flush(self):
        with self.lock:
            self.delivery.flush()

    def close(self):
        if self.is_open:
            self.is_open = False
            try:
                self.flush()
            finally:
                self.carrier.close()

    # Inside -----------------------------------------------------------------------------------------------------------

    def _read(self, addrs, repeat, progress):
        if not len(addrs):
            return np.empty(0, np.uint32)
        words = self.delivery.read(addrs.astype(np.uint32), repeat=repeat,
                                   progress=progress and (lambda count: progress(4*count)))
        self.counters.read_bytes += 4*len(words)
        return words

    def _write(self, addr, words, step, increment, progress):
        for start in range(0, len(words), step):
            part = words[start:start + step]
            at   = addr + 4*start*increment
            self.delivery.post(write_packet(at, part), f"{len(part)} words written at 0x{at:08x} did not arrive")
            self.counters.written_bytes += 4*len(part)
            if progress is not None:
                progress(4*(start + len(part)))
