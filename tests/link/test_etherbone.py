# SPDX-License-Identifier: BSD-2-Clause
"""Etherbone: packets as LiteEth has them, and a bridge on loopback that loses, doubles, delays and reorders them.

What both links promise is in test_protocol.py.
"""

import time
import zlib
from types import SimpleNamespace

import numpy as np
import pytest

import mixpe
from mixpe.devices.driver import driver_of
from mixpe.errors import DeviceError, LinkError, LinkTimeout, MixpeError, NotMixpeError
from mixpe.link import open_link
from mixpe.link.channel import RETRIES
from mixpe.link.packets import WORDS_MAX, numbered, parse_answer, probe_packet, read_packet, start_packet, write_packet
from mixpe.reference.device import MEM_BASE
from mixpe.selftest import run_selftest
from mixpe_gateware.contract.packetnumbers import COUNTED, NUMBER_MASK
from mixpe_gateware.contract.registers import CSR_BANK, CSR_BASES, CSR_PAGE_BYTES, JOB, OFFSETS, STATUS_CHECKSUM

BANK = CSR_BASES[0] + CSR_BANK*CSR_PAGE_BYTES


def test_packets_byte_by_byte():
    """By hand from the format: header, record, big-endian words."""
    good = write_packet(0x12345678, np.array([1, 0xA0B0C0D0], np.uint32))
    assert good.hex(" ", 4) == "4e6f1044 00000000 000f0200 12345678 00000001 a0b0c0d0"
    assert read_packet(0xCAFEF00D, np.array([0x40000004], np.uint32)).hex(" ", 4) == (
        "4e6f1044 00000000 000f0001 cafef00d 40000004")
    assert probe_packet(0x01020304).hex(" ", 4) == "4e6f1144 00000000 01020304"
    assert start_packet(0x01020304, 5).hex(" ", 4) == "4e6f1144 81020304 80000005"
    assert numbered(good, 0x01020304).hex(" ", 4) == (
        "4e6f1044 81020304 000f0200 12345678 00000001 a0b0c0d0")


def test_answers_are_understood_or_none():
    good  = write_packet(7, np.array([5, 6], np.uint32))
    found = parse_answer(numbered(good, 9))
    assert found.name == 7 and found.words.tolist() == [5, 6] and found.due == 9
    assert parse_answer(good).due is None
    found = parse_answer(bytes.fromhex("4e6f1244 80000000 01020304"))
    assert found.name == 0x01020304 and found.words is None and found.due == 0
    for bad in (b"", good[:15], good[:-1], b"xx" + good[2:], read_packet(7, np.array([5], np.uint32)), b"\x4e\x6f\x12",
                bytes.fromhex("4e6f1244 80000000 010203")):
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
            assert link.counters.strays


@pytest.mark.parametrize("faults", FAULTS.values(), ids=FAULTS)
@pytest.mark.parametrize("seed", range(3))
def test_each_write_is_carried_out_once_and_in_order(bridge, faults, seed):
    """Whatever its address and its words: writes of all lengths, most without a read behind them."""
    far, rng, sent = bridge(seed, **faults), np.random.default_rng(seed), []
    with open_link(far.url + "?timeout_s=4") as link:
        for turn in range(60):
            addr  = MEM_BASE + 4*int(rng.integers(0, 100))
            words = rng.integers(0, 4, int(rng.choice([1, 2, 9, 100, 255]))).astype(np.uint32)
            if turn % 10 == 9:
                link.write_words(addr, words[:3], increment=False)
                sent += [(addr, [word]) for word in words[:3].tolist()]
            else:
                link.write_words(addr, words)
                sent.append((addr, words.tolist()))
            if rng.random() < 0.2:
                assert link.read_word(addr) == sent[-1][1][0]
                assert far.writes == sent  # a read comes after all of them
    assert far.writes == sent, seed  # and so does the end


@pytest.mark.parametrize("seed, faults", [(0, {"loss": 0.03}), (1, {"double": 0.2}), (2, {"swap": 0.03}),
    (3, {"loss": 0.01, "double": 0.1, "swap": 0.01})], ids=["loss", "double", "swap", "all"])
