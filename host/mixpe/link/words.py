# SPDX-License-Identifier: BSD-2-Clause
"""What links that move whole words have in common: checks, bytes as words, one call at a time."""

import threading
from abc import abstractmethod

import numpy as np

from mixpe.errors import RangeError
from mixpe.link.base import Link


class WordLink(Link):
    """Base of links whose far end knows words alone.

    Parameters
    ----------
    timeout_s : float
        Longest wait without progress.
    window : int or None
        Accesses under way, which the link itself chooses where it is None.
    window_max : int, optional

    Raises
    ------
    RangeError
    """

    def __init__(self, timeout_s, window, window_max=None):
        super().__init__()
        if window is not None and not 1 <= window <= (window_max or window):
            raise RangeError(f"window must be {f'1 … {window_max}' if window_max else 'at least 1'}, not {window!r}")
        if not timeout_s > 0:
            raise RangeError(f"timeout_s must be positive, not {timeout_s!r}")
        self.lock    = threading.RLock()
        self.is_open = True

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
            words = self._read(first, (last - first)//4, True, True, progress)
        return words.astype("<u4", copy=False).view(np.uint8)[addr - first:addr - first + n]

    def write_bytes(self, addr, data, *, progress=None):
        size = memoryview(data).nbytes
        first, last = addr//4*4, -(-(addr + size)//4)*4
        self._check(first, (last - first)//4, True)
        with self.lock:
            first, words = self._whole_words(addr, data)
            self._write(first, words.astype(np.uint32, copy=False), True, progress)

    @abstractmethod
    def _read(self, addr, n, increment, retry, progress):
        """As `read_words`, of what was checked; `progress` takes bytes."""

    @abstractmethod
    def _write(self, addr, words, increment, progress):
        """As `write_words`, of (n,) uint32."""
