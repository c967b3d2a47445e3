# SPDX-License-Identifier: BSD-2-Clause
"""The packets of the Etherbone link through our gate and LiteEth's bridge, in the Migen simulator, over a memory."""

import numpy as np
import pytest

pytest.importorskip("liteeth", reason="the gateware extra is not installed")

from liteeth.common import eth_udp_user_description
from liteeth.frontend.etherbone import LiteEthEtherbone
from litex.gen import LiteXModule
from litex.soc.interconnect import stream, wishbone
from migen import passive, run_simulation

from mixpe.link.packets import WORDS_MAX, numbered, parse_answer, probe_packet, read_packet, start_packet, write_packet
from mixpe_gateware.contract.errors import ConfigError
from mixpe_gateware.link.etherbone import RECORD_WORDS, add_etherbone
from mixpe_gateware.link.udp_gate import GatedUdp, is_at_work

LIMIT_CYCLES = 1_500  # for each 16 words that the bridge keeps
QUIET_CYCLES = 50


class Port:
    """What LiteEth's UDP crossbar hands out."""

    def __init__(self):
        self.sink   = stream.Endpoint(eth_udp_user_description(32))
        self.source = stream.Endpoint(eth_udp_user_description(32))


class Udp:
    """A UDP core that is only its port."""

    dw = 32

    def __init__(self):
        self.port = Port()
        self.crossbar = self

    def get_port(self, _number, dw, cd):
        assert (dw, cd) == (32, "sys")
        return self.port


class Bench(LiteXModule):
    """The bridge behind its gate, over a memory of 1 280 bytes."""

    def __init__(self, depth):
        udp = Udp()
        self.port   = udp.port
        gated       = GatedUdp(udp)
        self.bridge = LiteEthEtherbone(gated, 1234, buffer_depth=depth)
        self.gate   = gated.gates[0]
        self.sram   = wishbone.SRAM(1280, bus=self.bridge.wishbone.bus)
        self.comb  += self.gate.busy.eq(is_at_work(self.bridge))


def exchange(packets, answers, depth=16, slow=1, pause=0):
    """Send packets without waiting, as nothing on Ethernet does; returns so many answers, and then come no more.

    The network takes a word of an answer in one of `slow` cycles. `pause` : cycles from one packet to the next.
    """
    bench, found = Bench(depth), []

    def send():
        port = bench.port.source
        for packet in packets:
            words = np.frombuffer(packet, "<u4").tolist()
            for index, word in enumerate(words):
                yield port.valid.eq(1)
                yield port.data.eq(word)
                yield port.last.eq(index == len(words) - 1)
                yield port.last_be.eq(8 if index == len(words) - 1 else 0)
                yield port.length.eq(len(packet))
                yield
            for _ in range(pause):
                yield port.valid.eq(0)
                yield
        yield port.valid.eq(0)
        cycles = 0
        while len(found) < answers:
            yield
            cycles += 1
            assert cycles < LIMIT_CYCLES*depth//16, f"{len(found)} of {answers} answers came"
        for _ in range(QUIET_CYCLES):
            yield

    @passive
    def receive():
        port, words, cycle = bench.port.sink, [], 0
        while True:
            cycle += 1
            yield port.ready.eq(cycle % slow == 0)
            yield
            if (yield port.valid) and (yield port.ready):
                words.append((yield port.data))
                if (yield port.last):
                    assert (yield port.length) == 4*len(words)
                    found.append(np.array(words, "<u4").tobytes())
                    words = []

    run_simulation(bench, [send(), receive()])
    assert len(found) == answers
    return [parse_answer(packet) for packet in found]


@pytest.mark.parametrize("count, depth", [(1, 16), (15, 16),
    pytest.param(WORDS_MAX, RECORD_WORDS, marks=pytest.mark.slow)])
