# SPDX-License-Identifier: BSD-2-Clause
"""The host initialises SDR memory over the link: what it sends, and what happens when it goes wrong or is cut off."""

import numpy as np
import pytest

from mixpe.devices.device import Device
from mixpe.devices.driver import driver_of
from mixpe.errors import DeviceError, LinkTimeout
from mixpe.reference.device import MEM_BASE
from mixpe_gateware.contract.memory_init import (
    ALL_BANKS,
    CONTROL_ON,
    CONTROL_SEL,
    DFII_OFFSETS,
    INIT_OFFSET,
    MODE_REGISTER,
    PRECHARGE,
    REFRESH,
    RESET_DLL,
    sdr_method,
)
from mixpe_gateware.contract.registers import OFFSETS, STATUS_READY

CAS_LATENCY, BURST = 2, 1
MODE     = CAS_LATENCY << 4
SEQUENCE = [(PRECHARGE, ALL_BANKS), (MODE_REGISTER, MODE | RESET_DLL), (PRECHARGE, ALL_BANKS), (REFRESH, 0),
            (REFRESH, 0), (MODE_REGISTER, MODE)]


@pytest.fixture
def sdr(link):
    """A device whose memory is what its mode register, its controller and its init registers make of it."""
    return SdrFar(link)


class SdrFar:
    """LiteDRAM's DFII registers and the memory's state, put before a reference device.

    `cut` : number of the write to a register that nobody takes any more; `broken` : the memory answers zeros;
    `deaf` : DFII registers that keep nothing; `lost` : how many writes of registers do not arrive, after `passed` that
    do.
    """

    def __init__(self, link):
        self.link = link
        self.registers = {offset: 0 for offset in DFII_OFFSETS.values()} | {
            INIT_OFFSET: 0, INIT_OFFSET + 4: 0, INIT_OFFSET + 8: sdr_method(CAS_LATENCY, BURST)}
        self.registers[DFII_OFFSETS["control"]] = CONTROL_SEL
        self.names = {offset: name for name, offset in DFII_OFFSETS.items()}
        self.commands, self.writes, self.cut, self.broken, self.deaf = [], 0, None, False, False
        self.passed = self.lost = 0
        self.read, self.write, self.read_words, self.write_words = (
            link._read, link._write, link.read_words, link.write_words)
        link._read, link._write, link.read_words, link.write_words = (
            self._read, self._write, self._read_words, self._write_words)

    @property
    def is_ready(self):
        driven = self.registers[DFII_OFFSETS["control"]] & CONTROL_SEL and self.commands[-len(SEQUENCE):] == SEQUENCE
        return self.registers[INIT_OFFSET] == 1 and not self.registers[INIT_OFFSET + 4] and driven

    def _read(self, addr):
        offset = addr - self.link.bank
        if offset in self.registers:
            return self.registers[offset]
        value = self.read(addr)
        if offset == OFFSETS["status"] and not self.is_ready:
            value &= ~STATUS_READY
        return value

    def _write(self, addr, value):
        offset = addr - self.link.bank
        if offset not in self.registers:
            self.write(addr, value)
            return
        self.writes += 1
        if self.writes == self.cut:
            raise LinkTimeout("the cable was pulled")
        if not (self.deaf and offset in self.names) and self.names.get(offset) != "pi0_command_issue":  # that reads 0
            self.registers[offset] = value
        if self.names.get(offset) == "pi0_command_issue" and self.registers[DFII_OFFSETS["control"]] == CONTROL_ON:
            assert not self.registers[DFII_OFFSETS["pi0_baddress"]]
            self.commands.append((self.registers[DFII_OFFSETS["pi0_command"]],
                                  self.registers[DFII_OFFSETS["pi0_address"]]))

    def _write_words(self, addr, words, **options):
        if addr - self.link.bank not in self.registers:
            self.write_words(addr, words, **options)
        elif self.passed or not self.lost:
            self.passed -= self.passed > 0
            self.write_words(addr, words, **options)
        else:
            self.lost -= 1

    def _read_words(self, addr, n, **options):
        if addr == MEM_BASE:
            assert self.is_ready
            if self.broken:
                return np.zeros(n, np.uint32)
        return self.read_words(addr, n, **options)


