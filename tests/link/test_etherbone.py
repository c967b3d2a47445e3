# SPDX-License-Identifier: BSD-2-Clause
"""Etherbone: packets as LiteEth has them, and a bridge on loopback that loses, doubles, delays and reorders them.

What both links promise is in test_protocol.py.
"""

import time
import zlib

import numpy as np
import pytest

import mixpe
from mixpe.errors import LinkError, LinkTimeout, NotMixpeError, RangeError
from mixpe.link import open_link
from mixpe.link.etherbone import RETRIES, EtherboneLink, numbered, parse_answer, read_packet, write_packet
from mixpe.reference.device import MEM_BASE
from mixpe.selftest import run_selftest
from mixpe_gateware.contract.registers import (
    CSR_BANK,
    CSR_BASES,
    CSR_PAGE_BYTES,
    JOB,
    MAGIC,
    OFFSETS,
    STATUS_CHECKSUM,
)

BANK = CSR_BASES[0] + CSR_BANK*CSR_PAGE_BYTES

def test_packets_byte_by_byte():
    """By hand from the format: header, record, big-endian words."""
    assert write_packet(0x12345678, np.array([1, 0xA0B0C0D0], np.uint32)).hex(" ", 4) == (
        "4e6f1044 00000000 000f0200 12345678 00000001 a0b0c0d0")
    assert read_packet(0xCAFEF00D, np.array([0x40000004], np.uint32)).hex(" ", 4) == (
        "4e6f1044 00000000 000f0001 cafef00d 40000004")
    number, words = parse_answer(write_packet(7, np.array([5, 6], np.uint32)))
    assert number == 7 and words.tolist() == [5, 6]
    good = write_packet(7, np.array([5, 6], np.uint32))
    assert numbered(good, 0x01020304).hex(" ", 4) == "4e6f1044 01020304 000f0200 00000007 00000005 00000006"
    assert parse_answer(numbered(good, 9))[0] == 7
    for bad in (b"", good[:15], good[:-1], b"xx" + good[2:], read_packet(7, np.array([5], np.uint32))):
        assert parse_answer(bad) is None


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


@pytest.mark.parametrize("seed, faults", [(0, {"loss": 0.03}), (1, {"double": 0.2}), (2, {"swap": 0.03}),
    (3, {"loss": 0.01, "double": 0.1, "swap": 0.01})], ids=["loss", "double", "swap", "all"])
def test_a_bad_network_never_posts_a_job_twice(bridge, seed, faults):
    """The self-test over a bad network: all of it passes, and each job is posted exactly once."""
    far = bridge(seed, **faults)
    with mixpe.open(far.url + "?timeout_s=4") as device:
        checks = list(run_selftest(device))
        assert all(check.ok for check in checks), [str(check) for check in checks]
        assert device.link.counters.retries or device.link.strays
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
        link.write_words(BANK + OFFSETS[JOB[0].name], [0]*len(JOB))
        assert far.posts == 1 and len(lost) == 1


class Commands:
    """Watches a bridge for commands of the checksum unit, and loses those whose turn is in `lost`."""

    def __init__(self, far, lost=()):
        self.seen, self.lost, self.act = 0, lost, far.act
        far.act = self

    def __call__(self, packet):
        addr = int.from_bytes(packet[12:16], "big")
        if packet[10] and addr == BANK + OFFSETS["checksum_addr"]:
            self.seen += 1
            if self.seen - 1 in self.lost:
                return None
        return self.act(packet)


LOST = [(), (0,), (0, 1), (0, 1, 2), (0, 1, 2, 3), (0, 2), (1,), (1, 2), (0, 3), (0, 1, 2, 4, 5)]


