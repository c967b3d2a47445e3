# SPDX-License-Identifier: BSD-2-Clause
"""Etherbone over UDP, as LiteEth's bridge speaks it, made safe against loss, duplication and reordering.

A packet carries one record: either words to write from an address on, or addresses to read and a return address, which
the bridge sends back with the words. The return address is never used as one, so it is the request's number here.

Packets are numbered in the header's padding, and the gateware drops those that come doubled or late; LiteEth's own
bridge would carry them out.

    read    answers without the number of a request under way (late, doubled) are dropped; lost requests are asked again
    write   the protocol confirms none, so what can be read back is read back and written again where it differs
    job     posting twice would run it twice: the scratch register in front of the job's registers travels in the same
            record with a number of its own, and is read to learn whether the record arrived
    crc     the checksum unit is started again until its value changes or it is seen at work; where the value stays,
            another checksum is made in between
Source: LiteEth 2024.12, liteeth/frontend/etherbone.py; gateware/link/udp_gate.py.
"""

import errno
import select
import socket
import struct
import threading
import time
from collections import deque

import numpy as np

from mixpe.errors import LinkError, LinkTimeout, RangeError
from mixpe.link.base import Link
from mixpe_gateware.contract.registers import JOB, MAGIC, OFFSETS, STATUS_CHECKSUM, STATUS_ENDED

HEADER    = struct.pack(">HBBI", 0x4E6F, 0x10, 0x44, 0)  # magic, version 1, 32-bit addresses and words, number
NUMBER    = slice(4, 8)              # in a packet
RECORD    = struct.Struct(">BBBBI")  # flags, byte enables, words written, words read, base or return address
WORDS_MAX = 255                      # of a record
RETRIES   = 4                        # of a request or a write
ANSWER_S  = 0.1                      # to an answer, until some were seen; doubled at each retry
ANSWER_S_MIN = 0.02                  # a host may be busy elsewhere for so long
WINDOW    = 2                        # packets under way: the bridge keeps four of them and drops what is more
SCRATCH, JOB_FIRST, JOB_LAST, CONTROL = (OFFSETS[name] for name in
    ("scratch", JOB[0].name, JOB[-1].name, "control"))
# Registers that cannot be read back: what they do is seen in others.
STATUS, DONE_TAG, COLLECT, CHECKSUM, CHECKSUM_VALUE = (OFFSETS[name] for name in
    ("status", "done_tag", "done_collect", "checksum_addr", "checksum_value"))
OTHER_BYTES = 256  # at the memory's start: what is checked in between where the value is that of no bytes, 0


def write_packet(addr, words):
    """One packet that writes up to 255 words, (n,) uint32, from a byte address on."""
    return HEADER + RECORD.pack(0, 0xF, len(words), 0, addr) + words.astype(">u4").tobytes()


def read_packet(number, addrs):
    """One packet that asks for the words at up to 255 byte addresses, (n,) uint32."""
    return HEADER + RECORD.pack(0, 0xF, 0, len(addrs), number) + addrs.astype(">u4").tobytes()


def numbered(packet, number):
    """A packet with its number: 1 … 2**32-1, each above the last; 0 is none, and lets any number follow."""
    return packet[:NUMBER.start] + number.to_bytes(4, "big") + packet[NUMBER.stop:]


def parse_answer(packet):
    """Number and words of an answer; None for what is none."""
    start = len(HEADER) + RECORD.size
    if len(packet) < start or packet[:2] != HEADER[:2]:
        return None
    _flags, _enables, count, _reads, number = RECORD.unpack_from(packet, len(HEADER))
    if not count or len(packet) < start + 4*count:
        return None
    return number, np.frombuffer(packet, ">u4", count, start).astype(np.uint32)


