# SPDX-License-Identifier: BSD-2-Clause
"""Etherbone: packets as LiteEth has them, and a bridge on loopback that loses, doubles, delays and reorders them."""

import random
import socket
import threading

import numpy as np
import pytest

import mixpe
from mixpe.devices.reference import MEM_BASE, ReferenceLink
from mixpe.errors import LinkError, LinkTimeout, NotMixpeError, RangeError
from mixpe.gateware.spec.config import Config
from mixpe.gateware.spec.registers import CSR_BANK, CSR_BASES, CSR_PAGE_BYTES, MAGIC, OFFSETS
from mixpe.link import open_link
from mixpe.link.etherbone import WORDS_MAX, parse_answer, read_packet, write_packet
from mixpe.selftest import run_selftest

BRIDGE = "127.0.0.2"  # LiteEth answers to its own port number, so bridge and host need different addresses
BANK   = CSR_BASES[0] + CSR_BANK*CSR_PAGE_BYTES
SMALL  = Config(rows=2, port_bits=32, k_max=512, buffer_beats=64, queue_depth=4, scalers=1)


class Bridge:
    """LiteEth's bridge in front of the reference device.

    Parameters
    ----------
    loss, double, swap : float
        Probability that a packet, in either direction, is lost, comes twice, or comes after the next.
    """

    def __init__(self, seed=0, *, loss=0.0, double=0.0, swap=0.0, config=SMALL):
        self.device = ReferenceLink(config, mem_bytes=1 << 20)
        self.rng = random.Random(seed)
        self.loss, self.double, self.swap = loss, double, swap
        self.held = {"in": None, "out": None}
        self.posts = 0
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((BRIDGE, 0))
        self.port = self.socket.getsockname()[1]
        self.url  = f"etherbone://{BRIDGE}:{self.port}"
        self.failure = None
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def faults(self, direction, packet):
        """What arrives instead of a packet."""
        out = [] if self.rng.random() < self.loss else [packet]
        if self.rng.random() < self.double:
            out = out*2
        if out and self.held[direction] is None and self.rng.random() < self.swap:
            self.held[direction] = out.pop(0)
        elif out and self.held[direction] is not None:
            out.append(self.held[direction])
            self.held[direction] = None
        return out

    def serve(self):
        while True:
            try:
                packet, peer = self.socket.recvfrom(4096)
            except OSError:
                return
            try:
                for each in self.faults("in", packet):
                    answer = self.act(each)
                    for one in self.faults("out", answer) if answer else []:
                        self.socket.sendto(one, (peer[0], self.port))
            except OSError:  # closed meanwhile
                return
            except Exception as error:  # shown by the fixture
                self.failure = error
                return

    def act(self, packet):
        if packet[:2] != b"\x4e\x6f":
            return None
        assert packet[2] >> 4 == 1 and packet[3] == 0x44
        _flags, enables, writes, reads = packet[8:12]
        assert enables == 0xF
        words = np.frombuffer(packet, ">u4", offset=12).astype(np.uint32)
        assert not (writes and reads), "LiteEth 2024.12 mixes up records that write and read"
        assert len(words) == 1 + writes + reads
        if writes:
            addr = int(words[0])
            self.posts += addr <= BANK + OFFSETS["job_tag"] < addr + 4*writes
            self.device.write_words(addr, words[1:])
            return None
        found = np.array([self.device.read_words(int(addr), 1)[0] for addr in words[1:]], np.uint32)
        return write_packet(int(words[0]), found)

    def close(self):
        self.socket.close()


@pytest.fixture
def bridge():
    made = []

    def make(*args, **options):
        made.append(Bridge(*args, **options))
        return made[-1]
    yield make
    for each in made:
        each.close()
        assert each.failure is None


def test_packets_byte_by_byte():
    """By hand from the format: header, record, big-endian words."""
    assert write_packet(0x12345678, np.array([1, 0xA0B0C0D0], np.uint32)).hex(" ", 4) == (
        "4e6f1044 00000000 000f0200 12345678 00000001 a0b0c0d0")
    assert read_packet(0xCAFEF00D, np.array([0x40000004], np.uint32)).hex(" ", 4) == (
        "4e6f1044 00000000 000f0001 cafef00d 40000004")
    number, words = parse_answer(write_packet(7, np.array([5, 6], np.uint32)))
    assert number == 7 and words.tolist() == [5, 6]
    good = write_packet(7, np.array([5, 6], np.uint32))
    for bad in (b"", good[:15], good[:-1], b"xx" + good[2:], read_packet(7, np.array([5], np.uint32))):
        assert parse_answer(bad) is None