@pytest.mark.parametrize("lost", LOST, ids=str)
@pytest.mark.parametrize("changed", [False, True])
def test_a_checksum_whose_commands_are_lost_is_never_the_last_one(bridge, lost, changed):
    """Of the region that was checked last: its bytes went bad meanwhile, or are the same."""
    far = bridge()
    with mixpe.open(far.url + "?timeout_s=4") as device:
        data = np.random.default_rng(5).integers(0, 256, 4096).astype(np.uint8)
        device.write_memory(0, data)
        assert device.checksum(0, data.size) == zlib.crc32(data)
        if changed:
            far.device.memory[100] ^= 1
            data[100] ^= 1
        commands = Commands(far, lost)
        assert device.checksum(0, data.size) == zlib.crc32(data)
        assert commands.seen <= 2*len(lost) + 3
        assert device.checksum(64, 128) == zlib.crc32(data[64:192])


def test_checksums_whose_commands_are_all_lost_are_an_error(bridge):
    far = bridge()
    with mixpe.open(far.url + "?timeout_s=1") as device:
        device.write_memory(0, bytes(4096))
        device.checksum(0, 4096)
        commands = Commands(far, range(100))
        with pytest.raises(LinkTimeout, match="a checksum was not started, tried 10 times"):
            device.checksum(0, 4096)
        commands.lost = ()
        assert device.checksum(0, 4096) == zlib.crc32(bytes(4096))


def of_checksum_0(data):
    """Bytes whose last four are made so that their checksum is 0, that of no bytes."""
    made = data.copy()
    made[-4:] = np.array([zlib.crc32(data[:-4]) ^ 0x6DD90A9D], "<u4").view(np.uint8)
    assert zlib.crc32(made) == 0
    return made


@pytest.mark.parametrize("lost", LOST, ids=str)
def test_bytes_whose_checksum_is_0(bridge, lost):
    """As that of no bytes, which is made in between, and as the value after power-on; and so is that of none at all."""
    far = bridge()
    with mixpe.open(far.url + "?timeout_s=4") as device:
        data = np.random.default_rng(6).integers(0, 256, 2048).astype(np.uint8)
        data[1024:] = of_checksum_0(data[1024:])
        device.write_memory(0, data)
        for offset, size in [(1024, 1024), (1024, 1024), (0, 0), (0, 0), (0, 1024), (1024, 1024)]:
            Commands(far, lost)
            assert device.checksum(offset, size) == zlib.crc32(data[offset:offset + size])
            del far.act


def test_a_checksum_that_cannot_be_told_from_a_lost_one_is_an_error(bridge):
    """The bytes that are checked in between have the checksum 0 too."""
    far = bridge()
    with mixpe.open(far.url + "?timeout_s=4") as device:
        data = of_checksum_0(np.arange(256, dtype=np.uint8))
        device.write_memory(0, np.concatenate([data, data]))
        with pytest.raises(LinkTimeout, match="a checksum was not started, tried 10 times"):
            device.checksum(256, 256)


def test_a_checksum_waits_for_the_one_before(bridge):
    """The unit takes no command while it runs, and shows that it runs all the same."""
    far = bridge()
    with mixpe.open(far.url + "?timeout_s=0.3") as device:
        data = np.arange(256, dtype=np.uint8)
        device.write_memory(0, data)
        read, busy = far.device.read_words, [5]

        def running(addr, n, increment=True):
            words = read(addr, n, increment=increment)
            if addr == BANK + OFFSETS["status"] and busy[0]:
                busy[0] -= 1
                words[0] |= STATUS_CHECKSUM
            return words

        far.device.read_words = running
        commands = Commands(far)
        assert device.checksum(0, 128) == zlib.crc32(data[:128])
        assert busy[0] == 0 and commands.seen == 1
        busy[0] = 10**9
        with pytest.raises(LinkTimeout, match="an earlier checksum still runs after 0.3 s"):
            device.checksum(0, 128)
        assert commands.seen == 1


