# SPDX-License-Identifier: BSD-2-Clause
"""The baud rate is found: a bridge on a pseudo terminal that understands only what comes at its own rate."""

import os
import pty
import select
import termios
import threading
import time

import pytest

import mixpe
from mixpe.devices.finding import is_mixpe
from mixpe.errors import LinkTimeout, MixpeError, NotMixpeError
from mixpe.link.autobaud import BAUDRATES, find_baudrate
from mixpe.link.open import open_link
from mixpe.link.transport import SerialTransport
from mixpe.link.url import BAUDRATE
from mixpe_gateware.contract.registers import CSR_BANK, CSR_BASES, CSR_PAGE_BYTES, MAGIC

SPEEDS = {getattr(termios, f"B{rate}"): rate for rate in BAUDRATES if hasattr(termios, f"B{rate}")}


class Bridge:
    """A UARTBone at one rate. At another, six bytes arrive as fewer and wrong ones, and noise comes back."""

    def __init__(self, rate, base=CSR_BASES[0], word=MAGIC):
        self.rate, self.word = rate, word
        self.address = (base + CSR_BANK*CSR_PAGE_BYTES)//4
        self.heard = []
        self.master, slave = pty.openpty()
        self.path = os.ttyname(slave)
        self.slave = slave
        self.closing = threading.Event()
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def serve(self):
        frame = b""
        try:
            while not self.closing.is_set():
                if not select.select([self.master], [], [], 0.02)[0]:
                    continue
                data = os.read(self.master, 64)
                rate = SPEEDS.get(termios.tcgetattr(self.slave)[4])
                self.heard.append(rate)
                if rate != self.rate:
                    os.write(self.master, b"\x00\xfe")
                    continue
                frame += data
                while len(frame) >= 6:
                    command, length, address = frame[0], frame[1], int.from_bytes(frame[2:6], "big")
                    frame = frame[6:]
                    if command == 2:
                        word = self.word if address == self.address else 0xFFFFFFFF
                        os.write(self.master, word.to_bytes(4, "big")*length)
        except OSError:
            return

    def close(self):
        self.closing.set()
        self.thread.join()  # or it reads the next terminal, which gets the same descriptor
        os.close(self.slave)
        os.close(self.master)


@pytest.fixture
def bridge():
    made = []

    def make(*args, **options):
        made.append(Bridge(*args, **options))
        return made[-1]
    yield make
    for each in made:
        each.close()


@pytest.mark.parametrize("rate", [3_000_000, 1_000_000, 115_200])
def test_rate_is_found(bridge, rate):
    far = bridge(rate)
    link = open_link(f"serial://{far.path}", is_device=is_mixpe)
    with link:
        assert link.transport.baudrate == rate and link.transport.rates_tried == ()
        assert link.read_word(far.address*4) == MAGIC
    # Never slower than the bridge: a question could look like a write.
    assert all(heard >= rate for heard in far.heard)


def test_other_csr_base_is_found(bridge):
    far = bridge(2_000_000, base=CSR_BASES[2])
    transport = SerialTransport(far.path, baudrate=115_200, url="x")
    assert find_baudrate(transport, is_mixpe, rates=(3_000_000, 2_000_000)) == 2_000_000
    transport.close()


def test_a_bridge_speaks_whatever_it_says(bridge):
    """No accelerator at the first place, but so many bytes as were asked for, twice."""
    far = bridge(1_000_000, word=0x12345678)
    transport = SerialTransport(far.path, baudrate=460_800, url="x")
    assert find_baudrate(transport, is_mixpe, rates=(3_000_000, 1_000_000, 115_200)) == 1_000_000
    assert 115_200 not in far.heard
    transport.close()


def test_nobody_there_leaves_the_rate_as_it_was(bridge):
    far = bridge(9600)  # only noise at the usual rates
    transport = SerialTransport(far.path, baudrate=460_800, url="x")
    assert find_baudrate(transport, is_mixpe, rates=(1_000_000, 115_200)) is None
    assert transport.baudrate == 460_800 and transport.port.baudrate == 460_800
    transport.close()