def test_sequence(link, sdr):
    with Device(link, "sdr", ready_s=0.1) as device:
        assert sdr.commands == SEQUENCE and driver_of(device).mem_bytes
    assert sdr.registers[DFII_OFFSETS["control"]] == CONTROL_ON | CONTROL_SEL


def test_memory_that_is_ready_is_left_alone(link, sdr):
    Device(link, "sdr", ready_s=0.1)
    link.write_bytes(MEM_BASE, b"kept")
    with Device(link, "sdr", ready_s=0.1):
        assert sdr.commands == SEQUENCE and bytes(link.read_bytes(MEM_BASE, 4)) == b"kept"


def test_cut_off_anywhere_it_begins_anew(link, sdr):
    """No write that gets lost leaves a memory that is taken for ready."""
    Device(link, "sdr", ready_s=0.1)
    total = sdr.writes
    assert total == 2 + 1 + 6*len(SEQUENCE) + 2 + 1
    for cut in range(1, total + 1):
        sdr.registers[INIT_OFFSET], sdr.commands, sdr.writes, sdr.cut = 0, [], 0, cut
        with pytest.raises(LinkTimeout, match="cable"):
            Device(link, "sdr", ready_s=0.1)
        assert not sdr.is_ready
        sdr.cut = None
        Device(link, "sdr", ready_s=0.1)
        assert sdr.is_ready


def test_memory_that_keeps_nothing(link, sdr):
    sdr.broken = True
    with pytest.raises(DeviceError, match="word 1 is 0x00000000, was written 0xffffffff"):
        Device(link, "sdr", ready_s=0.1)
    assert not sdr.is_ready  # the next one tries again, and does not take it for good
    with pytest.raises(DeviceError, match="does not hold what is written"):
        Device(link, "sdr", ready_s=0.1)
    sdr.broken = False
    Device(link, "sdr", ready_s=0.1).close()


def test_registers_that_keep_nothing(link, sdr):
    sdr.deaf = True
    with pytest.raises(DeviceError, match="memory controller's registers at 0xf00.* read 0x00000001 after 0x0000000e"):
        Device(link, "sdr", ready_s=0.1)


@pytest.mark.parametrize("lost", [1, 5])
def test_writes_that_get_lost_are_sent_again(link, sdr, lost):
    """Any of them, and no command is played twice or with another's address."""
    for passed in range(2 + 3*len(SEQUENCE) + 2):
        sdr.registers[INIT_OFFSET], sdr.commands, sdr.passed, sdr.lost = 0, [], passed, lost
        Device(link, "sdr", ready_s=0.1)
        assert sdr.commands == SEQUENCE and sdr.is_ready and not sdr.lost, passed


def test_writes_that_never_arrive(link, sdr):
    for passed, what in ((0, "0x00000000 0x00000001 after 0x00000000 0x00000000"), (4, "0x00000400 0x00000000 after"),
                         (2 + 3*len(SEQUENCE) + 1, "0x0000000e after 0x0000000f")):
        sdr.registers[INIT_OFFSET], sdr.registers[INIT_OFFSET + 4], sdr.commands = 0, 1, []
        sdr.passed, sdr.lost = passed, 99
        with pytest.raises(DeviceError, match=f"read .*{what}.* written, 6 times"):
            Device(link, "sdr", ready_s=0.1)
        assert not sdr.is_ready


def test_interrupted_while_it_tries_the_memory(link, sdr, monkeypatch):
    """Ready is not left behind: nobody has seen yet that the memory holds anything."""
    monkeypatch.setattr("mixpe.devices.sdram._probe", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        Device(link, "sdr", ready_s=0.1)
    assert not sdr.is_ready


def test_device_that_does_not_say_it_is_ready(link, sdr, monkeypatch):
    monkeypatch.setattr(type(sdr), "is_ready", False)
    with pytest.raises(DeviceError, match="does not say that it is ready"):
        Device(link, "sdr", ready_s=0.1)
    assert [sdr.registers[INIT_OFFSET], sdr.registers[INIT_OFFSET + 4]] == [1, 1]


def test_method_of_another_time(link, sdr):
    sdr.registers[INIT_OFFSET + 8] |= 0xF
    with pytest.raises(DeviceError, match="cannot be initialised: .*CAS latency of 2 or 3"):
        Device(link, "sdr", ready_s=0.1)