def test_a_bad_network_never_posts_a_job_twice(bridge, seed, faults):
    """The self-test over a bad network: all of it passes, and each job is posted exactly once."""
    far = bridge(seed, **faults)
    with mixpe.open(far.url + "?timeout_s=4") as device:
        checks = list(run_selftest(device))
        assert all(check.ok for check in checks), [str(check) for check in checks]
        assert driver_of(device).link.counters.retries or driver_of(device).link.counters.strays
        assert far.posts == far.device.counts["jobs"] == device.counters()["jobs"]


class Watch:
    """Packets that a bridge gets, and what it answers; `lose(packet)` and `mute(packet)` say what gets lost."""

    def __init__(self, far, lose=None, mute=None):
        self.act, self.packets, self.answers = far.act, [], []
        self.lose, self.mute = lose or (lambda packet: False), mute or (lambda packet: False)
        far.act = self

    def __call__(self, packet):
        self.packets.append(packet)
        if self.lose(packet):
            return None
        answer = self.act(packet)
        if answer is None or self.mute(packet):
            return None
        self.answers.append(answer)
        return answer

    def numbers(self):
        words = [int.from_bytes(packet[4:8], "big") for packet in self.packets if not packet[2] & 1]
        assert all(word & COUNTED for word in words)
        return [word & NUMBER_MASK for word in words]


def writes_to(packet, name):
    return not packet[2] & 1 and packet[10] and int.from_bytes(packet[12:16], "big") == BANK + OFFSETS[name]


def first_times(count, condition):
    """True for the first so many packets of a kind."""
    left = [count]

    def is_one(packet):
        if left[0] and condition(packet):
            left[0] -= 1
            return True
        return False
    return is_one


def test_a_job_is_one_packet_and_no_turn(bridge):
    """Posted; the read that the queue makes anyway shows that it arrived."""
    far = bridge()
    with open_link(far.url) as link:
        link.read_word(BANK)
        watch = Watch(far)
        link.write_words(BANK + OFFSETS[JOB[0].name], [0]*len(JOB))
        assert link.read_word(BANK + OFFSETS["status"])
        assert [len(packet) for packet in watch.packets] == [16 + 4*len(JOB), 16 + 4] and len(watch.answers) == 1
        assert far.posts == 1


@pytest.mark.parametrize("lost", range(4))
@pytest.mark.parametrize("muted", range(4))
def test_a_job_is_posted_once_whatever_gets_lost(bridge, lost, muted):
    """Its own packets, and answers."""
    far = bridge()
    with open_link(far.url) as link:
        link.read_word(BANK)
        Watch(far, first_times(lost, lambda packet: writes_to(packet, "job_weights_addr")),
              first_times(muted, lambda packet: True))
        link.write_words(BANK + OFFSETS[JOB[0].name], [0]*len(JOB))
        assert link.read_word(BANK + OFFSETS["status"])
        assert far.posts == 1


def test_long_writes_are_not_read_back(bridge):
    """One packet in 255 words, at most one probe each, and never more words under way than the gate keeps."""
    far, data = bridge(), np.random.default_rng(1).integers(0, 1 << 32, 20*WORDS_MAX, dtype=np.uint32)
    with open_link(far.url) as link:
        link.read_word(MEM_BASE)
        watch = Watch(far)
        link.write_words(MEM_BASE, data)
        link.flush()
        records = [packet for packet in watch.packets if not packet[2] & 1]
        assert len(records) == 20 and all(packet[10] == WORDS_MAX for packet in records)
        assert len(watch.answers) == len(watch.packets) - 20 <= 20
        assert max(len(answer) for answer in watch.answers) == 12
        np.testing.assert_array_equal(link.read_words(MEM_BASE, data.size), data)
        assert link.counters.retries == link.counters.timeouts == link.counters.strays == 0


