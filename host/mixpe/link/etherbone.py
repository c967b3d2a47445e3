# SPDX-License-Identifier: BSD-2-Clause
"""A device behind LiteEth's Etherbone bridge and our gate: `packets` says what is sent, `delivery` how it arrives."""

import numpy as np

from mixpe.link.channel import Channel
from mixpe.link.delivery import Delivery
from mixpe.link.packets import WORDS_MAX, write_packet
from mixpe.link.words import WordLink

WINDOW = 2  # long packets under way: the gate keeps three of them and drops what is more
WINDOW_MAX = 64


class EtherboneLink(WordLink):
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
        super().__init__(timeout_s, window, WINDOW_MAX)
        self.carrier  = carrier
        self.url      = carrier.url
        self.channel  = Channel(carrier, self.counters, timeout_s)
        self.delivery = Delivery(self.channel, window)

    @property
    def timeout_s(self):
        """Longest wait without progress."""
        return self.channel.timeout_s

    @timeout_s.setter
    def timeout_s(self, value):
        self.channel.timeout_s = value

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

    def _read(self, addr, n, increment, retry, progress):
        if n == 0:
            return np.empty(0, np.uint32)
        addrs = addr + 4*np.arange(n, dtype=np.uint64)*increment
        words = self.delivery.read(addrs.astype(np.uint32), repeat=retry,
                                   progress=progress and (lambda count: progress(4*count)))
        self.counters.read_bytes += 4*n
        return words

    def _write(self, addr, words, increment, progress):
        step = WORDS_MAX if increment else 1
        for start in range(0, len(words), step):
            part = words[start:start + step]
            at   = addr + 4*start*increment
            self.delivery.post(write_packet(at, part), f"{len(part)} words written at 0x{at:08x} did not arrive")
            self.counters.written_bytes += 4*len(part)
            if progress is not None:
                progress(4*(start + len(part)))
