# SPDX-License-Identifier: BSD-2-Clause
"""The UARTBone protocol over any byte stream.

A frame is one byte of command, one of length in words (1 … 255), four of word address, most significant first, and for
a write the words, most significant byte first. A read is answered with the words alone.
Source: LiteX 2024.12, litex/soc/cores/uart.py, Stream2Wishbone.
"""

import time

import numpy as np

from mixpe.errors import LinkTimeout
from mixpe.link.words import WordLink

WRITE_INCREMENT, READ_INCREMENT, WRITE_FIXED, READ_FIXED = 1, 2, 3, 4
WORDS_MAX = 255       # words of one frame
BRIDGE_TIMEOUT_S = 0.1  # after that long a LiteX bridge drops a frame that was cut off
FRAMES_PER_SEND = 64  # of a bulk write: 64 KiB, between two reports of progress
RETRIES = 2           # of a read that may be repeated

_HEADER = [("command", "u1"), ("length", "u1"), ("address", ">u4")]
_REQUEST = np.dtype(_HEADER)
_FULL_WRITE = np.dtype([*_HEADER, ("words", ">u4", (WORDS_MAX,))])


def write_frames(addr, words, increment=True):
    """Return the frames that write an array, as one buffer.

    Parameters
    ----------
    addr : int
        Byte address.
    words : (n,) uint32
    increment : bool

    Returns
    -------
    (b,) uint8
    """
    command = WRITE_INCREMENT if increment else WRITE_FIXED
    full = len(words)//WORDS_MAX
    rest = len(words) - full*WORDS_MAX
    frames = np.empty(full*_FULL_WRITE.itemsize + (_REQUEST.itemsize + 4*rest if rest else 0), np.uint8)
    step = WORDS_MAX if increment else 0
    if full:
        body = frames[:full*_FULL_WRITE.itemsize].view(_FULL_WRITE)
        body["command"], body["length"] = command, WORDS_MAX
        body["address"] = addr//4 + step*np.arange(full, dtype=np.uint64)
        body["words"] = words[:full*WORDS_MAX].reshape(full, WORDS_MAX)
    if rest:
        tail = frames[full*_FULL_WRITE.itemsize:]
        tail[:6].view(_REQUEST)[0] = (command, rest, addr//4 + step*full)
        tail[6:].view(">u4")[:] = words[full*WORDS_MAX:]
    return frames


def read_requests(addr, n, increment=True):
    """Return the frames that ask for `n` words.

    Returns
    -------
    (ceil(n/255),) structured array of 6 bytes each
    """
    frames = -(-n//WORDS_MAX)
    requests = np.empty(frames, _REQUEST)
    requests["command"] = READ_INCREMENT if increment else READ_FIXED
    requests["length"] = WORDS_MAX
    requests["address"] = addr//4 + (WORDS_MAX if increment else 0)*np.arange(frames, dtype=np.uint64)
    requests["length"][-1] = n - (frames - 1)*WORDS_MAX
    return requests


class UartBoneLink(WordLink):
    """A device behind LiteX's UARTBone, or a bridge that speaks its protocol.

    Parameters
    ----------
    transport : mixpe.link.transport.Transport
    timeout_s : float
        Longest wait without progress.
    window : int or None
        Read requests in flight. A bridge without an input FIFO behind a real UART takes 1: it is deaf while it answers.
        None: 1, or 32 when the transport has back-pressure.

    Attributes
    ----------
    window : int
        May be raised when the device turns out to have an input FIFO.
    """

    def __init__(self, transport, *, timeout_s=2.0, window=None):
        super().__init__(timeout_s, window)
        self.transport = transport
        self.url = transport.url
        self.timeout_s = timeout_s
        self.window = window or (32 if transport.has_backpressure else 1)
        self.in_step = True   # no answer is outstanding, no frame cut off
        self._harmless = None  # address that may be read once more

    def flush(self):
        pass  # UARTBone answers no write

    def close(self):
        if self.is_open:
            self.is_open = False
            self.transport.close()

    # Inside -----------------------------------------------------------------------------------------------------------

    def _read(self, addr, n, increment, retry, progress):
        if n == 0:
            return np.empty(0, np.uint32)
        for attempt in range(RETRIES + 1):
            try:
                return self._ask(addr, n, increment, retry, progress)
            except LinkTimeout:
                self.counters.timeouts += 1
                if not retry or attempt == RETRIES:
                    raise
                self.counters.retries += 1

    def _ask(self, addr, n, increment, retry, progress):
        if retry:
            self._harmless = addr
        if not self.in_step:
            self._recover()
        requests = read_requests(addr, n, increment)
        answer = np.empty(n, ">u4")
        view = memoryview(answer.view(np.uint8))
        batch = max(1, self.window//2)  # two batches are in flight, so the device always has a next request
        sent = received = 0
        self.in_step = False
        while received < len(requests):
            while sent < len(requests) and sent + batch <= received + max(self.window, batch):
                self._send(requests[sent:sent + batch])
                sent = min(sent + batch, len(requests))
            until = min(received + batch, sent)
            part = view[4*WORDS_MAX*received:4*WORDS_MAX*until]
            self.transport.receive_into(part, self.timeout_s)
            self.counters.received_bytes += len(part)
            received = until
            if progress is not None:
                progress(min(4*WORDS_MAX*received, 4*n))
        self.in_step = True
        self.counters.read_bytes += 4*n
        return answer.astype("<u4")

    def _write(self, addr, words, increment, progress):
        was_in_step = self.in_step
        if not was_in_step:
            time.sleep(1.2*BRIDGE_TIMEOUT_S)  # a frame may have been cut off
        step = FRAMES_PER_SEND*WORDS_MAX
        self.in_step = False
        for start in range(0, len(words), step):
            part = words[start:start + step]
            self._send(write_frames(addr + 4*start*increment, part, increment))
            self.counters.written_bytes += 4*len(part)
            if progress is not None:
                progress(4*(start + len(part)))
        self.in_step = was_in_step  # answers may still be on their way

    def _recover(self):
        """Bring both ends in step again: let the bridge drop a cut frame, throw away late answers.

        Answers have no names, so a late one would be taken for another's. They come in order: when a word that is asked
        for now has come, and then nothing more, none is outstanding.
        """
        quiet_s = self.timeout_s/4
        self.transport.drain(quiet_s)
        time.sleep(1.2*BRIDGE_TIMEOUT_S)
        if self._harmless is not None:
            self._send(read_requests(self._harmless, 1))
            self.transport.receive_into(memoryview(bytearray(4)), self.timeout_s)
        self.transport.drain(quiet_s)
        self.in_step = True

    def _send(self, frames):
        data = frames.view(np.uint8)
        self.transport.send(data, self.timeout_s)
        self.counters.sent_bytes += data.size
