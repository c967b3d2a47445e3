# SPDX-License-Identifier: BSD-2-Clause
"""``pytest --device URL``: the tests that need a device run on the one that is named, and only they."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def run(*arguments):
    """Another pytest, in a process of its own: its exit code and what it printed."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
    done = subprocess.run([sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-q", *arguments], cwd=ROOT,
        env=environment, capture_output=True, text=True, timeout=300)
    return done.returncode, done.stdout + done.stderr


def count(output, what):
    found = re.search(rf"(\d+) {what}", output)
    return int(found[1]) if found else 0


def test_device_tests_on_the_reference():
    code, output = run("tests/host/test_on_device.py", "tests/host/test_memory.py", "--device",
        "reference?rows=2&port_bits=32&k_max=512&buffer_beats=64&scalers=1&mem_bytes=0x100000")
    assert code == 0, output
    assert count(output, "passed") >= 30 and count(output, "deselected") >= 5 and not count(output, "failed")


def test_device_tests_on_a_device_that_is_wrong():
    """They can fail: a device whose memory is too small."""
    code, output = run("tests/host/test_on_device.py", "-k", "identity", "--device", "reference?mem_bytes=65536")
    assert code == 1 and "1 failed" in output and "assert (65536 >=" in output


def test_a_device_that_is_not_there_is_named():
    code, output = run("tests/host/test_on_device.py", "-k", "identity", "--device", "serial:///dev/no-such-port")
    assert code == 1 and "cannot open serial port /dev/no-such-port" in output


def test_one_process_at_a_time():
    pytest.importorskip("xdist")
    code, output = run("-n", "2", "tests/host/test_on_device.py", "--device", "serial:///dev/ttyUSB0")
    assert code == 4 and "serves one process at a time; leave -n out" in output


def test_device_tests_over_a_serial_link():
    """On a simulated SoC that runs in another process, as on a board: protocol, layers, descriptors."""
    pytest.importorskip("litex", reason="the simulated SoC needs mixpe[gateware]")
    from mixpe_sim import open_sim
    with open_sim() as process:
        code, output = run("tests/host/test_on_device.py", "tests/link/test_protocol.py", "-k",
            "layers or descriptors or registers or neighbours or threads", "--device", process.url)
    assert code == 0, output
    assert count(output, "passed") >= 60, output
