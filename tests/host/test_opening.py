# SPDX-License-Identifier: BSD-2-Clause
"""URLs and options of `mixpe.open`, and what answers there or does not."""

import socket
import sys
import threading
import time

import pytest

import mixpe
from mixpe.devices.driver import driver_of
from mixpe.errors import ConfigError, LinkError, MixpeError, NotMixpeError, ToolError, UrlError


def test_reference_options():
    with mixpe.open("reference?rows=4&port_bits=0x20&fused=no&verify=all&mem_bytes=65536", queue_depth=2) as device:
        info = device.info()
    wanted = {"rows": 4, "port_bits": 32, "fused": False, "mem_bytes": 65536, "queue_depth": 2, "lanes": 8,
        "url": "reference?rows=4&port_bits=0x20&fused=no&verify=all&mem_bytes=65536"}
    assert {name: info[name] for name in wanted} == wanted
    assert driver_of(device).verify == "all"


def test_keywords_win():
    with mixpe.open("reference?rows=4", rows=2) as device:
        assert device.config.rows == 2


@pytest.mark.parametrize("url, options, error, text", [
    ("", {}, UrlError, "unknown device URL ''"),
    ("fpga", {}, UrlError, "unknown device URL 'fpga'.*reference"),
    ("http://localhost", {}, UrlError, "unknown device URL"),
    (None, {}, UrlError, "None"), (7, {}, UrlError, "7"),
    ("reference://host", {}, UrlError, "reference has no address"),
    ("reference?rows", {}, UrlError, "name=value"),
    ("reference?rows=4&rows=8", {}, UrlError, "twice"),
    ("reference?rowz=4", {}, UrlError, "unknown option 'rowz'.*rows"),
    ("reference?rows=four", {}, UrlError, "rows='four'"),
    ("reference?fused=perhaps", {}, UrlError, "fused='perhaps'"),
    ("reference?verify=some", {}, UrlError, "verify='some'"),
    ("reference?rows=3", {}, ConfigError, "power of two"),
    ("reference?mem_bytes=100", {}, ConfigError, "4096"),
    ("reference", {"mem_bytes": 2**40}, ConfigError, "1099511627776"),
    ("reference", {"memory": "ddr3"}, UrlError, "unknown option 'memory'"),
    ("reference", {"verify": "some"}, UrlError, "verify='some'"),
    ("sim?speed=fast", {}, UrlError, "unknown option 'speed'.*memory"),
    ("serial://", {}, UrlError, "serial:///dev/ttyUSB0"),
    ("serial:///dev/ttyUSB0?rows=4", {}, UrlError, "rows"),
    ("serial:///dev/ttyUSB0", {"rows": 4}, UrlError, "unknown option 'rows'"),
    ("serial+tcp://localhost", {}, UrlError, "port"),
    ("serial+tcp://localhost:99999", {}, UrlError, "65535"),
    ("serial:///dev/no-such-port", {}, LinkError, "/dev/no-such-port"),
])
def test_bad_urls(url, options, error, text):
    with pytest.raises(error, match=text) as caught:
        mixpe.open(url, **options)
    assert isinstance(caught.value, MixpeError)


def listener(answer):
    """A TCP server on loopback that does `answer(connection)` once; returns its port."""
    server = socket.create_server(("127.0.0.1", 0))

    def serve():
        with server:
            connection, _ = server.accept()
            with connection:
                answer(connection)

    threading.Thread(target=serve, daemon=True).start()
    return server.getsockname()[1]


def test_nobody_listens():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(LinkError, match=f"{port}"):
        mixpe.open(f"serial+tcp://127.0.0.1:{port}")


def test_somebody_who_says_nothing():
    stop = threading.Event()
    port = listener(lambda connection: stop.wait(20))
    start = time.monotonic()
    with pytest.raises(NotMixpeError, match="nothing that speaks UARTBone answers"):
        mixpe.open(f"serial+tcp://127.0.0.1:{port}?timeout_s=0.1")
    assert time.monotonic() - start < 10
    stop.set()


def test_somebody_who_hangs_up():
    port = listener(lambda connection: connection.recv(6))
    with pytest.raises(LinkError):
        mixpe.open(f"serial+tcp://127.0.0.1:{port}?timeout_s=0.5")


def test_a_bus_without_accelerator():
    """A UARTBone that reads zeros wherever it is asked, as a LiteX SoC without mixpe might."""
    def answer(connection):
        connection.settimeout(5)
        while request := connection.recv(6):
            if request[0] == 2:  # whoever asks for frames is not answered
                connection.sendall(bytes(4*request[1]))

    port = listener(answer)
    with pytest.raises(NotMixpeError, match="no mixpe device.*0x00000000"):
        mixpe.open(f"serial+tcp://127.0.0.1:{port}")


def test_sim_without_its_packages(monkeypatch):
    monkeypatch.setitem(sys.modules, "mixpe_sim", None)
    with pytest.raises(ToolError, match=r"pip install 'mixpe\[gateware\]'"):
        mixpe.open("sim")
