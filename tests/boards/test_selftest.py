# SPDX-License-Identifier: BSD-2-Clause
"""The self-test passes on a good device and names what is wrong with a bad one."""

import json

import numpy as np
import pytest

from mixpe.cli.main import main
from mixpe.devices.device import Device
from mixpe.reference.device import MEM_BASE, ReferenceLink
from mixpe.selftest import CHECKS, run_selftest
from mixpe_gateware.contract.config import Config
from mixpe_gateware.contract.registers import OFFSETS

SMALL = Config(rows=2, port_bits=32, k_max=512, buffer_beats=64, queue_depth=4, scalers=1)
MEM_BYTES = 1 << 20


class BadLink(ReferenceLink):
    """A device with one fault: a changed word, byte or address between driver and device."""

    def __init__(self, config=SMALL, *, word=None, byte=None, address=None):
        super().__init__(config, mem_bytes=MEM_BYTES)
        self.word, self.byte, self.address = word, byte, address

    def write_words(self, addr, words, *, increment=True):
        words = np.atleast_1d(np.asarray(words, np.uint64)).astype(np.uint32)
        if self.word and addr == self.bank + OFFSETS["scratch"]:
            words = self.word(words)
        super().write_words(addr, words, increment=increment)

    def write_bytes(self, addr, data, *, progress=None):
        raw = np.frombuffer(np.ascontiguousarray(data), np.uint8).copy()
        if self.byte:
            raw = self.byte(raw)
        super().write_bytes(self._moved(addr), raw)

    def read_bytes(self, addr, n, *, progress=None):
        return super().read_bytes(self._moved(addr), n)

    def _moved(self, addr):
        return MEM_BASE + self.address(addr - MEM_BASE) if self.address else addr


def test_tests_that_are_skipped_are_not_made():
    checks = list(run_selftest(Device(ReferenceLink(SMALL, mem_bytes=MEM_BYTES), "good"), {"memory", "array"}))
    assert [check.name for check in checks] == ["link", "data", "address", "checksum"]
    assert all(check.ok for check in checks)


def failure(link):
    """Name and text of the check that fails."""
    checks = list(run_selftest(Device(link, "bad", verify="none")))
    assert [check.ok for check in checks[:-1]] == [True]*(len(checks) - 1)
    assert not checks[-1].ok
    return checks[-1].name, checks[-1].text


@pytest.mark.parametrize("config", [SMALL, Config(), Config(minima=True),
    Config(rows=64, port_bits=16, k_max=2048, fused=False),
    Config(rows=1, port_bits=16, k_max=512, buffer_beats=128, queue_depth=2, fused=False, scalers=1)],
    ids=lambda config: f"{config.name}{' minima' if config.minima else ''}")
def test_good_devices_pass(config):
    checks = list(run_selftest(Device(ReferenceLink(config, mem_bytes=MEM_BYTES), "good")))
    assert [check.name for check in checks] == [name for name, _ in CHECKS]
    assert all(check.ok for check in checks), [str(check) for check in checks]


def test_the_smallest_memory_of_a_board_is_enough():
    config = Config(rows=1, port_bits=16, k_max=512, buffer_beats=128, queue_depth=2, fused=False, scalers=1)
    assert all(check.ok for check in run_selftest(Device(ReferenceLink(config, mem_bytes=128 << 10), "small")))


def test_link_with_a_bad_bit():
    name, text = failure(BadLink(word=lambda words: words & ~np.uint32(1 << 7)))
    assert name == "link" and "0x00000080 are wrong" in text


def test_stuck_data_line():
    name, text = failure(BadLink(byte=lambda raw: raw | 0x10))
    assert name == "data" and "bits 00010000" in text


@pytest.mark.parametrize("bit", [8, 15, 19])
def test_stuck_address_line(bit):
    name, text = failure(BadLink(address=lambda offset: offset & ~(1 << bit)))
    assert name == "address" and f"0x{1 << bit:x}" in text


def test_address_lines_tied_together():
    def tied(offset):
        both = (offset >> 12 | offset >> 16) & 1
        return offset & ~(1 << 12 | 1 << 16) | both << 12 | both << 16

    name, text = failure(BadLink(address=tied))
    assert name == "address" and "belongs to" in text


def test_bytes_that_go_wrong_in_long_writes_only():
    def last(raw):
        if raw.size >= 4096:
            raw[-1] ^= 1
        return raw

    name, text = failure(BadLink(byte=last))
    assert name == "memory" and "1 of 4096 bytes" in text


def test_checksum_unit_that_is_wrong():
    link = BadLink()
    read = link._read
    value = link.bank + OFFSETS["checksum_value"]
    link._read = lambda addr: read(addr) ^ (0x40 if addr == value else 0)
    name, text = failure(link)
    assert name == "checksum" and "not 0x" in text


def test_array_that_is_wrong():
    """One bit of one result."""
    link = BadLink()
    run = link.executor.run

    def faulty(job):
        answer = run(job)
        link.memory[job.out_addr] ^= 1
        return answer

    link.executor.run = faulty
    name, text = failure(link)
    assert name == "array" and "differ from the reference" in text


def test_command_prints_what_it_saw(capsys):
    assert main(["selftest", "--device", "reference?rows=2&mem_bytes=0x100000"]) == 0
    out = capsys.readouterr().out
    assert out.count("ok  ") == len(CHECKS) and "2 rows x 32 lanes" in out
    assert main(["selftest", "--device", "reference?mem_bytes=0x100000", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["passed"] and [check["name"] for check in report["checks"]] == [name for name, _ in CHECKS]


def test_command_without_a_device(capsys):
    assert main(["selftest", "--device", "serial:///dev/no-such-port"]) == 2
    assert "no-such-port" in capsys.readouterr().err
