# SPDX-License-Identifier: BSD-2-Clause
"""Life and death of the simulation's process, and who may talk to it."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mixpe.errors import ConfigError, DeviceError, LinkError
from mixpe.link import open_link
from mixpe_sim import SimOptions, build_sim, open_sim

SCRATCH = 0xf0000004  # LiteX's ctrl_scratch
SCRATCH_RESET = 0x12345678

CHILD = """
import sys, time
from mixpe_sim import open_sim
process = open_sim(memory="sdr", accelerator=False)
print(process.pid, process.port, process.folder, flush=True)
time.sleep(600)
"""


def _is_alive(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as stat:
            return stat.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def _wait_dead(pid, limit_s=10.0):
    end = time.monotonic() + limit_s
    while _is_alive(pid) and time.monotonic() < end:
        time.sleep(0.05)
    return not _is_alive(pid)


def test_second_build_is_a_cache_hit(sdr):
    first = build_sim(SimOptions.create(memory="sdr", accelerator=False))
    second = build_sim(SimOptions.create(memory="sdr", accelerator=False, jobs=1))
    assert second.is_hit and second.folder == first.folder and second.key == first.key
    assert second.seconds < 30


def test_register_answers(link):
    assert link.read_word(SCRATCH) == SCRATCH_RESET
    link.write_word(SCRATCH, 0xcafef00d)
    assert link.read_word(SCRATCH) == 0xcafef00d
    link.write_word(SCRATCH, SCRATCH_RESET)


def test_only_loopback_is_bound(sdr):
    inodes = set()
    for fd in os.listdir(f"/proc/{sdr.pid}/fd"):
        try:
            found = re.fullmatch(r"socket:\[(\d+)\]", os.readlink(f"/proc/{sdr.pid}/fd/{fd}"))
        except FileNotFoundError:  # the last test's connection, closed meanwhile
            continue
        if found:
            inodes.add(found[1])
    listening = []
    for table in ("tcp", "tcp6", "udp", "udp6"):
        with open(f"/proc/net/{table}", encoding="ascii") as lines:
            for line in list(lines)[1:]:
                fields = line.split()
                if fields[9] in inodes and (table.startswith("udp") or fields[3] == "0A"):
                    listening.append((table, fields[1]))
    assert listening == [("tcp", f"0100007F:{sdr.port:04X}")]


def test_second_client_is_refused_and_the_first_goes_on(sdr, link):
    assert link.read_word(SCRATCH) == SCRATCH_RESET
    with pytest.raises(LinkError, match="another client is connected"):
        open_link(sdr.url)
    assert link.read_word(SCRATCH) == SCRATCH_RESET


def test_clients_can_come_again(sdr):
    for _ in range(5):
        with open_link(sdr.url) as link:
            assert link.read_word(SCRATCH) == SCRATCH_RESET


def test_next_client_is_not_hurt_by_a_cut_frame(sdr):
    with socket.create_connection(("127.0.0.1", sdr.port)) as client:
        client.sendall(b"\x01\x05\x10\x00\x00")  # a write of five words that never comes
    with open_link(f"{sdr.url}?timeout_s=20") as link:
        assert link.read_word(SCRATCH) == SCRATCH_RESET


def test_a_pause_inside_a_frame_is_not_its_end(sdr):
    with socket.create_connection(("127.0.0.1", sdr.port), timeout=20) as client:
        for byte in b"\x02\x01" + (SCRATCH//4).to_bytes(4, "big"):
            client.sendall(bytes([byte]))
            time.sleep(0.05)
        assert client.recv(4, socket.MSG_WAITALL) == SCRATCH_RESET.to_bytes(4, "big")


def test_it_sleeps_while_nothing_happens(sdr, link):
    link.read_word(SCRATCH)
    time.sleep(0.2)

    def ticks():
        with open(f"/proc/{sdr.pid}/stat", encoding="ascii") as stat:
            fields = stat.read().rpartition(")")[2].split()
        return int(fields[11]) + int(fields[12])

    before = ticks()
    time.sleep(1.0)
    assert ticks() - before <= 5  # hundredths of a second


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_it_dies_with_its_owner(sdr, number):
    owner = subprocess.Popen([sys.executable, "-c", CHILD], stdout=subprocess.PIPE, text=True)
    try:
        pid, port, folder = owner.stdout.readline().split()
        pid = int(pid)
        assert _is_alive(pid) and Path(folder).exists()
        owner.send_signal(number)
        owner.wait(10)
        assert _wait_dead(pid), f"the simulation {pid} outlived its owner"
        with socket.create_server(("127.0.0.1", int(port))):  # is free again
            end = time.monotonic() + 10
            while Path(folder).exists() and time.monotonic() < end:
                time.sleep(0.05)
        assert not Path(folder).exists()
    finally:
        owner.kill()
        owner.wait()
        owner.stdout.close()


def test_close_ends_it_and_cleans_up(sdr):
    process = open_sim(memory="sdr", accelerator=False)
    pid, folder = process.pid, process.folder
    assert folder.exists()
    process.close()
    process.close()
    assert not _is_alive(pid) and not folder.exists() and not process.is_running()


def test_dead_simulation_is_a_link_error(sdr):
    with open_sim(memory="sdr", accelerator=False) as process, open_link(process.url) as link:
        link.read_word(SCRATCH)
        os.kill(process.pid, signal.SIGKILL)
        with pytest.raises(LinkError, match="closed the connection"):
            for _ in range(3):
                link.read_word(SCRATCH)


def test_taken_port_is_named(sdr):
    with pytest.raises(DeviceError, match=f"cannot listen on 127.0.0.1:{sdr.port}"):
        open_sim(memory="sdr", accelerator=False, port=sdr.port)


@pytest.mark.parametrize("options, message", [
    ({"memory": "ddr5"}, "memory must be one of sdr, sdr32, sdr133, ddr3, ddr3half, not 'ddr5'"),
    ({"opt_level": "O9"}, "opt_level must be one of O0, O1, O2, O3, Os, not 'O9'"),
    ({"threads": 0}, "threads must be 1 … 64, not 0"),
    ({"cpu_type": "z80"}, "cpu_type must be None or 'vexriscv', not 'z80'"),
    ({"colour": "red"}, "unknown simulation option 'colour'; there are .*memory"),
    ({"memory": "sdr", "port_bits": 32, "memory_bits": 32}, "memory sdr has a port of 16 bits"),
    ({"memory": "ddr3", "port_bits": 32}, "at most port_bits=32, not 128"),
    ({"rows": 4, "accelerator": False}, "rows given beside config or without an accelerator"),
])
def test_bad_option_is_named(options, message):
    with pytest.raises(ConfigError, match=message):
        SimOptions.create(**options)
