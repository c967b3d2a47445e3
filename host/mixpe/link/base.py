# SPDX-License-Identifier: BSD-2-Clause
"""What the driver asks of a link to a device's bus."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np

from mixpe.errors import LinkError, RangeError


@dataclass
class LinkCounters:
    """Traffic of a link since it was opened.

    Attributes
    ----------
    sent_bytes, received_bytes : int
        Everything on the wire, headers included.
    written_bytes, read_bytes : int
        Payload.
    timeouts, retries : int
        Waits that ended without an answer, and what was sent or asked again.
    strays : int
        Answers to nothing that waits for one.
    """

    sent_bytes: int = 0
    received_bytes: int = 0
    written_bytes: int = 0
    read_bytes: int = 0
    timeouts: int = 0
    retries: int = 0
    strays: int = 0


class Link(ABC):
    """Access to the 32-bit bus of a device.

    Addresses are byte addresses and multiples of 4. Memory is little-endian: word i of a transfer is bytes 4i … 4i+3,
    lowest first. A method returns data that the device sent, or raises; it never makes up a value.

    What the layers above may count on, whatever is written or read:

        order   accesses happen in the order of the calls: a read comes after each write before it
        once    a word that is written is written once. A link that loses packets sends again only what the far end has
                not carried out, so an access may have an effect each time. A read happens again after its answer was
                lost, unless `retry` is False

    Attributes
    ----------
    url : str
        What the link was opened with, for messages.
    is_open : bool
    counters : LinkCounters
    timeout_s : float
        Longest wait without progress.
    breaks : int
        Times that the link lost its far end and begins anew with the next access, where it knows such a thing: what was
        written shortly before may not have arrived.
    """

    url = ""
    is_open = False
    timeout_s = 2.0
    breaks = 0

    def __init__(self):
        self.counters = LinkCounters()

    @abstractmethod
    def read_words(self, addr, n, *, increment=True, retry=True):
        """Read `n` words from `addr` on, or `n` times from `addr`.

        Parameters
        ----------
        addr : int
        n : int
        increment : bool
            False reads the same address each time (a register in front of a FIFO).
        retry : bool
            Ask again after a timeout. False where reading has an effect.

        Returns
        -------
        (n,) uint32

        Raises
        ------
        LinkTimeout
            No complete answer within the limit, again after the retries.
        LinkError
            The link is broken.
        """

    @abstractmethod
    def write_words(self, addr, words, *, increment=True):
        """Write words from `addr` on, or all to `addr`, in their order. Posted: it may return before they arrive.

        Parameters
        ----------
        addr : int
        words : int or sequence of int or (n,) uint32
        increment : bool

        Raises
        ------
        LinkTimeout, LinkError
            As for `read_words`. Where the far end says what it has carried out, for words that were written earlier
            too: those since the last read or `flush` may or may not have arrived, and none of them will any more.
        """

    @abstractmethod
    def read_bytes(self, addr, n, *, progress=None):
        """Read `n` bytes of memory, from any byte address on.

        `progress(done_bytes)` is called now and then.

        Returns
        -------
        (n,) uint8
        """

    @abstractmethod
    def write_bytes(self, addr, data, *, progress=None):
        """Write a buffer or array to memory, from any byte address on.

        Words that are written in part are read first. `progress(done_bytes)` is called now and then.
        """

    @abstractmethod
    def flush(self):
        """Wait until all that was written has arrived, where the far end says so; else there is nothing to wait for.

        Raises
        ------
        LinkTimeout, LinkError
            As for `write_words`.
        """

    @abstractmethod
    def close(self):
        """Release the link, after a `flush`. Closing twice is allowed."""

    @property
    def sent_bytes(self):
        """Bytes sent, headers included."""
        return self.counters.sent_bytes

    @property
    def received_bytes(self):
        """Bytes received."""
        return self.counters.received_bytes

    def read_word(self, addr, *, retry=True):
        """Read one word as an int."""
        return int(self.read_words(addr, 1, retry=retry)[0])

    def write_word(self, addr, value):
        """Write one word."""
        self.write_words(addr, value)

    def _check(self, addr, n, increment):
        """Refuse what no bus access can be; raises LinkError, RangeError."""
        if not self.is_open:
            raise LinkError(f"{self.url}: the link is closed")
        if addr % 4 or not 0 <= addr < 1 << 32:
            raise RangeError(f"addr must be a multiple of 4 below 2**32, not {addr:#x}")
        if n < 0 or (increment and addr + 4*n > 1 << 32):
            raise RangeError(f"{n} words from address {addr:#x} on are not in the 32-bit address space")

    @staticmethod
    def _words(words):
        """Words to write as (n,) uint32; raises RangeError."""
        values = np.atleast_1d(np.asarray(words))
        if values.dtype == np.uint32:
            return values.reshape(-1)
        if values.dtype.kind not in "iu":
            raise RangeError(f"words must be integers, not {values.dtype}")
        if values.size and not (0 <= int(values.min()) and int(values.max()) < 1 << 32):
            raise RangeError(f"words must be 0 … 2**32-1, not {int(values.min())} … {int(values.max())}")
        return values.reshape(-1).astype(np.uint32)

    def _whole_words(self, addr, data):
        """Bytes to write at any address, as whole words: words that are written in part are read first.

        Returns
        -------
        first : int
            Address of the first word.
        words : (n,) uint32
        """
        array = np.ascontiguousarray(data) if isinstance(data, np.ndarray) else np.frombuffer(data, np.uint8)
        raw = array.reshape(-1).view(np.uint8)
        first, last = addr//4*4, -(-(addr + raw.size)//4)*4
        if raw.size and (first, last) != (addr, addr + raw.size):
            whole = np.empty(last - first, np.uint8)
            whole[:4]  = self.read_bytes(first, 4)
            whole[-4:] = self.read_bytes(last - 4, 4)
            whole[addr - first:addr - first + raw.size] = raw
            raw = whole
        return first, np.frombuffer(raw, "<u4")

    def __enter__(self):
        return self

    def __exit__(self, *exc_info):
        self.close()