def test_what_is_written_is_read(count, depth):
    words = np.random.default_rng(count).integers(0, 1 << 32, count).astype(np.uint32)
    addrs = 64 + 4*np.arange(count, dtype=np.uint32)
    answers = exchange([write_packet(64, words), read_packet(0xDEADBEEF, addrs)], 1, depth)
    assert answers[0].name == 0xDEADBEEF
    np.testing.assert_array_equal(answers[0].words, words)


def test_requests_are_answered_in_order_with_their_numbers():
    packets = [write_packet(0, np.arange(8, dtype=np.uint32))]
    packets += [read_packet(100 + index, np.array([4*index, 4*(7 - index)], np.uint32)) for index in range(4)]
    answers = exchange(packets, 4)
    assert [answer.name for answer in answers] == [100, 101, 102, 103]
    assert [answer.words.tolist() for answer in answers] == [[0, 7], [1, 6], [2, 5], [3, 4]]


def test_the_same_address_is_read_as_often_as_asked():
    answers = exchange([write_packet(8, np.array([42], np.uint32)), read_packet(1, np.full(5, 8, np.uint32))], 1)
    assert answers[0].words.tolist() == [42]*5


def test_a_session():
    """A start, writes and reads in turn, doubled and overtaken, and what is due in each answer."""
    def write(number, value):
        return numbered(write_packet(16, np.array([value], np.uint32)), number)

    def read(number, name):
        return numbered(read_packet(name, np.array([16], np.uint32)), number)

    first = 0x7FFFFFFE
    asked = [probe_packet(0xABCD0123), start_packet(first, 0), write(0x7FFFFFFF, 11), write(0x7FFFFFFF, 99), read(1, 1),
        read(0, 2), start_packet(first, 0), read(0, 3)]
    found = exchange(asked, 3, slow=3)
    assert [(each.name, each.words if each.words is None else each.words.tolist()) for each in found] == [
        (0xABCD0123, None), (0x80000000, None), (2, [11])]
    dues = [each.due for each in found]  # of when the answer sets out: the packets behind have come meanwhile
    assert set(dues) <= {0, 0x7FFFFFFF, 1} and dues[-1] == 1


def test_probes_behind_a_slow_network():
    """More than LiteEth keeps: each that passed the gate is answered, once, and after what came before it."""
    asked = [probe_packet(index) for index in range(4)] + [read_packet(4, np.array([0], np.uint32)), probe_packet(5)]
    assert [each.name for each in exchange(asked, 6, slow=6)] == list(range(6))


BAD = {
    "a start's header":  start_packet(5, 0)[:8],
    "a probe's header":  probe_packet(1)[:8],
    "a record's header": read_packet(1, np.array([4], np.uint32))[:8],
    "a long probe":      probe_packet(1) + bytes(4),
    "a short read":      read_packet(1, np.arange(0, 12, 4, dtype=np.uint32))[:-4],
    "a long read":       read_packet(1, np.array([4], np.uint32)) + bytes(4),
    "a short write":     write_packet(64, np.array([1, 2], np.uint32))[:-4],
    "a write of none":   write_packet(64, np.array([1], np.uint32))[:-4],
    "no address":        write_packet(64, np.array([1], np.uint32))[:-8],
}


def test_what_is_not_whole_changes_nothing_of_what_follows():
    """LiteEth would take words of the next packet for it, or never answer again."""
    packets = [write_packet(64, np.array([77], np.uint32))]
    for index, bad in enumerate(BAD.values()):
        packets += [bad, read_packet(index, np.array([64], np.uint32))]
    found = exchange(packets, len(BAD), pause=12)
    assert [each.name for each in found] == list(range(len(BAD)))
    assert all(each.words.tolist() == [77] for each in found)


def test_a_wire_faster_than_the_system_clock_is_refused():
    """Nothing on Ethernet waits: gigabit brings a word every four of its cycles."""
    class Phy:
        rx_clk_freq, dw = 125e6, 8

    class Soc:
        clk_freq = 31_250_000

    with pytest.raises(ConfigError, match="125 MB/s needs a system clock above 31.25 MHz, not 31.25"):
        add_etherbone(Soc, Phy, ip_address="192.168.1.50")