@pytest.mark.parametrize("lost", [0, 1, 2, 5, 10**9])
@pytest.mark.parametrize("changed", [False, True])
def test_a_checksum_whose_commands_are_lost_is_never_the_last_one(bridge, lost, changed):
    """Of the region that was checked last: its bytes went bad meanwhile, or are the same."""
    far = bridge()
    with mixpe.open(far.url + "?timeout_s=1") as device:
        data = np.random.default_rng(5).integers(0, 256, 4096).astype(np.uint8)
        driver_of(device).write_memory(0, data)
        assert driver_of(device).checksum(0, data.size) == zlib.crc32(data)
        if changed:
            far.device.memory[100] ^= 1
            data[100] ^= 1
        Watch(far, first_times(lost, lambda packet: writes_to(packet, "checksum_addr")))
        before = len(far.writes)
        if lost == 10**9:
            with pytest.raises(LinkTimeout, match="2 words written at 0x.* did not arrive within 1 s, tried 5 times"):
                driver_of(device).checksum(0, data.size)
            del far.act
        assert driver_of(device).checksum(0, data.size) == zlib.crc32(data)
        assert far.writes[before:] == [(BANK + OFFSETS["checksum_addr"], [0, 4096])]
        assert driver_of(device).checksum(64, 128) == zlib.crc32(data[64:192])


def test_checksums_are_told_apart_though_they_are_equal(bridge):
    """As that of no bytes, 0, which is the value after power-on too."""
    far  = bridge(3, loss=0.2)
    data = np.random.default_rng(6).integers(0, 256, 2048).astype(np.uint8)
    data[-4:] = np.array([zlib.crc32(data[1024:-4]) ^ 0x6DD90A9D], "<u4").view(np.uint8)
    assert zlib.crc32(data[1024:]) == 0
    with mixpe.open(far.url + "?timeout_s=4") as device:
        driver_of(device).write_memory(0, data)
        for offset, size in [(1024, 1024), (1024, 1024), (0, 0), (0, 0), (0, 1024), (1024, 1024)]:
            assert driver_of(device).checksum(offset, size) == zlib.crc32(data[offset:offset + size])
        commands = [words for addr, words in far.writes if addr == BANK + OFFSETS["checksum_addr"]]
        assert commands == [[1024, 1024], [1024, 1024], [0, 0], [0, 0], [0, 1024], [1024, 1024]]


def test_a_checksum_waits_for_the_one_before(bridge):
    """The unit takes no command while it runs."""
    far  = bridge()
    data = np.arange(256, dtype=np.uint8)
    read, busy = far.device.read_words, [0]

    def running(addr, n):
        words = read(addr, n)
        if addr == BANK + OFFSETS["status"] and busy[0]:
            busy[0] -= 1
            words[0] |= STATUS_CHECKSUM
        return words

    def commands():
        return sum(addr == BANK + OFFSETS["checksum_addr"] for addr, _ in far.writes)

    far.device.read_words = running
    with mixpe.open(far.url + "?timeout_s=0.3", floor_s=0.3) as device:
        driver_of(device).write_memory(0, data)
        busy[0] = 10**9
        with pytest.raises(DeviceError, match="the checksum of 128 bytes did not end"):
            driver_of(device).checksum(0, 128)
        with pytest.raises(DeviceError, match="an earlier checksum did not end within 0.3"):
            driver_of(device).checksum(128, 128)
        assert commands() == 1
        busy[0] = 3
        assert driver_of(device).checksum(128, 128) == zlib.crc32(data[128:])
        assert busy[0] == 0 and commands() == 2
    busy[0] = 10**9
    with pytest.raises(DeviceError, match="a checksum that another program started did not end within 0.3"):
        mixpe.open(far.url + "?timeout_s=0.3", floor_s=0.3)


def test_a_silent_host_is_a_timeout(bridge):
    far = bridge(loss=1.0)
    with open_link(far.url + "?timeout_s=0.5") as link:
        for use in (lambda: link.read_word(MEM_BASE), lambda: link.read_words(MEM_BASE, 1, retry=False),
                    lambda: link.write_word(MEM_BASE, 1)):
            with pytest.raises(LinkTimeout, match="no answer to a probe within 0.5 s, tried 5 times"):
                use()
    with pytest.raises(NotMixpeError, match="nothing that speaks Etherbone answers"):
        mixpe.open(far.url + "?timeout_s=0.3")


