# SPDX-License-Identifier: BSD-2-Clause
"""A board's UART bridge at its pins: the host's own frames as bits, at the clocks and rates of boards.

    host's frames ─► bits ─► rx │UARTPHY│─►│BufferedPHY│─►│LinkBridge│─►│RegisteredBus│─► SRAM
    host's words  ◄─ bits ◄─ tx │       │◄─│           │◄─│          │

A test passes when the words that come back are those that were written, with the host's clock off by 2 %. Boards with
more than 30 cycles a bit have more room and are left out.
"""

import random

import numpy as np
import pytest
from litex.gen import LiteXModule
from litex.soc.cores.uart import UARTPHY
from litex.soc.interconnect import wishbone
from migen import Record, run_simulation

from mixpe.link.uartbone import read_requests, write_frames
from mixpe_boards.registry import BOARDS
from mixpe_gateware.link import LinkBridge
from mixpe_gateware.link.buffered_phy import BufferedPHY
from mixpe_gateware.link.registered_bus import RegisteredBus

BITS_A_BYTE = 10
RATES = {(board.clock_hz, board.baudrate, board.config.is_shallow) for board in BOARDS.values()}


class Bridge(LiteXModule):
    """What `BoardSoC` puts between the pins and its bus, and a memory behind it."""

    def __init__(self, clock_hz, baudrate, shallow):
        self.pads = Record([("rx", 1), ("tx", 1)])
        self.pads.rx.reset = 1
        self.phy    = UARTPHY(self.pads, clock_hz, baudrate)
        near        = self.phy if shallow else BufferedPHY(self.phy)
        self.bridge = LinkBridge(timeout_cycles=clock_hz//10)
        bus = self.bridge.wishbone
        if not shallow:
            self.streams   = near
            self.registers = RegisteredBus(bus)
            bus = self.registers.bus
        self.comb += [near.source.connect(self.bridge.sink), self.bridge.source.connect(near.sink)]
        self.memory = wishbone.SRAM(256, bus=wishbone.Interface(data_width=32, address_width=32, addressing="word"))
        self.comb += bus.connect(self.memory.bus)


def wire(cycles, bit_cycles):
    """Whole cycles up to the end of each bit, for a bit time that is none: the error does not add up."""
    return round((cycles + 1)*bit_cycles) - round(cycles*bit_cycles)


def send(dut, data, bit_cycles):
    for byte in data:
        for place, bit in enumerate((0, *(byte >> bit & 1 for bit in range(8)), 1)):
            yield dut.pads.rx.eq(bit)
            for _ in range(wire(place, bit_cycles)):
                yield


def receive(dut, count, bit_cycles, got):
    """Bytes from the tx pin, each sampled in the middle of its bits from its start bit on."""
    limit = int(20*BITS_A_BYTE*bit_cycles)
    for _ in range(count):
        for _ in range(limit):
            yield
            if not (yield dut.pads.tx):
                break
        else:
            raise AssertionError(f"{len(got)} of {count} bytes came, then nothing for {limit} cycles")
        for _ in range(int(bit_cycles/2)):
            yield
        assert not (yield dut.pads.tx), "a start bit that ends early"
        byte = 0
        for bit in range(9):
            for _ in range(wire(bit, bit_cycles)):
                yield
            byte |= (yield dut.pads.tx) << bit
        assert byte >> 8, "no stop bit"
        got.append(byte & 0xff)


@pytest.mark.parametrize("off", [-0.02, 0.02])
@pytest.mark.parametrize("clock_hz, baudrate, shallow", sorted(rate for rate in RATES if rate[0]/rate[1] < 30))
def test_words_there_and_back(clock_hz, baudrate, shallow, off):
    """Writes back to back, then reads, and a frame of an unknown command between them, which costs nothing else."""
    rng   = random.Random(clock_hz)
    dut   = Bridge(clock_hz, baudrate, shallow)
    words = np.array([0, 0xffffff00, rng.getrandbits(32)], np.uint32)
    bit   = clock_hz/(baudrate*(1 + off))
    got   = []

    def host():
        yield from send(dut, write_frames(0x10, words).tobytes(), bit)
        yield from send(dut, write_frames(0x40, words[:1]).tobytes(), bit)
        yield from send(dut, bytes((9, 1, 0, 0, 0, 0)), bit)
        yield from send(dut, read_requests(0x10, len(words)).tobytes()[:6], bit)

    run_simulation(dut, [host(), receive_after(dut, 4*len(words), clock_hz/baudrate, got)])
    assert np.array_equal(np.frombuffer(bytes(got), ">u4"), words)


def receive_after(dut, count, bit_cycles, got):
    """As `receive`, which waits from the request on only: nothing may come before it."""
    for _ in range(int(2*BITS_A_BYTE*bit_cycles)):
        yield
    frames_bytes = 6 + count + 10 + 6 + 6
    for _ in range(int(frames_bytes*BITS_A_BYTE*bit_cycles*0.9)):
        assert (yield dut.pads.tx), "an answer without a request"
        yield
    yield from receive(dut, count, bit_cycles, got)