@pytest.mark.parametrize("seed", range(3))
def test_bytes_that_go_bad_are_seen_over_a_bad_network(bridge, seed):
    """A quarter of the commands is lost."""
    far = bridge(seed, loss=0.02, double=0.1, swap=0.05)
    rng = np.random.default_rng(seed)
    with mixpe.open(far.url + "?timeout_s=4") as device:
        device.write_memory(0, rng.integers(0, 256, 512).astype(np.uint8))
        Commands(far, set(np.flatnonzero(rng.random(1000) < 0.25)))
        for _ in range(25):
            far.device.memory[int(rng.integers(512))] ^= int(rng.integers(2))
            assert device.checksum(0, 512) == zlib.crc32(far.device.memory[:512])


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


def test_port_in_use_is_named_with_the_way_out(bridge):
    far = bridge()
    with open_link(far.url):
        with pytest.raises(LinkError, match=f"UDP port {far.port} of .* is in use; close the program"):
            open_link(far.url)
    open_link(far.url).close()


def test_unknown_host_is_named():
    with pytest.raises(LinkError, match="cannot reach no-such-host.invalid"):
        open_link("etherbone://no-such-host.invalid")


@pytest.mark.parametrize("options, message", [
    ({"window": 0}, "window must be 1"), ({"window": 65}, "window must be 1"), ({"timeout_s": 0}, "timeout_s must be"),
])
def test_bad_options_are_named(options, message):
    with pytest.raises(RangeError, match=message):
        EtherboneLink("127.0.0.1", 1, url="x", **options)


@pytest.mark.parametrize("timeout_s", [0.01, 2.0, 20.0, 1000.0])
def test_waits_grow_and_add_up_to_the_limit(bridge, timeout_s):
    with open_link(f"{bridge().url}?timeout_s={timeout_s}") as link:
        waits = [link._wait_s(attempt, RETRIES) for attempt in range(RETRIES + 1)]
        assert sum(waits) == pytest.approx(timeout_s) and waits == sorted(waits) and 0 < waits[0] <= 0.1
        assert link._wait_s(0, 0) == timeout_s


def test_packets_are_numbered_from_the_first_answer_on(bridge):
    """And a host that comes after another is heard, though it counts from one again and its first packet is lost."""
    far = bridge()
    numbers, act, lost = [], far.act, []

    def watched(packet):
        numbers.append(int.from_bytes(packet[4:8], "big"))
        if lost:
            lost.pop()
            return None
        return act(packet)

    far.act = watched
    with open_link(far.url) as link:
        for _ in range(5):
            link.read_word(MEM_BASE)
    assert numbers == [0, 2, 3, 4, 5]
    lost.append(True)
    with open_link(far.url) as link:
        for _ in range(3):
            link.read_word(MEM_BASE)
    assert numbers[5:] == [0, 0, 2, 3]


def test_numbers_go_round(bridge):
    with open_link(bridge().url) as link:
        link.read_word(MEM_BASE)
        link._packet = 0xFFFFFFFE
        for value in range(5):
            link.write_word(MEM_BASE, value)
            assert link.read_word(MEM_BASE) == value
        assert link.counters.retries == 0 and 0 < link._packet < 100


def test_the_wait_follows_what_answers_take(bridge):
    """A slow far end is not asked twice, and a fast one is asked again soon."""
    far, delay = bridge(), [0.15]
    act = far.act

    def slow(packet):
        time.sleep(delay[0])
        return act(packet)

    far.act = slow
    with open_link(far.url + "?timeout_s=20") as link:
        for _ in range(6):
            link.read_word(MEM_BASE)
        before = link.counters.retries
        for _ in range(6):
            link.read_word(MEM_BASE)
        assert link.counters.retries - before <= 1 and before <= 4  # each would be asked twice
        delay[0] = 0
        reads = 0
        while link._wait_s(0, RETRIES) > 0.03 and reads < 500:  # this process may be held up now and then
            link.read_word(MEM_BASE)
            reads += 1
        assert reads < 500