# Errors: what did not arrive is said, and does not arrive later.

def test_a_write_that_does_not_arrive_is_said_by_what_comes_next(bridge):
    far = bridge()
    for use in (lambda link: link.read_word(MEM_BASE), lambda link: link.flush(), lambda link: link.close(),
                lambda link: link.write_bytes(MEM_BASE, bytes(4000))):
        link = open_link(far.url + "?timeout_s=0.3")
        link.read_word(MEM_BASE)
        far.muted = True
        link.write_word(MEM_BASE + 4, 5)
        Watch(far, lambda packet: True)
        with pytest.raises(LinkTimeout, match="1 words written at 0x40000004 did not arrive within 0.3 s, tried 5 "):
            use(link)
        del far.act
        far.muted = False
        if link.is_open:
            assert link.read_word(MEM_BASE) == 0  # usable afterwards
        link.close()
        assert not link.is_open


def test_what_is_given_up_is_not_carried_out_later(bridge):
    """The network lets it out long after."""
    far = bridge()
    with open_link(far.url + "?timeout_s=0.3") as link:
        link.write_word(MEM_BASE, 1)
        link.flush()
        watch = Watch(far, lambda packet: True)
        link.write_word(MEM_BASE, 2)
        with pytest.raises(LinkTimeout):
            link.flush()
        del far.act
        link.write_word(MEM_BASE, 3)
        assert link.read_word(MEM_BASE) == 3
        for packet in watch.packets:
            far.act(packet)
        assert link.read_word(MEM_BASE) == 3
    assert [words for _, words in far.writes] == [[1], [3]]


def test_reads_with_an_effect_happen_once(bridge):
    """A request that gets lost is sent again; one whose answer is lost is not."""
    far, reads = bridge(), []
    with open_link(far.url + "?timeout_s=0.5") as link:
        link.read_word(MEM_BASE)
        read = far.device.read_words
        far.device.read_words = lambda addr, n: (reads.append(addr), read(addr, n))[1]
        watch = Watch(far, first_times(2, lambda packet: packet[11]))
        assert link.read_words(MEM_BASE + 8, 1, retry=False).tolist() == [0]
        assert reads == [MEM_BASE + 8]
        del far.act
        reads.clear()
        watch = Watch(far, mute=lambda packet: not packet[2] & 1)
        with pytest.raises(LinkTimeout, match="no answer to a read of 1 words at 0x40000008 within 0.5 s"):
            link.read_words(MEM_BASE + 8, 1, retry=False)
        assert reads == [MEM_BASE + 8] and len(watch.answers) >= RETRIES
        del far.act
        assert link.read_word(MEM_BASE) == 0  # usable afterwards


def test_an_interrupted_read_leaves_nothing_behind(bridge):
    far = bridge()
    with open_link(far.url) as link:
        words = np.arange(2000, dtype=np.uint32)
        link.write_words(MEM_BASE, words)

        def interrupt(_done):
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            link.read_bytes(MEM_BASE, 8000, progress=interrupt)
        np.testing.assert_array_equal(link.read_words(MEM_BASE, 2000), words)


# Sessions.

def test_packets_are_numbered_one_after_the_other(bridge):
    far   = bridge()
    watch = Watch(far)
    with open_link(far.url) as link:
        for _ in range(5):
            link.write_word(MEM_BASE, 1)
            link.read_word(MEM_BASE)
    numbers = watch.numbers()
    assert len(numbers) == 10 and all((numbers[0] + index) & NUMBER_MASK == each for index, each in enumerate(numbers))


def test_a_host_that_begins_anew_is_heard(bridge):
    """Though packets of both get lost, and it counts from another number on."""
    firsts = []
    for lost in range(4):
        far   = bridge()
        watch = Watch(far, first_times(lost, lambda packet: True))
        for value in range(3):
            with open_link(far.url) as link:
                link.write_word(MEM_BASE, value)
                assert link.read_word(MEM_BASE) == value
                firsts.append(watch.numbers()[-2])
            watch.lose = first_times(lost, lambda packet: True)
        assert [words for _, words in far.writes] == [[0], [1], [2]]
    assert len(set(firsts)) == len(firsts)


