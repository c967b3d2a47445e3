# SPDX-License-Identifier: BSD-2-Clause
"""A link that fails on purpose, in front of the reference device."""

import numpy as np
import pytest

from mixpe.devices.device import Device
from mixpe.errors import LinkTimeout
from mixpe.reference.device import MEM_BASE, ReferenceLink
from mixpe_gateware.contract.config import Config
from mixpe_gateware.contract.descriptor import INDEX
from mixpe_gateware.contract.registers import JOB, OFFSETS, STATUS_ENDED

SMALL = Config(rows=4, port_bits=32, k_max=1024, buffer_beats=64, queue_depth=4, scalers=2)


class FaultyLink(ReferenceLink):
    """Faults by name; each is how often it still strikes (infinity: always).

    corrupt_writes, corrupt_reads : one bit of a transfer to or from memory flips.
    lose_jobs : the word that posts a job gets lost.
    damage_jobs : a job's n arrives as 8.
    hide_ends : status reads that do not show that jobs ended.
    timeouts : register reads that nobody answers.
    """

    def __init__(self, config=SMALL, mem_bytes=1 << 20):
        super().__init__(config, mem_bytes=mem_bytes)
        self.faults = {}
        self.levels = []  # of the queue, at each post
        self.resets = 0

    def strikes(self, name):
        left = self.faults.get(name, 0)
        if left:
            self.faults[name] = left - 1
        return bool(left)

    def flipped(self, data, name):
        raw = np.frombuffer(np.ascontiguousarray(data), np.uint8).copy()
        if raw.size and self.strikes(name):
            raw[raw.size//2] ^= 0x10
        return raw

    def write_bytes(self, addr, data, *, progress=None):
        super().write_bytes(addr, self.flipped(data, "corrupt_writes"))

    def read_bytes(self, addr, n, *, progress=None):
        return self.flipped(super().read_bytes(addr, n), "corrupt_reads")

    def read_words(self, addr, n, *, increment=True, retry=True):
        if addr < MEM_BASE or addr >= self.bank:
            if self.strikes("timeouts"):
                raise LinkTimeout(f"no answer from 0x{addr:08x}")
        return super().read_words(addr, n, increment=increment, retry=retry)

    def write_words(self, addr, words, *, increment=True):
        words = np.atleast_1d(np.asarray(words, np.uint32)).copy()
        if addr == self.bank + OFFSETS[JOB[0].name] and len(words) == len(JOB):
            self.levels.append(len(self.done))
            if self.strikes("damage_jobs"):
                words[INDEX["n"]] = 8
            if self.strikes("lose_jobs"):
                words = words[:-1]
        if addr == self.bank + OFFSETS["control"] and words[0] & 1:
            self.resets += 1
            self.faults.pop("hide_ends", None)
        super().write_words(addr, words, increment=increment)

    def _read(self, addr):
        value = super()._read(addr)
        if addr == self.bank + OFFSETS["status"] and STATUS_ENDED.of(value) and self.strikes("hide_ends"):
            value &= ~STATUS_ENDED.mask
        return value


@pytest.fixture
def link():
    return FaultyLink()


@pytest.fixture
def device(link):
    with Device(link, "faulty", floor_s=0.2, rate_hz=1e9, verify="all") as device:
        yield device
