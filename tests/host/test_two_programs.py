# SPDX-License-Identifier: BSD-2-Clause
"""Two programs on one device: the second is refused by name, and what a killed one leaves behind is usable at once."""

import os
import pty
import select
import subprocess
import sys
import threading
import time
from types import SimpleNamespace

import numpy as np
import pytest

import mixpe
from mixpe.link.byteend import ByteEnd, FrameEnd
from mixpe.reference.device import ReferenceLink
from mixpe_gateware.contract.config import Config
from mixpe_sim.faults.reference import BRIDGE_S, ReferencePort

SMALL   = Config(rows=4, port_bits=32, k_max=1024, buffer_beats=64, queue_depth=4, scalers=2)
MEM     = 1 << 20
LIMIT_S = 60
OPEN_S  = 10  # of an open, on a busy machine
CHILD = """
import select, sys
import numpy as np
import mixpe
with mixpe.open(sys.argv[1]) as device:
    layer = device.load(mixpe.quantize(np.eye(200, 512) + 0.25, group_size=64))
    x     = np.linspace(-1, 1, 512, dtype=np.float32).reshape(1, 512).repeat(9, 0)
    right = layer(x)
    print("ready", flush=True)
    while not select.select([sys.stdin], [], [], 0)[0]:
        assert (layer(x) == right).all()
print("right", flush=True)
"""


def serial_port(bridge):
    """The reference device on a pseudo terminal: nobody tells its bridge that a program is gone."""
    ours, theirs = pty.openpty()
    end = bridge(ReferenceLink(SMALL, mem_bytes=MEM))

    def serve():
        while not stopped.is_set():
            if not select.select([ours], [], [], BRIDGE_S)[0]:
                end.lapse()
                continue
            answer = end.take(os.read(ours, 4096))
            while answer and not stopped.is_set():
                if select.select([], [ours], [], BRIDGE_S)[1]:
                    answer = answer[os.write(ours, answer[:512]):]

    def close():
        stopped.set()
        thread.join(LIMIT_S)
        os.close(ours)
        os.close(theirs)

    stopped, thread = threading.Event(), threading.Thread(target=serve, daemon=True)
    os.set_blocking(ours, False)
    thread.start()
    return SimpleNamespace(url=f"serial://{os.ttyname(theirs)}?baudrate=3000000&timeout_s=2", close=close)


def tcp_port(bridge):
    """The same behind a TCP port."""
    port = ReferencePort(SMALL, MEM, bridge)
    return SimpleNamespace(url=f"serial+tcp://127.0.0.1:{port.port}?timeout_s=2", close=port.close)


@pytest.fixture(params=[(tcp_port, FrameEnd), (tcp_port, ByteEnd), (serial_port, FrameEnd), (serial_port, ByteEnd)],
    ids=["tcp-frames", "tcp-uartbone", "serial-frames", "serial-uartbone"])
def url(request):
    make, bridge = request.param
    port = make(bridge)
    yield port.url
    port.close()


@pytest.fixture
def program(url):
    """Another program that is at work on the device."""
    child = subprocess.Popen([sys.executable, "-c", CHILD, url], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True)
    assert child.stdout.readline() == "ready\n"
    yield child
    child.kill()
    child.communicate()


def test_the_second_is_refused_and_the_first_goes_on(url, program):
    start  = time.monotonic()
    second = subprocess.run([sys.executable, "-m", "mixpe", "info", "--device", url], capture_output=True, text=True,
        timeout=LIMIT_S, check=False)
    assert second.returncode != 0 and "Traceback" not in second.stderr
    name = url.split("?")[0]
    assert name in second.stderr
    assert ("is in use; close the program" if name.startswith("serial:") else
        "another client is connected; close it") in " ".join(second.stderr.split())
    assert time.monotonic() - start < LIMIT_S
    out, err = program.communicate("\n", timeout=LIMIT_S)
    assert out == "right\n", err


def test_a_killed_program_leaves_a_usable_device(url, program):
    program.kill()
    program.wait(LIMIT_S)
    matrix = mixpe.quantize(np.random.default_rng(1).standard_normal((40, 256)), group_size=64)
    x      = np.random.default_rng(2).standard_normal((3, 256)).astype(np.float32)
    with mixpe.open("reference") as device:
        right = device.load(matrix)(x)
    start = time.monotonic()
    with mixpe.open(url) as device:
        assert time.monotonic() - start < OPEN_S
        for _ in range(3):
            np.testing.assert_array_equal(device.load(matrix)(x), right)