def test_late_packets_of_an_earlier_session_are_dropped(bridge):
    far   = bridge()
    watch = Watch(far)
    with open_link(far.url) as link:
        for value in range(4):
            link.write_word(MEM_BASE, value)
    with open_link(far.url) as link:
        link.write_word(MEM_BASE, 77)
        for late in list(watch.packets):
            watch.act(late)
            assert link.read_word(MEM_BASE) == 77
        assert link.counters.retries == 0


def test_numbers_go_round(bridge, monkeypatch):
    monkeypatch.setattr("mixpe.link.session.secrets.randbits", lambda bits: (1 << bits) - 3)
    far   = bridge(1, loss=0.1)
    watch = Watch(far)
    with open_link(far.url) as link:
        for value in range(8):
            link.write_word(MEM_BASE, value)
            assert link.read_word(MEM_BASE) == value
    assert [words for _, words in far.writes] == [[value] for value in range(8)]
    assert {NUMBER_MASK - 1, NUMBER_MASK, 0, 1, 12} <= set(watch.numbers())


@pytest.mark.parametrize("due", [0, 5, 1 << 30])
def test_a_device_that_was_reset_or_taken_over_is_an_error_and_then_works(bridge, due):
    far = bridge()
    with open_link(far.url + "?timeout_s=1") as link:
        link.read_word(MEM_BASE)
        for use in (lambda: link.read_word(MEM_BASE), lambda: link.write_bytes(MEM_BASE, bytes(3000))):
            far.far.due = due
            with pytest.raises(LinkError, match="counts other packets than those that were sent: it was reset, or"):
                use()
                link.flush()
            link.write_word(MEM_BASE, 5)
            assert link.read_word(MEM_BASE) == 5


def test_a_bridge_that_does_not_count_is_named(bridge):
    """LiteEth's alone, or an older build."""
    far = bridge()
    act = far.act
    far.act = lambda packet: (answer := act(packet)) and answer[:4] + bytes(4) + answer[8:]
    with open_link(far.url) as link, pytest.raises(LinkError, match="does not count packets: build its bitstream"):
        link.read_word(MEM_BASE)


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
    ("window=0", "window must be"), ("window=65", "window must be 1"), ("timeout_s=0", "timeout_s must be"),
])
def test_bad_options_are_named(bridge, options, message):
    """And the port is free again."""
    far = bridge()
    with pytest.raises(MixpeError, match=message):
        open_link(f"{far.url}?{options}")
    open_link(far.url).close()


def test_a_packet_that_the_system_does_not_take_is_lost(bridge, monkeypatch):
    """As one on the network."""
    far = bridge()
    with open_link(far.url) as link:
        link.read_word(MEM_BASE)
        sent, carrier = [], link.carrier

        class Full:
            def send(self, packet):
                sent.append(packet)
                raise BlockingIOError

        monkeypatch.setattr("mixpe.link.udp.select", SimpleNamespace(select=lambda *lists: lists))
        made, carrier.socket = carrier.socket, Full()
        carrier.send(b"abc", 1)
        carrier.socket = made
        assert sent == [b"abc"]


@pytest.mark.parametrize("timeout_s", [0.01, 2.0, 20.0, 1000.0])
def test_waits_grow_and_add_up_to_the_limit(bridge, timeout_s):
    with open_link(f"{bridge().url}?timeout_s={timeout_s}") as link:
        waits = [link.channel.wait_s(attempt) for attempt in range(RETRIES + 1)]
        assert sum(waits) == pytest.approx(timeout_s) and waits == sorted(waits) and 0 < waits[0] <= 0.1


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
        before = link.counters.timeouts
        for _ in range(6):
            link.read_word(MEM_BASE)
        assert link.counters.timeouts - before <= 1 and before <= 4  # each would be asked twice
        delay[0] = 0
        reads = 0
        while link.channel.wait_s(0) > 0.03 and reads < 500:  # this process may be held up now and then
            link.read_word(MEM_BASE)
            reads += 1
        assert reads < 500
