# SPDX-License-Identifier: BSD-2-Clause
"""The packets of the Etherbone link through LiteEth's own bridge, in the Migen simulator, over a memory."""

import numpy as np
import pytest

pytest.importorskip("liteeth", reason="the gateware extra is not installed")

from liteeth.common import eth_udp_user_description
from liteeth.frontend.etherbone import LiteEthEtherbone
from litex.gen import LiteXModule
from litex.soc.interconnect import stream, wishbone
from migen import passive, run_simulation

from mixpe.link.etherbone import WORDS_MAX, parse_answer, read_packet, write_packet
from mixpe_gateware.contract.errors import ConfigError
from mixpe_gateware.link.etherbone import RECORD_WORDS, add_etherbone

LIMIT_CYCLES = 20_000


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
    """The bridge over a memory of 1 280 bytes."""

    def __init__(self, depth):
        udp = Udp()
        self.port   = udp.port
        self.bridge = LiteEthEtherbone(udp, 1234, buffer_depth=depth)
        self.sram   = wishbone.SRAM(1280, bus=self.bridge.wishbone.bus)


def exchange(packets, answers, depth=16):
    """Send packets one after the other; returns the answers, so many."""
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
                while not (yield port.ready):
                    yield
            yield port.valid.eq(0)
            yield port.last.eq(0)
        cycles = 0
        while len(found) < answers:
            yield
            cycles += 1
            assert cycles < LIMIT_CYCLES, f"{len(found)} of {answers} answers came"

    @passive
    def receive():
        port, words = bench.port.sink, []
        yield port.ready.eq(1)
        while True:
            yield
            if (yield port.valid):
                words.append((yield port.data))
                if (yield port.last):
                    assert (yield port.length) == 4*len(words)
                    found.append(np.array(words, "<u4").tobytes())
                    words = []

    run_simulation(bench, [send(), receive()])
    return [parse_answer(packet) for packet in found]


@pytest.mark.parametrize("count, depth", [(1, 16), (15, 16),
    pytest.param(WORDS_MAX, RECORD_WORDS, marks=pytest.mark.slow)])
def test_what_is_written_is_read(count, depth):
    words = np.random.default_rng(count).integers(0, 1 << 32, count).astype(np.uint32)
    addrs = 64 + 4*np.arange(count, dtype=np.uint32)
    answers = exchange([write_packet(64, words), read_packet(0xDEADBEEF, addrs)], 1, depth)
    assert answers[0][0] == 0xDEADBEEF
    np.testing.assert_array_equal(answers[0][1], words)


def test_requests_are_answered_in_order_with_their_numbers():
    packets = [write_packet(0, np.arange(8, dtype=np.uint32))]
    packets += [read_packet(100 + index, np.array([4*index, 4*(7 - index)], np.uint32)) for index in range(4)]
    answers = exchange(packets, 4)
    assert [number for number, _ in answers] == [100, 101, 102, 103]
    assert [words.tolist() for _, words in answers] == [[0, 7], [1, 6], [2, 5], [3, 4]]


def test_the_same_address_is_read_as_often_as_asked():
    answers = exchange([write_packet(8, np.array([42], np.uint32)), read_packet(1, np.full(5, 8, np.uint32))], 1)
    assert answers[0][1].tolist() == [42]*5


def test_a_wire_faster_than_the_system_clock_is_refused():
    """Nothing on Ethernet waits: gigabit brings a word every four of its cycles."""
    class Phy:
        rx_clk_freq, dw = 125e6, 8

    class Soc:
        clk_freq = 31_250_000

    with pytest.raises(ConfigError, match="125 MB/s needs a system clock above 31.25 MHz, not 31.25"):
        add_etherbone(Soc, Phy, ip_address="192.168.1.50")