def test_an_echo_is_no_bridge():
    """A cable whose two wires touch gives six bytes for six."""
    master, slave = pty.openpty()
    closing = threading.Event()

    def echo():
        while not closing.is_set():
            if select.select([master], [], [], 0.02)[0]:
                os.write(master, os.read(master, 64))

    thread = threading.Thread(target=echo, daemon=True)
    thread.start()
    transport = SerialTransport(os.ttyname(slave), baudrate=460_800, url="x")
    assert find_baudrate(transport, is_mixpe, rates=(3_000_000,)) is None
    transport.close()
    closing.set()
    thread.join()
    os.close(slave)
    os.close(master)


@pytest.mark.parametrize("rate", [3_000_000, 115_200])
def test_registers_elsewhere_are_not_blamed_on_the_rate(bridge, rate):
    """Nowhere that is looked at: the answer says csr_base, in time."""
    far   = bridge(rate, base=0x12345000)
    start = time.monotonic()
    with pytest.raises(NotMixpeError, match=r"csr_base=0x… to the URL.*csr\.csv") as caught:
        mixpe.open(f"serial://{far.path}")
    assert time.monotonic() - start < 5
    assert "baud" not in str(caught.value)


def test_a_port_that_takes_nothing_at_a_rate_is_asked_at_the_next(bridge, monkeypatch):
    """A question that cannot be sent in time is one without an answer."""
    far = bridge(1_000_000)
    transport = SerialTransport(far.path, baudrate=115_200, url="x")
    send = transport.send

    def slow(data, timeout_s):
        if transport.baudrate > 1_000_000:
            raise LinkTimeout("sent 0 of 6 bytes")
        send(data, timeout_s)

    monkeypatch.setattr(transport, "send", slow)
    assert find_baudrate(transport, is_mixpe) == 1_000_000
    transport.close()


def test_a_rate_that_is_given_is_not_searched(bridge):
    far = bridge(1_000_000)
    with open_link(f"serial://{far.path}?baudrate=460800", is_device=is_mixpe) as link:
        assert link.transport.baudrate == 460_800
    with open_link(f"serial://{far.path}") as link:  # nobody says what to ask for
        assert link.transport.baudrate == BAUDRATE
    assert set(far.heard) <= {460_800, BAUDRATE}  # whether it takes frames


@pytest.mark.parametrize("csr_base", [None, 0xC000_0000])
def test_a_device_at_another_base_is_found(bridge, csr_base):
    """The rate, with the CSRs where the caller says they are; the bridge has no more than the magic word."""
    far  = bridge(2_000_000, base=csr_base or CSR_BASES[1])
    text = f"serial://{far.path}?timeout_s=0.2"
    with pytest.raises(MixpeError, match="contract version|no valid|no mixpe") as error:
        mixpe.open(text, **({} if csr_base is None else {"csr_base": csr_base}))
    assert not isinstance(error.value, NotMixpeError)
    assert 2_000_000 in far.heard and 921_600 not in far.heard


@pytest.mark.parametrize("option, text", [
    ("", "all the usual rates were tried, 3000000 … 115200 baud: is the bitstream loaded .*is it this port"),
    ("baudrate=1000000&", "is it this port and baud rate"),
])
def test_a_search_in_vain_is_said(monkeypatch, option, text):
    """Nobody at the other end of the terminal."""
    master, slave = pty.openpty()
    monkeypatch.setattr("mixpe.link.autobaud.ANSWER_S", 0.001)
    monkeypatch.setattr("mixpe.link.autobaud.BRIDGE_TIMEOUT_S", 0.001)
    with pytest.raises(NotMixpeError, match=text):
        mixpe.open(f"serial://{os.ttyname(slave)}?{option}timeout_s=0.05")
    os.close(slave)
    os.close(master)
