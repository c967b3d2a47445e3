# SPDX-License-Identifier: BSD-2-Clause
"""The gate in front of the Etherbone bridge: packets come out whole, once, in order and unchanged, or not at all."""

import random

import pytest

pytest.importorskip("liteeth", reason="the gateware extra is not installed")

from migen import passive, run_simulation

from mixpe.errors import ConfigError
from mixpe_gateware.link.udp_gate import PACKETS, UdpGate

LIMIT_CYCLES = 20_000


class Packet:
    """Payload and what its headers say; `error` marks the last word, as LiteEth does for a wrong checksum."""

    def __init__(self, words, *, number=0, length=None, error=0, ip_address=0xC0A80164, port=1234):
        self.words, self.error, self.ip_address, self.port = list(words), error, ip_address, port
        self.number = number
        if len(words) > 1:
            self.words[1] = int.from_bytes(number.to_bytes(4, "big"), "little")
        self.length = 4*len(words) if length is None else length

    def is_whole(self):
        return not self.error and self.length >= 8 and self.length % 4 == 0 and self.length <= 4*len(self.words)

    def seen(self):
        return self.words[:self.length//4], self.length, self.ip_address, self.port


def play(packets, *, depth=64, gap=0.0, stall=0.0, work=0, seed=0, quiet_cycles=50):
    """Send packets without ever waiting; returns what came out, and how many were said to be dropped.

    The reader stalls with a probability, and is busy for `work` cycles after each packet.
    """
    gate, found, dropped = UdpGate(depth), [], [0]
    rng = random.Random(seed)
    done = []

    def send():
        sink = gate.sink
        for packet in packets:
            for index, word in enumerate(packet.words):
                while rng.random() < gap:
                    yield sink.valid.eq(0)
                    yield
                last = index == len(packet.words) - 1
                yield sink.valid.eq(1)
                yield sink.data.eq(word)
                yield sink.last.eq(last)
                yield sink.error.eq(packet.error if last else 0)
                yield sink.length.eq(packet.length)
                yield sink.ip_address.eq(packet.ip_address)
                yield sink.src_port.eq(packet.port)
                yield sink.dst_port.eq(packet.port)
                yield
        yield sink.valid.eq(0)
        quiet = 0
        for _ in range(LIMIT_CYCLES):
            quiet = 0 if (yield gate.source.valid) or (yield gate.busy) else quiet + 1
            if quiet > quiet_cycles:
                break
            yield
        else:
            raise AssertionError("the gate does not come to rest")
        done.append(True)

    @passive
    def receive():
        source, words, busy = gate.source, [], 0
        while True:
            yield source.ready.eq(rng.random() >= stall)
            busy = max(0, busy - 1)
            yield gate.busy.eq(busy != 0)
            yield
            if (yield gate.dropped):
                dropped[0] += 1
            if (yield source.valid) and (yield source.ready):
                assert not busy, "a packet for a reader that is at work"
                words.append((yield source.data))
                assert (yield source.last_be) == (8 if (yield source.last) else 0)
                if (yield source.last):
                    assert (yield source.src_port) == (yield source.dst_port)
                    found.append((words, (yield source.length), (yield source.ip_address), (yield source.dst_port)))
                    words, busy = [], work

    run_simulation(gate, [send(), receive()])
    assert done
    return found, dropped[0]


def words(seed, count):
    rng = random.Random(seed)
    return [rng.getrandbits(32) for _ in range(count)]


@pytest.mark.parametrize("count", [2, 3, 5, 63, 64])
def test_a_packet_comes_out_as_it_was(count):
    packet = Packet(words(count, count), ip_address=0x0A000007, port=999)
    assert play([packet]) == ([packet.seen()], 0)


@pytest.mark.parametrize("packet", [
    Packet(words(1, 5), error=8), Packet(words(1, 5), error=1), Packet(words(1, 1)),
    Packet(words(2, 5), length=24),  # a word is missing
    Packet(words(2, 5), length=18), Packet(words(2, 5), length=0), Packet(words(3, 65)),
], ids=["checksum", "checksum in the first byte", "one word", "cut", "no whole words", "empty", "too long"])
def test_a_bad_packet_leaves_no_trace(packet):
    first, last = Packet(words(8, 3)), Packet(words(9, 4))
    assert play([first, packet, last]) == ([first.seen(), last.seen()], 1)


def test_padding_is_cut_off():
    packet = Packet(words(4, 9), length=8)
    assert play([packet, packet]) == ([packet.seen()]*2, 0)


def test_what_does_not_fit_is_dropped_whole():
    """A reader that never reads: four packets of 16 words fill 64, the others are dropped."""
    packets = [Packet(words(seed, 16)) for seed in range(7)]
    found, dropped = play(packets, stall=0.95, seed=5)
    assert dropped == len(packets) - len(found) >= 1
    kept = [packet.seen() for packet in packets]
    assert found[:4] == kept[:4] and all(each in kept for each in found)


def test_many_small_packets():
    packets = [Packet([index, 0]) for index in range(4*PACKETS)]
    found, dropped = play(packets, stall=0.9, seed=1)
    assert dropped == len(packets) - len(found) > 0
    assert [packet[0][0] for packet in found] == sorted(packet[0][0] for packet in found)


@pytest.mark.parametrize("numbers, pass_on", [
    ([5, 6, 7], [5, 6, 7]),
    ([5, 5, 6, 6, 5], [5, 6]),                                 # doubled, and doubled late
    ([5, 7, 6, 8], [5, 7, 8]),                                 # overtaken
    ([0xFFFFFFFE, 0xFFFFFFFF, 1, 0xFFFFFFFF, 2], [0xFFFFFFFE, 0xFFFFFFFF, 1, 2]),
    ([0x80000005, 5, 0x80000006], [0x80000005, 0x80000006]),   # half of all numbers is old
    ([9, 0, 0, 3, 4], [9, 0, 0, 3, 4]),                        # a host begins anew
])
def test_old_numbers_do_not_pass(numbers, pass_on):
    packets = [Packet(words(index, 4), number=number) for index, number in enumerate(numbers)]
    found, dropped = play(packets)
    assert [int.from_bytes(packet[0][1].to_bytes(4, "little"), "big") for packet in found] == pass_on
    assert dropped == len(numbers) - len(pass_on)


def test_the_number_of_a_bad_packet_does_not_count():
    packets = [Packet(words(1, 3), number=4), Packet(words(2, 3), number=9, error=8), Packet(words(3, 3), number=5)]
    assert play(packets) == ([packets[0].seen(), packets[2].seen()], 1)


def test_a_header_alone_passes():
    """LiteX's client asks so who is there."""
    packets = [Packet([0x44106F4E, 0], number=number) for number in (0, 3, 3)]
    assert play(packets) == ([packets[0].seen(), packets[1].seen()], 1)


@pytest.mark.parametrize("seed", range(8))
def test_random_traffic(seed):
    """Good and bad packets of all lengths, at all rates: a subsequence of the good ones, and each drop is counted."""
    rng = random.Random(seed)
    packets = []
    for number in range(40):
        body   = words(1000*seed + number, rng.choice([2, 2, 3, 8, 15, 31, 70]))
        length = rng.choice([None, None, None, None, 4*len(body) + 4, 4*len(body) - 2, 4])
        packets.append(Packet(body, length=length, error=rng.choice([0, 0, 0, 0, 8]), ip_address=number))
    found, dropped = play(packets, gap=rng.choice([0.0, 0.5, 0.9]), stall=rng.choice([0.0, 0.5, 0.9]),
                          work=rng.choice([0, 10, 300]), seed=seed)
    good = {packet.ip_address: packet.seen() for packet in packets if packet.is_whole()}
    order = [packet[2] for packet in found]
    assert order == sorted(order) and len(set(order)) == len(order), seed
    assert all(packet == good[packet[2]] for packet in found), seed
    assert len(found) + dropped == len(packets), seed
    assert len(found) >= len(good)//8, seed


@pytest.mark.parametrize("depth", [0, 2, 100])
def test_depth_is_checked(depth):
    with pytest.raises(ConfigError, match="power of two"):
        UdpGate(depth)
