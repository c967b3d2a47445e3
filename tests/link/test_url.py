# SPDX-License-Identifier: BSD-2-Clause
"""Device URLs: what is understood, and what is said about the rest."""

import errno
import os
import pty

import pytest

from mixpe.errors import LinkError, UrlError
from mixpe.link import open_link, parse_url


@pytest.mark.parametrize("text, scheme, host, port, path, options", [
    ("sim", "sim", "", 0, "", {}),
    ("sim?memory=sdr&rows=4", "sim", "", 0, "", {"memory": "sdr", "rows": "4"}),
    ("reference", "reference", "", 0, "", {}),
    ("serial:///dev/ttyUSB0", "serial", "", 0, "/dev/ttyUSB0", {}),
    ("serial:///dev/ttyUSB0?baudrate=3000000", "serial", "", 0, "/dev/ttyUSB0", {"baudrate": "3000000"}),
    ("serial://COM3", "serial", "", 0, "COM3", {}),
    ("serial+tcp://127.0.0.1:1234", "serial+tcp", "127.0.0.1", 1234, "", {}),
    ("serial+tcp://[::1]:65535", "serial+tcp", "::1", 65535, "", {}),
    ("etherbone://192.168.1.50", "etherbone", "192.168.1.50", 1234, "", {}),
])
def test_url_is_taken_apart(text, scheme, host, port, path, options):
    url = parse_url(text)
    assert (url.text, url.scheme, url.path, url.options) == (text, scheme, path, options)
    assert (url.host, url.port) == (host, port)


@pytest.mark.parametrize("text, message", [
    (None, "a device URL is a string"),
    (5, "a device URL is a string"),
    ("", "unknown device URL ''"),
    ("usb://x", "unknown device URL 'usb://x'"),
    ("SIM", "unknown device URL 'SIM'"),
    ("sim://host", "sim has no address"),
    ("serial://", "no serial port"),
    ("serial+tcp://", "no host"),
    ("serial+tcp://host", "no port"),
    ("serial+tcp://host:0", "no port"),
    ("serial+tcp://host:70000", "the port must be 1"),
    ("serial+tcp://host:x", "the port must be 1"),
    ("serial+tcp://host:1/path", "has no path, but '/path'"),
    ("serial+tcp://host:1?bits=8", "unknown option 'bits'; serial\\+tcp takes: timeout_s, window"),
    ("serial+tcp://host:1?window=1&window=2", "given twice"),
    ("serial+tcp://host:1?window", "options are written name=value"),
])
def test_bad_url_is_named(text, message):
    with pytest.raises(UrlError, match=message):
        parse_url(text)


@pytest.mark.parametrize("text, message", [
    ("serial+tcp://127.0.0.1:1?window=0", "window must be an integer of at least 1, not '0'"),
    ("serial+tcp://127.0.0.1:1?timeout_s=-1", "timeout_s must be a positive number of seconds, not '-1'"),
    ("serial+tcp://127.0.0.1:1?timeout_s=nan", "timeout_s must be a positive number of seconds, not 'nan'"),
    ("serial:///dev/null?baudrate=fast", "baudrate must be an integer of at least 1, not 'fast'"),
    ("sim", "sim is no link"),
])
def test_bad_option_is_named_when_opening(text, message):
    with pytest.raises(UrlError, match=message):
        open_link(text)


def test_missing_serial_port_is_named():
    with pytest.raises(LinkError, match="cannot open serial port /dev/does-not-exist.*list_ports"):
        open_link("serial:///dev/does-not-exist")


def test_refused_connection_is_named(free_port):
    with pytest.raises(LinkError, match=f"nothing listens on 127.0.0.1 port {free_port}; `mixpe sim`"):
        open_link(f"serial+tcp://127.0.0.1:{free_port}")


@pytest.fixture
def terminal():
    """A pseudo terminal, as a serial port that nobody speaks on."""
    master, slave = pty.openpty()
    yield os.ttyname(slave)
    os.close(slave)
    os.close(master)


def test_serial_port_in_use_is_named_with_the_way_out(terminal):
    url = f"serial://{terminal}?baudrate=115200"
    with open_link(url), pytest.raises(LinkError, match=f"serial port {terminal} is in use; close the program .*fuser"):
        open_link(url)
    open_link(url).close()


@pytest.mark.parametrize("code, text", [
    (errno.EACCES, "you may not open serial port .*adduser .* dialout"), (errno.EBUSY, "is in use; close the program"),
    (errno.EIO, "cannot open serial port .*list_ports"),
])
def test_why_a_serial_port_does_not_open(terminal, monkeypatch, code, text):
    import serial

    def refuse(*_arguments, **_options):
        raise serial.SerialException(code, os.strerror(code))

    monkeypatch.setattr(serial, "Serial", refuse)
    with pytest.raises(LinkError, match=text):
        open_link(f"serial://{terminal}")


def test_adapters_are_asked_to_be_quick(terminal, monkeypatch):
    """And one that cannot is taken as it is."""
    import serial
    asked = []

    def low_latency(_port, value):
        asked.append(value)
        raise ValueError("Failed to update ASYNC_LOW_LATENCY flag")

    monkeypatch.setattr(serial.Serial, "set_low_latency_mode", low_latency)
    open_link(f"serial://{terminal}?baudrate=115200").close()
    assert asked == [True]
