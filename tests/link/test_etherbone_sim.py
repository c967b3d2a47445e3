# SPDX-License-Identifier: BSD-2-Clause
"""The Etherbone link as a whole: the host's code, UDP, Ethernet frames, LiteEth's MAC to bridge, the accelerator.

    mixpe.open ──UDP──► (a bad network) ──UDP──► frames, ARP, IPv4 ──GMII──► LiteEth ──► bus of the simulated SoC
"""

import json
import os
import re
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress

import numpy as np
import pytest

import mixpe
from mixpe.devices.driver import driver_of
from mixpe.errors import ConfigError, DeviceError, LinkError, LinkTimeout
from mixpe.link import open_link
from mixpe.link.packets import WORDS_MAX, parse_answer, probe_packet, read_packet, write_packet
from mixpe_gateware.contract.memory_init import INIT_OFFSET
from mixpe_gateware.contract.registers import MAGIC
from mixpe_sim import SimOptions, open_sim

PROXY  = "127.0.0.3"
CHILD = """
import sys, time
from mixpe_sim import open_sim
process = open_sim(**eval(sys.argv[1]))
print(process.pid, flush=True)
time.sleep(600)
"""


class Network:
    """A UDP proxy in front of an Etherbone bridge that does to packets what networks do."""

    def __init__(self, port, faults):
        self.faults, self.packets = faults, 0
        self.near = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.near.bind((PROXY, 0))
        self.far = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.far.connect(("127.0.0.2", port))
        self.url = f"etherbone://{PROXY}:{self.near.getsockname()[1]}"
        self.end = threading.Event()
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def serve(self):
        host = None
        while not self.end.is_set():
            ready = select.select([self.near, self.far], [], [], 0.1)[0]
            if self.near in ready:
                packet, host = self.near.recvfrom(4096)
                self.packets += 1
                for each in self.faults.apply("in", packet):
                    self.far.send(each)
            if self.far in ready:
                packet = self.far.recv(4096)
                for each in self.faults.apply("out", packet) if host else []:
                    self.near.sendto(each, host)

    def close(self):
        self.end.set()
        self.thread.join(5)
        self.near.close()
        self.far.close()


@pytest.fixture
def network(etherbone_process, etherbone_sim, make_faults):
    """Makes networks in front of the simulated SoC: seed and probabilities of the faults.

    Whoever is connected through one takes the SoC over from `etherbone_sim`, which has it back afterwards.
    """
    made = []

    def make(*args, **options):
        made.append(Network(etherbone_process.port, make_faults(*args, **options)))
        return made[-1]
    yield make
    for each in made:
        each.close()
    with suppress(LinkError):
        driver_of(etherbone_sim).link.read_word(driver_of(etherbone_sim).bank.base)


@pytest.fixture(scope="module")
def reference(etherbone_sim):
    with mixpe.open("reference", **etherbone_sim.config.to_dict()) as device:
        yield device


def same_layers(device, reference, seed, shapes):
    for n, k, m, bits, activations in shapes:
        rng = np.random.default_rng(seed + n)
        matrix = mixpe.quantize((0.05*rng.standard_normal((n, k))).astype(np.float32), 64, bits=bits)
        x = rng.standard_normal((m, k)).astype(np.float32)
        found, expected = [], []
        for each, results in ((device, found), (reference, expected)):
            layer = each.load(matrix, activations)
            results.append(layer(x))
            if activations == "a8":
                results.append(layer.partials(mixpe.quantize_activations(x)[0]))
            layer.free()
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_array_equal(one.view(np.uint32), other.view(np.uint32), err_msg=f"seed {seed}")


def test_layers_are_those_of_the_reference(etherbone_sim, reference):
    etherbone_sim.recover()  # other tests may have had it meanwhile
    same_layers(etherbone_sim, reference, 1, [
        (16, 128, 1, 4, "a8"), (40, 320, 3, 4, "a8"), (24, 512, 5, 4, "a16"), (9, 100, 2, 8, "a8"),
        (8, 700, 2, 4, "a8")])
    assert etherbone_sim.counters()["errors"] == 0


