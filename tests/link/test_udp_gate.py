# SPDX-License-Identifier: BSD-2-Clause
"""The gate in front of the Etherbone bridge: packets come out whole, once, in order and unchanged, or not at all."""

import random

import pytest

pytest.importorskip("liteeth", reason="the gateware extra is not installed")

from migen import passive, run_simulation

from mixpe.errors import ConfigError
from mixpe_gateware.contract.packetnumbers import COUNTED, NUMBER_MASK, after
from mixpe_gateware.link.answer_stamp import AnswerStamp
from mixpe_gateware.link.packet_store import PACKETS
from mixpe_gateware.link.udp_gate import UdpGate

LIMIT_CYCLES = 20_000


def turned(value):
    """A word with its bytes the other way round."""
    return int.from_bytes(value.to_bytes(4, "big"), "little")


class Packet:
    """A record of `count` words with random content, or a probe; `error` marks the last word, as LiteEth does.

    Parameters
    ----------
    number : int or None
        None: not counted.
    probe : int or None
        The probe's payload: a start's is what it takes to be due, with `COUNTED`.
    writes, reads : int, optional
        What the record says; left out: a read of as many words as there are.
    """

    def __init__(self, count=5, *, seed=0, number=None, probe=None, writes=0, reads=None, length=None, error=0,
                 ip_address=0xC0A80164, port=1234):
        rng = random.Random(seed)
        self.words = [rng.getrandbits(32) for _ in range(count)]
        self.number, self.probe, self.error, self.ip_address, self.port = number, probe, error, ip_address, port
        self.length = 4*count if length is None else length
        self.words[0] = 0x44106F4E | (probe is not None) << 16
        if count > 1:
            self.words[1] = 0 if number is None else turned(COUNTED | number)
        if count > 2:
            reads = self.length//4 - 4 - writes if reads is None else reads
            self.words[2] = 0x0F00 | writes << 16 | (reads & 0xFF) << 24 if probe is None else turned(probe)
        named = writes or reads
        self.is_whole = not (error or self.length % 4 or self.length > 4*count) and (
            self.length == 12 if probe is not None else bool(writes) != bool(reads) and named == self.length//4 - 4)

    def seen(self):
        return self.words[:self.length//4], self.length, self.ip_address, self.port


def start(number, due):
    return Packet(3, number=number, probe=COUNTED | due)


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


@pytest.mark.parametrize("count", [5, 6, 63, 64])
def test_a_packet_comes_out_as_it_was(count):
    packet = Packet(count, seed=count, ip_address=0x0A000007, port=999)
    assert packet.is_whole and play([packet]) == ([packet.seen()], 0)


@pytest.mark.parametrize("packet", [Packet(64, writes=60), Packet(3, probe=0x01020304)], ids=["write", "probe"])
def test_writes_and_probes_pass_too(packet):
    assert packet.is_whole and play([packet, packet], depth=128) == ([packet.seen()]*2, 0)


BAD = {
    "checksum": Packet(5, error=8), "checksum in the first byte": Packet(5, error=1), "one word": Packet(1),
    "cut": Packet(5, length=24), "no whole words": Packet(5, length=18, reads=1), "empty": Packet(5, length=0, reads=1),
    "too long": Packet(65), "a header alone": Packet(2), "a padded header alone": Packet(12, length=8, reads=1),
    "a record's header alone": Packet(3, reads=1), "nothing to do": Packet(5, reads=0),
    "no address": Packet(4, reads=0),
    "fewer words than named": Packet(5, reads=2), "more words than named": Packet(7, reads=2),
    "a padded record that is too short": Packet(12, length=20, reads=2),
    "reads and writes": Packet(8, writes=2, reads=2),
    "fewer words written than named": Packet(6, writes=3, reads=0), "255 words named": Packet(5, reads=255),
    "a probe of four words": Packet(4, probe=1), "a probe of two words": Packet(2, probe=1),
    "a probe that is cut": Packet(2, probe=1, length=12),
}


@pytest.mark.parametrize("packet", BAD.values(), ids=BAD)
def test_a_bad_packet_leaves_no_trace(packet):
    first, last = Packet(6, seed=8), Packet(3, probe=9)
    assert not packet.is_whole or packet.length > 256
    assert play([first, packet, last, packet, first]) == ([first.seen(), last.seen(), first.seen()], 2)


@pytest.mark.parametrize("packet", [Packet(9, length=20), Packet(12, length=12, probe=7)], ids=["record", "probe"])
def test_padding_is_cut_off(packet):
    assert play([packet, packet]) == ([packet.seen()]*2, 0)


def test_what_does_not_fit_is_dropped_whole():
    """A reader that hardly reads: four packets of 16 words fill 64, the others are dropped."""
    packets = [Packet(16, seed=seed) for seed in range(7)]
    found, dropped = play(packets, stall=0.95, seed=5)
    assert dropped == len(packets) - len(found) >= 1
    kept = [packet.seen() for packet in packets]
    assert found[:4] == kept[:4] and all(each in kept for each in found)


def test_many_small_packets():
    packets = [Packet(3, probe=index) for index in range(4*PACKETS)]
    found, dropped = play(packets, stall=0.9, seed=1, depth=1024)
    assert dropped == len(packets) - len(found) > 0
    payloads = [turned(packet[0][2]) for packet in found]
    assert payloads == sorted(payloads)


def starts(numbers, due=0):
    """A session that begins at the first of the numbers."""
    return [start(numbers[0] - 1 & NUMBER_MASK, due), *(Packet(number=number) for number in numbers)]


SEQUENCES = {
    "in order":           (starts([5, 6, 7]), [0, 1, 2, 3]),
    "doubled":            (starts([5, 5, 6, 6, 5]), [0, 1, 3]),
    "overtaken":          (starts([5, 7, 6, 8, 7, 8]), [0, 1, 3, 5, 6]),  # what was dropped comes again
    "round the end":      (starts([NUMBER_MASK - 1, NUMBER_MASK, 0, 1, 0, 2]), [0, 1, 2, 3, 4, 6]),
    "not counted":        ([Packet(), *starts([7]), Packet(), Packet(3, probe=1), Packet(number=8)],
                           [0, 1, 2, 3, 4, 5]),
    "before any start":   ([Packet(number=5), Packet(number=0), Packet(number=1)], [1, 2]),
    "a start that is late":  ([*starts([5, 6]), start(4, 0), Packet(number=7)], [0, 1, 2, 4]),
    "a start twice":      ([start(4, 0), start(4, 0), Packet(number=5)], [0, 2]),
    "another session":    ([*starts([5, 6]), *starts([100, 101], 7), Packet(number=7), Packet(number=102)],
                           [0, 1, 2, 3, 4, 5, 7]),
    "one number off":     ([*starts([5]), start(50, 5), start(50, 7), Packet(number=6)], [0, 1, 4]),
    "far away":           ([*starts([5]), Packet(number=6 ^ 1 << 30), Packet(number=6)], [0, 1, 3]),
    "a bad one":          ([*starts([5]), Packet(number=6, error=8), Packet(3, number=9, probe=COUNTED | 6, error=8),
                            Packet(7, number=6, reads=2), Packet(number=6)], [0, 1, 5]),
}


@pytest.mark.parametrize("packets, passing", SEQUENCES.values(), ids=SEQUENCES)
def test_the_number_that_is_due_passes_and_no_other(packets, passing):
    """Every other one with padding behind it."""
    packets = [each if index % 2 else
               Packet(12, seed=index, number=each.number, probe=each.probe, length=each.length, error=each.error,
                      reads=each.words[2] >> 24) for index, each in enumerate(packets)]
    found, dropped = play(packets, depth=256)
    assert found == [packets[index].seen() for index in passing]
    assert dropped == len(packets) - len(passing)


@pytest.mark.parametrize("seed", range(8))
def test_random_traffic(seed):
    """Good and bad packets of all lengths, at all rates: those that are due, unless a full memory was in their way."""
    rng = random.Random(seed)
    packets, due = [], 0
    for index in range(60):
        count   = rng.choice([3, 4, 5, 5, 6, 8, 15, 31, 70])
        options = {"seed": 1000*seed + index, "ip_address": index, "error": rng.choice([0]*7 + [8]),
            "length": rng.choice([None]*6 + [4*count + 4, 4*count - 2, 20])}
        if count == 3:
            options["probe"] = rng.choice([rng.getrandbits(32), COUNTED | due, COUNTED | due])
        options["number"] = rng.choice([None, due, due, due, due - 1 & NUMBER_MASK, after(due)])
        packets.append(Packet(count, **options))
        if options["number"] is not None and packets[-1].is_whole and (
                options["probe"] == COUNTED | due if count == 3 else options["number"] == due):
            due = after(options["number"])
    found, dropped = play(packets, gap=rng.choice([0.0, 0.5, 0.9]), stall=rng.choice([0.0, 0.5, 0.9]),
                          work=rng.choice([0, 10, 300]), seed=seed)
    order = [packet[2] for packet in found]
    assert order == sorted(order) and len(set(order)) == len(order), seed
    assert len(found) + dropped == len(packets) and len(found) >= 4, seed
    # What passed, with the rule by hand: whole, and its number due after what passed before it.
    due = 0
    for words, _, index, _ in found:
        packet = packets[index]
        assert packet.is_whole and words == packet.seen()[0], seed
        if packet.number is not None:
            assert packet.number == due if packet.probe is None else packet.probe == COUNTED | due, seed
            due = after(packet.number)


def test_nothing_is_dropped_without_a_reason():
    """A reader that is always fast enough: exactly those that the rule lets pass."""
    rng = random.Random(5)
    packets, passing, due = [], [], 0
    for index in range(200):
        number = rng.choice([None, due, due, after(due), due - 1 & NUMBER_MASK])
        probe  = rng.choice([None, None, None, COUNTED | due, COUNTED | after(due)])
        packets.append(Packet(rng.choice([5, 9]) if probe is None else 3, seed=index, number=number, probe=probe))
        if number is None or (number == due if probe is None else probe == COUNTED | due):
            passing.append(index)
            due = due if number is None else after(number)
    found, _ = play(packets, depth=1024, gap=0.85, seed=3)
    assert found == [packets[index].seen() for index in passing]


@pytest.mark.parametrize("depth", [0, 2, 100])
def test_depth_is_checked(depth):
    with pytest.raises(ConfigError, match="power of two"):
        UdpGate(depth)


@pytest.mark.parametrize("stall, gap", [(0.0, 0.0), (0.6, 0.0), (0.0, 0.6), (0.5, 0.5)])
def test_answers_say_what_is_due(stall, gap):
    """The second word of each packet is what was due with its first, whatever happens while it waits."""
    stamp, rng = AnswerStamp(), random.Random(3)
    packets = [[rng.getrandbits(32) for _ in range(count)] for count in (3, 1, 2, 9, 2, 3, 3)]
    found, told = [], []

    def send():
        for packet in packets:
            for index, word in enumerate(packet):
                while rng.random() < gap:
                    yield stamp.sink.valid.eq(0)
                    yield
                yield stamp.sink.valid.eq(1)
                yield stamp.sink.data.eq(word)
                yield stamp.sink.last.eq(index == len(packet) - 1)
                yield stamp.sink.length.eq(4*len(packet))
                yield
                while not (yield stamp.sink.ready):
                    yield
        yield stamp.sink.valid.eq(0)
        for _ in range(LIMIT_CYCLES):
            if len(found) == len(packets):
                return
            yield
        raise AssertionError(f"{len(found)} of {len(packets)} packets came")

    @passive
    def receive():
        got, held = [], None
        while True:
            yield stamp.source.ready.eq(rng.random() >= stall)
            yield stamp.due.eq(rng.getrandbits(31))
            yield
            if not (yield stamp.source.valid):
                continue
            data = (yield stamp.source.data)
            assert held is None or data == held, "a word changed while it waited"
            held = data
            if (yield stamp.source.ready):
                held = None
                if not got:
                    told.append((yield stamp.due))
                got.append(data)
                assert (yield stamp.source.length) == 4*len(packets[len(found)])
                if (yield stamp.source.last):
                    found.append(got)
                    got = []

    run_simulation(stamp, [send(), receive()])
    assert found == [[turned(COUNTED | due) if index == 1 else word for index, word in enumerate(packet)]
                     for packet, due in zip(packets, told, strict=True)]