class EtherboneLink(Link):
    """A device behind LiteEth's Etherbone bridge.

    Parameters
    ----------
    host : str
    port : int
        Of the bridge. LiteEth answers to the same number, so this machine's must be free too.
    timeout_s : float
        Longest wait for one transfer's packet, with all retries.
    window : int
        Packets under way.

    Raises
    ------
    LinkError
        The host is unknown, or the port is in use here.
    """

    def __init__(self, host, port, *, url, timeout_s=2.0, window=WINDOW):
        super().__init__()
        if not 1 <= window <= 64:
            raise RangeError(f"window must be 1 … 64, not {window!r}")
        if not timeout_s > 0:
            raise RangeError(f"timeout_s must be positive, not {timeout_s!r}")
        self.url, self.timeout_s, self.window = url, timeout_s, window
        self.lock    = threading.RLock()
        self.is_open = True
        self.strays  = 0           # answers to no request under way
        self._bank   = None        # address of the accelerator's registers, once they were read
        self._number = time.time_ns() & 0xFFFFFFFF  # of a request
        self._slowest_s = ANSWER_S/4                # answer of late
        # Of a packet: none until there was an answer, since another host may have counted before, and packets get lost.
        self._packet = 0
        self.socket  = self._connect(host, port)

    def _connect(self, host, port):
        try:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
                probe.connect((host, port))
                mine = probe.getsockname()[0]
            made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        except OSError as error:
            raise LinkError(f"{self.url}: cannot reach {host}: {error}") from error
        try:
            made.bind((mine, port))
            made.connect((host, port))
            made.setblocking(False)
        except OSError as error:
            made.close()
            why = (f"UDP port {port} of {mine} is in use; close the program that is connected to the board: answers "
                f"go to one") if error.errno == errno.EADDRINUSE else str(error)
            raise LinkError(f"{self.url}: {why}") from error
        return made

    # Transfers --------------------------------------------------------------------------------------------------------

    def read_words(self, addr, n, *, increment=True, retry=True):
        self._check(addr, n, increment)
        addrs = addr + 4*np.arange(n, dtype=np.uint64)*increment
        with self.lock:
            words = self._read(addrs.astype(np.uint32), RETRIES if retry else 0, None)
        if n and words[0] == MAGIC and self._bank is None:
            self._bank = addr
        return words

    def write_words(self, addr, words, *, increment=True, checked=True):
        words = self._words(words)
        self._check(addr, len(words), increment)
        with self.lock:
            if not increment:
                for word in words:
                    self._send(write_packet(addr, np.array([word], np.uint32)))
                    self.counters.written_bytes += 4
            elif not checked:
                if len(words) > WORDS_MAX:
                    raise RangeError(f"{WORDS_MAX} words can be written unchecked, not {len(words)}")
                self._send(write_packet(addr, words))
                self.counters.written_bytes += 4*len(words)
            elif self._is_guarded(addr, len(words)):
                self._write_guarded(addr, words)
            elif self._bank is not None and (addr - self._bank, len(words)) == (COLLECT, 1):
                self._write_collect(words)
            elif self._bank is not None and (addr - self._bank, len(words)) == (CHECKSUM, 2):
                self._write_checksum(words)
            else:
                self._write_checked(addr, words, None)

    def read_bytes(self, addr, n, *, progress=None):
        first, last = addr//4*4, -(-(addr + n)//4)*4 if n else addr//4*4
        self._check(first, (last - first)//4, True)
        with self.lock:
            words = self._read(np.arange(first, last, 4, np.uint64).astype(np.uint32), RETRIES, progress)
        return words.astype("<u4").view(np.uint8)[addr - first:addr - first + n]

    def write_bytes(self, addr, data, *, progress=None):
        size = memoryview(data).nbytes
        first, last = addr//4*4, -(-(addr + size)//4)*4
        self._check(first, (last - first)//4, True)
        with self.lock:
            first, words = self._whole_words(addr, data)
            self._write_checked(first, words.astype(np.uint32), progress)

    def close(self):
        if self.is_open:
            self.is_open = False
            self.socket.close()

    # Inside -----------------------------------------------------------------------------------------------------------

    def _next(self):
        self._number = (self._number + 1) & 0xFFFFFFFF
        return self._number

    def _send(self, packet):
        if self._packet:
            self._packet = self._packet % 0xFFFFFFFF + 1
            packet = numbered(packet, self._packet)
        try:
            if not select.select([], [self.socket], [], self.timeout_s)[1]:
                raise LinkTimeout(f"{self.url}: a packet could not be sent within {self.timeout_s:g} s")
            self.socket.send(packet)
        except ConnectionRefusedError:
            pass  # an earlier packet's; the retry decides
        except OSError as error:
            if isinstance(error, LinkTimeout):
                raise
            raise LinkError(f"{self.url}: sending failed: {error}") from error
        self.counters.sent_bytes += len(packet)

    def _receive(self, limit_s):
        """Number and words of the next answer; None after `limit_s`."""
        end = time.monotonic() + limit_s
        while True:
            left_s = end - time.monotonic()
            if left_s <= 0 or not select.select([self.socket], [], [], left_s)[0]:
                return None
            try:
                packet = self.socket.recv(2048)
            except (BlockingIOError, ConnectionRefusedError):
                continue
            except OSError as error:
                raise LinkError(f"{self.url}: receiving failed: {error}") from error
            self.counters.received_bytes += len(packet)
            answer = parse_answer(packet)
            if answer is not None:
                self._packet = self._packet or 1
                return answer
            self.strays += 1

    def _read(self, addrs, retries, progress):
        """The words at any addresses, with a window of requests."""
        result = np.empty(len(addrs), np.uint32)
        todo   = deque(range(0, len(addrs), WORDS_MAX))
        flight = {}  # number: [start, time of the last sending, attempts]
        done   = 0
        while todo or flight:
            while todo and len(flight) < self.window:
                start  = todo.popleft()
                number = self._next()
                flight[number] = [start, time.monotonic(), 0]
                self._send(read_packet(number, addrs[start:start + WORDS_MAX]))
            waits  = [sent + self._wait_s(attempts, retries) for _, sent, attempts in flight.values()]
            answer = self._receive(max(0.0, min(waits) - time.monotonic()))
            if answer is not None:
                number, words = answer
                request = flight.get(number)
                if request is None or len(words) != len(addrs[request[0]:request[0] + WORDS_MAX]):
                    self.strays += 1
                    continue
                start, sent, _ = flight.pop(number)
                self._slowest_s = max(time.monotonic() - sent, 0.9*self._slowest_s)
                result[start:start + len(words)] = words
                done += len(words)
                if progress is not None:
                    progress(4*done)
            self._repeat(flight, addrs, retries)
        self.counters.read_bytes += 4*len(addrs)
        return result

    def _wait_s(self, attempts, retries):
        """For an answer. With retries their sum is `timeout_s`, the first is short, each is longer than the last."""
        first = min(max(ANSWER_S_MIN, 4*self._slowest_s), self.timeout_s/(2 << retries))
        if attempts < retries:
            return first*(1 << attempts)
        return self.timeout_s - first*((1 << retries) - 1)

    def _repeat(self, flight, addrs, retries):
        now = time.monotonic()
        for number, request in flight.items():
            start, sent, attempts = request
            if now - sent < self._wait_s(attempts, retries):
                continue
            self.counters.timeouts += 1
            if attempts == retries:
                raise LinkTimeout(f"{self.url}: no answer to a read of {len(addrs)} words at 0x{int(addrs[0]):08x}, "
                                  f"asked {attempts + 1} times")
            self.counters.retries += 1
            request[1:] = [now, attempts + 1]
            self._send(read_packet(number, addrs[start:start + WORDS_MAX]))

    def _is_guarded(self, addr, n):
        if self._bank is None:
            return False
        offset = addr - self._bank
        return (offset == JOB_FIRST and JOB_FIRST + 4*n - 4 == JOB_LAST) or (offset == CONTROL and n == 1)

    def _write_guarded(self, addr, words):
        """Registers where a second write has another effect: in one record with the scratch register."""
        guard = self._bank + SCRATCH
        for attempt in range(RETRIES + 1):
            mark = np.array([self._next()], np.uint32)
            if addr < guard:
                rest = np.zeros((guard - addr)//4 - len(words), np.uint32)  # read-only registers in between
                packet = write_packet(addr, np.concatenate([words, rest, mark]))
            else:
                packet = write_packet(guard, np.concatenate([mark, words]))
            self._send(packet)
            found = self._read(np.array([guard], np.uint32), RETRIES, None)[0]
            if found != mark[0]:
                # Perhaps it is only late: the number shows it, before anything is sent again.
                time.sleep(self._wait_s(0, RETRIES))
                found = self._read(np.array([guard], np.uint32), RETRIES, None)[0]
            if found == mark[0]:
                self.counters.written_bytes += 4*len(words)
                return
            self.counters.retries += attempt < RETRIES
        raise LinkTimeout(f"{self.url}: {len(words)} words for 0x{addr:08x} did not arrive, sent {RETRIES + 1} times")

    def _registers(self, first, last):
        """Registers of the accelerator by their offsets: list of int."""
        addrs = self._bank + np.arange(first, last + 4, 4, dtype=np.uint32)
        return self._read(addrs.astype(np.uint32), RETRIES, None).tolist()

    def _write_collect(self, words):
        """Take an ended job off the queue. Its tag is still at the queue's head when the packet was lost."""
        for attempt in range(RETRIES + 1):
            self._send(write_packet(self._bank + COLLECT, words))
            seen = self._registers(STATUS, DONE_TAG)
            if not (STATUS_ENDED.of(seen[0]) and seen[-1] == words[0]):
                self.counters.written_bytes += 4
                return
            self.counters.retries += attempt < RETRIES
        raise LinkTimeout(f"{self.url}: the job with tag {int(words[0])} was not collected by {RETRIES + 1} packets")

    def _write_checksum(self, words):
        """Start the checksum unit: its value changes, or it is seen at work.

        Where the value stays, the bytes are the same as last time or the packet was lost. So another checksum is made
        in between, beside which this one shows: that of no bytes, which is 0, or where the value is 0 already that of
        the memory's first bytes. Where these have the checksum 0 too, the doubt stays and is an error.
        """
        before = self._checksum_at_rest()
        for _attempt in range(2*RETRIES + 2):
            if self._starts_checksum(words, before):
                self.counters.written_bytes += 8
                return
            other = [words[0], 0] if before else [0, OTHER_BYTES]
            if self._starts_checksum(np.array(other, np.uint32), before):
                before = self._checksum_at_rest()
            else:
                self.counters.retries += 1
        raise LinkTimeout(f"{self.url}: a checksum was not started, tried {2*RETRIES + 2} times")

    def _starts_checksum(self, words, before):
        """Send one command; true when it is seen to have arrived."""
        self._send(write_packet(self._bank + CHECKSUM, words))
        seen = self._registers(STATUS, CHECKSUM_VALUE)
        return bool(seen[0] & STATUS_CHECKSUM) or seen[-1] != before

    def _checksum_at_rest(self):
        """The unit's value, once it runs no more: it takes no command before."""
        end = time.monotonic() + self.timeout_s
        while True:
            status, *_, value = self._registers(STATUS, CHECKSUM_VALUE)
            if not status & STATUS_CHECKSUM:
                return value
            if time.monotonic() > end:
                raise LinkTimeout(f"{self.url}: an earlier checksum still runs after {self.timeout_s:g} s")

    def _write_checked(self, addr, words, progress):
        """Memory and registers that read as they were written: read back, and sent again where they differ."""
        for start in range(0, len(words), self.window*WORDS_MAX):
            part   = words[start:start + self.window*WORDS_MAX]
            starts = range(0, len(part), WORDS_MAX)
            wrong  = list(starts)
            base   = addr + 4*start
            for attempt in range(RETRIES + 1):
                for each in wrong:
                    self._send(write_packet(base + 4*each, part[each:each + WORDS_MAX]))
                found = self._read(base + 4*np.arange(len(part), dtype=np.uint32), RETRIES, None)
                wrong = [each for each in starts
                         if not np.array_equal(found[each:each + WORDS_MAX], part[each:each + WORDS_MAX])]
                if not wrong:
                    break
                self.counters.retries += attempt < RETRIES
            else:
                raise LinkTimeout(f"{self.url}: {len(part)} words written at 0x{base:08x} do not read back, sent "
                                  f"{RETRIES + 1} times")
            self.counters.written_bytes += 4*len(part)
            if progress is not None:
                progress(4*(start + len(part)))