@pytest.mark.parametrize("seed, faults", [(1, {"loss": 0.03}), (2, {"double": 0.1}), (3, {"swap": 0.1}),
    (4, {"loss": 0.02, "double": 0.05, "swap": 0.05})], ids=["loss", "double", "swap", "all"])
def test_a_bad_network_changes_no_number(network, reference, etherbone_sim, etherbone_process, seed, faults):
    """The memory is initialised through it, layers are right, and no job is posted twice or lost."""
    driver_of(etherbone_sim).link.write_words(driver_of(etherbone_sim).bank.base + INIT_OFFSET, [0, 0])
    driver_of(etherbone_sim).link.flush()
    between = network(seed, **faults)
    with mixpe.open(f"{between.url}?timeout_s=20", rate_hz=20_000) as device:
        device.reset_counters()
        reference.reset_counters()
        same_layers(device, reference, seed, [(16, 128, 3, 4, "a8"), (32, 512, 2, 4, "a16")])
        counters = device.counters()
        assert counters["errors"] == 0 and counters["jobs"] == reference.counters()["jobs"]
        if "loss" in faults:
            assert driver_of(device).link.counters.retries
        if "double" in faults:
            assert driver_of(device).link.counters.strays
    assert between.packets > 80


def exchange(port, packets, wait_s=0.5):
    """Send packets at once and collect answers until there come no more: name → words."""
    found = {}
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as host:
        host.connect(("127.0.0.2", port))
        for packet in packets:
            host.send(packet)
        while select.select([host], [], [], wait_s)[0]:
            answer = parse_answer(host.recv(2048))
            found[answer.name] = answer.words
    return found


@pytest.mark.parametrize("words", [1, 16, 32, 64, 127, WORDS_MAX])
def test_more_packets_than_the_bridge_keeps(etherbone_process, words):
    """LiteEth alone never answers again after two long records back to back; behind the gate whole packets get lost."""
    data  = np.random.default_rng(words).integers(0, 1 << 32, WORDS_MAX, dtype=np.uint32)
    addrs = (0x4000_0000 + 4*np.arange(WORDS_MAX)).astype(np.uint32)
    exchange(etherbone_process.port, [write_packet(0x4000_0000, data)], 0.1)
    asked = [read_packet(0, addrs)] + [read_packet(number, addrs[:words]) for number in range(1, 12)]
    found = exchange(etherbone_process.port, asked)
    assert set(found) <= set(range(12)) and len(found) >= 4
    for number, got in found.items():
        np.testing.assert_array_equal(got, data[:words] if number else data)
    assert exchange(etherbone_process.port, [read_packet(99, addrs[:4])])[99].tolist() == data[:4].tolist()


def test_what_is_no_packet_is_ignored(etherbone_process):
    addrs = np.array([0x4000_0000], np.uint32)
    noise = np.random.default_rng(5).bytes
    asked = read_packet(1, addrs)
    cut   = write_packet(0x4000_0000, np.arange(9, dtype=np.uint32))[:-8]
    for junk in (b"", b"\0", noise(7), noise(64), noise(1472), noise(1473), noise(9000), b"\x4e\x6f" + noise(3),
                 asked[:8], asked[:12], asked + bytes(4), cut, probe_packet(5)[:8], probe_packet(5) + bytes(4)):
        assert exchange(etherbone_process.port, [junk], 0.05) == {}
        assert list(exchange(etherbone_process.port, [read_packet(7, addrs), probe_packet(8)], 0.3)) == [7, 8]


def test_a_stopped_device_is_a_timeout_and_late_answers_are_dropped(etherbone_process, etherbone_sim, monkeypatch):
    link = driver_of(etherbone_sim).link
    monkeypatch.setattr(link, "timeout_s", 0.4)
    link.write_word(0x4000_0000, 5)
    link.flush()
    before = link.counters.strays
    os.kill(etherbone_process.pid, signal.SIGSTOP)
    try:
        with pytest.raises(LinkTimeout, match="tried 5 times"):
            link.read_word(0x4000_0000)
    finally:
        os.kill(etherbone_process.pid, signal.SIGCONT)
    time.sleep(0.3)
    assert link.read_word(0x4000_0000) == 5
    assert link.counters.strays >= before + 5  # the read, and four probes