@pytest.mark.parametrize("size", [0, 1, 3, 4, 5, 4*WORDS_MAX - 1, 4*WORDS_MAX, 4*WORDS_MAX + 1, 10_000])
@pytest.mark.parametrize("offset", [0, 1, 4, 6])
def test_bytes_go_and_come(bridge, size, offset):
    with open_link(bridge().url) as link:
        data = np.random.default_rng(size).integers(0, 256, size + 16).astype(np.uint8)
        link.write_bytes(MEM_BASE, data)
        part = np.arange(size, dtype=np.uint64).astype(np.uint8)
        seen = []
        link.write_bytes(MEM_BASE + 4 + offset, part, progress=seen.append)
        np.testing.assert_array_equal(link.read_bytes(MEM_BASE + 4 + offset, size), part)
        np.testing.assert_array_equal(link.read_bytes(MEM_BASE, 4 + offset), data[:4 + offset])
        assert link.counters.retries == 0 and link.strays == 0
        assert seen == sorted(seen) and (not size or seen)


FAULTS = {"loss": {"loss": 0.1}, "double": {"double": 0.3}, "swap": {"swap": 0.2},
    "all": {"loss": 0.05, "double": 0.1, "swap": 0.1}}


@pytest.mark.parametrize("faults", FAULTS.values(), ids=FAULTS)
@pytest.mark.parametrize("seed", range(3))
def test_faults_on_the_way_change_nothing(bridge, faults, seed):
    """Memory and registers, with packets lost, doubled and reordered in both directions."""
    far = bridge(seed, **faults)
    with open_link(far.url + "?timeout_s=4") as link:
        rng = np.random.default_rng(seed)
        for size in (4, 900, 5000):
            data = rng.integers(0, 256, size).astype(np.uint8)
            link.write_bytes(MEM_BASE + 64, data)
            np.testing.assert_array_equal(link.read_bytes(MEM_BASE + 64, size), data)
        for value in range(20):
            link.write_word(BANK + OFFSETS["scratch"], value)
            assert link.read_word(BANK + OFFSETS["scratch"]) == value
        if "loss" in faults:
            assert link.counters.retries
        if "double" in faults:
            assert link.strays


@pytest.mark.parametrize("seed", range(3))
def test_lost_packets_never_post_a_job_twice(bridge, seed):
    """The self-test over a lossy network: all of it passes, and each job is posted exactly once."""
    far = bridge(seed, loss=0.03)
    with mixpe.open(far.url + "?timeout_s=4") as device:
        checks = list(run_selftest(device))
        assert all(check.ok for check in checks), [str(check) for check in checks]
        assert device.link.counters.retries
        assert far.posts == far.device.counts["jobs"] == device.counters()["jobs"]


def test_a_job_whose_only_the_answer_is_lost_is_not_posted_again(bridge):
    far = bridge()
    with open_link(far.url) as link:
        assert link.read_word(BANK) == MAGIC
        act, lost = far.act, []

        def act_but_lose_the_first_answer(packet):
            answer = act(packet)
            if answer and not lost:
                lost.append(answer)
                return None
            return answer

        far.act = act_but_lose_the_first_answer
        link.write_words(BANK + OFFSETS["job_weights_addr"], [0]*9)
        assert far.posts == 1 and len(lost) == 1


def test_a_silent_host_is_a_timeout(bridge):
    far = bridge(loss=1.0)
    with open_link(far.url + "?timeout_s=0.5") as link:
        with pytest.raises(LinkTimeout, match="asked 5 times"):
            link.read_word(MEM_BASE)
        with pytest.raises(LinkTimeout, match="asked 1 times"):
            link.read_words(MEM_BASE, 1, retry=False)
    with pytest.raises(NotMixpeError, match="nothing that speaks Etherbone answers"):
        mixpe.open(far.url + "?timeout_s=0.3")


def test_memory_that_does_not_keep_what_is_written(bridge):
    far = bridge()
    far.device.write_words = lambda addr, words, increment=True: None
    with open_link(far.url + "?timeout_s=0.5") as link:
        with pytest.raises(LinkTimeout, match="do not read back"):
            link.write_bytes(MEM_BASE, b"abcd")


def test_port_in_use_and_bad_values(bridge):
    far = bridge()
    with open_link(far.url) as link:
        with pytest.raises(LinkError, match=f"UDP port {far.port} of .* is in use"):
            open_link(far.url)
        for addr in (2, -4, 1 << 32):
            with pytest.raises(RangeError):
                link.read_word(addr)
        with pytest.raises(RangeError, match="words must be"):
            link.write_word(MEM_BASE, -1)
    with pytest.raises(LinkError, match="closed"):
        link.read_word(MEM_BASE)
    with pytest.raises(LinkError, match="cannot reach"):
        open_link("etherbone://no-such-host.invalid")
