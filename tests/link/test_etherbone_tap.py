# SPDX-License-Identifier: BSD-2-Clause
"""The simulated Etherbone SoC on a tap device: the machine's network stack is the other end, in its own namespace.

Skipped where neither root nor a user may make one; the packet-level model of test_etherbone_sim.py needs no rights.
"""

import os
import re
import shutil
import socket
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from mixpe.errors import DeviceError, ToolError
from mixpe_sim import open_sim

ROOT     = Path(__file__).parents[2]
TAP      = "mixpe0"
MAKE_TAP = """
import fcntl, os, struct
fcntl.ioctl(os.open("/dev/net/tun", os.O_RDWR), 0x400454CA, struct.pack("16sH22x", b"probe", 0x1002))  # TUNSETIFF
"""
SUITE = ("tests/link/test_protocol.py", "tests/host/test_on_device.py", "tests/lm/test_on_device.py")
LIMIT_S = 600


def namespace():
    """The command that gives a network of one's own, in which tap devices can be made; skips where there is none."""
    if sys.platform != "linux" or not shutil.which("unshare"):
        pytest.skip("tap devices need Linux and unshare")
    for options in ("-rn", "-n"):
        command = ["unshare", options]
        made = subprocess.run([*command, sys.executable, "-c", MAKE_TAP], capture_output=True)
        if made.returncode == 0:
            return command
    pytest.skip("no right to make a tap device")


def echo(address, payload, timeout_s=20):
    """Ping once; returns what comes back. Needs a namespace's rights."""
    def checksum(data):
        total = sum(struct.unpack(f">{len(data)//2}H", data))
        total = (total & 0xffff) + (total >> 16)
        return ~(total + (total >> 16)) & 0xffff

    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as icmp:
        icmp.settimeout(timeout_s)
        head = struct.pack(">BBHHH", 8, 0, checksum(struct.pack(">BBHHH", 8, 0, 0, 7, 1) + payload), 7, 1)
        icmp.sendto(head + payload, (address, 0))
        while True:
            answer = icmp.recv(2048)[20:]
            if answer[0] == 0:
                assert checksum(answer) == 0
                return answer[8:]


def inside(options):
    """What runs in the namespace: ping, then all tests that need a device, on the simulated one."""
    with open_sim(**options, tap=TAP) as process:
        assert process.url == "etherbone://192.168.1.50:1234"
        assert echo("192.168.1.50", b"mixpe"*8) == b"mixpe"*8
        return subprocess.run([sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider",
                               "--device", f"{process.url}?timeout_s=20", *SUITE], cwd=ROOT).returncode


def test_device_suite_over_the_network_stack(etherbone_options):
    """ARP, ICMP and UDP of this machine and of LiteEth, and the same tests as on every other device."""
    command = namespace()
    code    = (f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); import test_etherbone_tap as test; "
               f"sys.exit(test.inside({etherbone_options!r}))")
    found   = subprocess.run([*command, sys.executable, "-c", code], capture_output=True, text=True, timeout=LIMIT_S)
    assert found.returncode == 0, found.stdout + found.stderr
    assert int(re.search(r"(\d+) passed", found.stdout)[1]) >= 100 and "failed" not in found.stdout


def test_no_right_to_make_one_is_said(etherbone_options):
    """In a namespace of users without a network of its own."""
    if not shutil.which("unshare"):
        pytest.skip("it takes unshare")
    if subprocess.run(["unshare", "-r", "true"], capture_output=True).returncode or (
            subprocess.run(["unshare", "-r", sys.executable, "-c", MAKE_TAP], capture_output=True).returncode == 0):
        pytest.skip("no namespace without that right")
    code  = f"from mixpe_sim import open_sim; open_sim(**{etherbone_options!r}, tap={TAP!r})"
    found = subprocess.run(["unshare", "-r", sys.executable, "-c", code], capture_output=True, text=True,
                           timeout=LIMIT_S, env=dict(os.environ))
    assert DeviceError.__name__ in found.stderr
    assert re.search(f"tap device {TAP}: (cannot be made|/dev/net/tun): .*; it takes the rights of root", found.stderr)


def test_a_network_that_the_machine_is_in_is_not_taken(etherbone_options):
    code  = (f"import subprocess; from mixpe_sim import open_sim; "
             f"subprocess.run('ip tuntap add other mode tap && ip addr add 192.168.1.7/24 dev other', shell=True); "
             f"open_sim(**{etherbone_options!r}, tap={TAP!r})")
    if not shutil.which("ip"):
        pytest.skip("it takes ip")
    found = subprocess.run([*namespace(), sys.executable, "-c", code], capture_output=True, text=True, timeout=LIMIT_S)
    assert f"tap device {TAP}: other is in the SoC's network 192.168.1.0/24 already" in found.stderr


def test_port_of_a_tap_is_not_chosen(etherbone_options):
    with pytest.raises(ToolError, match="port 1234 of its own address, not 99"):
        open_sim(**etherbone_options, tap=TAP, port=99)


@pytest.mark.parametrize("options", [{"tap": TAP}, {"link": "etherbone", "tap": ""}, {"link": "etherbone", "tap": 3}])
def test_what_is_no_tap_is_refused(options):
    with pytest.raises(ToolError, match="tap is the name of a tap device, for link=etherbone"):
        open_sim(memory="sdr32", accelerator=False, **options)