def test_another_program_takes_over_and_is_taken_over(etherbone_process, etherbone_sim, network):
    """Two at once: who was there before gets an error, never a lost write, and may begin anew."""
    between = network(1)
    driver_of(etherbone_sim).link.write_word(0x4000_0000, 1)
    with open_link(f"{between.url}?timeout_s=20") as other:
        other.write_word(0x4000_0000, 2)
        other.flush()
        before = other.read_word(0x4000_0004)
        driver_of(etherbone_sim).link.write_word(0x4000_0004, before ^ 3)
        with pytest.raises(LinkError, match="another program uses it"):
            driver_of(etherbone_sim).link.flush()
        assert other.read_words(0x4000_0000, 2).tolist() == [2, before]
        driver_of(etherbone_sim).link.write_word(0x4000_0000, 4)
        assert driver_of(etherbone_sim).link.read_word(0x4000_0000) == 4
        with pytest.raises(LinkError, match="another program uses it"):
            other.read_word(0x4000_0000)


def test_only_loopback_is_bound(etherbone_process):
    inodes = {found[1] for fd in os.listdir(f"/proc/{etherbone_process.pid}/fd")
              if (found := re.fullmatch(r"socket:\[(\d+)\]", os.readlink(f"/proc/{etherbone_process.pid}/fd/{fd}")))}
    bound = []
    for table in ("tcp", "tcp6", "udp", "udp6", "packet"):
        with open(f"/proc/net/{table}", encoding="ascii") as lines:
            for line in list(lines)[1:]:
                fields = line.split()
                if fields[8 if table == "packet" else 9] in inodes:
                    bound.append((table, fields[1]))
    assert bound == [("udp", f"0200007F:{etherbone_process.port:04X}")]


def test_it_sleeps_while_nothing_happens(etherbone_process, etherbone_sim):
    def ticks():
        with open(f"/proc/{etherbone_process.pid}/stat", encoding="ascii") as stat:
            fields = stat.read().rpartition(")")[2].split()
        return int(fields[11]) + int(fields[12])

    assert driver_of(etherbone_sim).link.read_word(driver_of(etherbone_sim).bank.base) == MAGIC
    time.sleep(0.3)
    before = ticks()
    time.sleep(1.0)
    assert ticks() - before <= 5  # hundredths of a second


def is_alive(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as stat:
            return stat.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_it_dies_with_its_owner(etherbone_options):
    owner = subprocess.Popen([sys.executable, "-c", CHILD, repr(etherbone_options)], stdout=subprocess.PIPE, text=True)
    try:
        pid = int(owner.stdout.readline())
        assert is_alive(pid)
        owner.kill()
        owner.wait(10)
        end = time.monotonic() + 10
        while is_alive(pid) and time.monotonic() < end:
            time.sleep(0.05)
        assert not is_alive(pid), f"the simulation {pid} outlived its owner"
    finally:
        owner.kill()
        owner.wait()
        owner.stdout.close()


def test_taken_port_is_named(etherbone_process, etherbone_options):
    with pytest.raises(DeviceError, match=f"cannot listen on 127.0.0.2:{etherbone_process.port}"):
        open_sim(**etherbone_options, port=etherbone_process.port)


def test_by_url_and_by_command(etherbone_options):
    """As a user opens it: in one program, and in two."""
    url = "sim?" + "&".join(f"{name}={value}" for name, value in etherbone_options.items())
    with mixpe.open(url) as device:
        assert driver_of(device).verify == "all" and driver_of(device).link.url.startswith("etherbone://127.0.0.2:")
        shape = device.info()["rows"], device.info()["lanes"]
    words = [word for name, value in etherbone_options.items()
             for word in (f"--{name.replace('_', '-')}", str(value))]
    command = [sys.executable, "-m", "mixpe", "sim", "--json", *words]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        started = json.loads(process.stdout.readline())
        assert re.fullmatch(r"etherbone://127\.0\.0\.2:\d+", started["url"])
        with mixpe.open(started["url"] + "?timeout_s=20") as device:
            assert (device.info()["rows"], device.info()["lanes"]) == shape
    finally:
        process.terminate()
        process.wait(10)
        process.stdout.close()


def test_link_is_checked():
    with pytest.raises(ConfigError, match="link must be one of uart, etherbone, not 'usb'"):
        SimOptions.create(link="usb")
