# SPDX-License-Identifier: BSD-2-Clause
"""A bridge between bytes, memory and bus in Migen's simulator, with random stalls on all of them.

      frames ──► sink ┌──────────┐ write, read ports ──► LiteDRAM port model with random stalls
      answers ◄─source│LinkBridge│
                      └──────────┘ wishbone ──► dictionary with random wait states
"""

import random

import numpy as np
from litedram.common import LiteDRAMNativePort
from migen import passive, run_simulation

from mixpe_gateware.link import LinkBridge, MemoryPath

MEM_BASE, MEM_BYTES = 0x4000_0000, 1 << 16
TIMEOUT_CYCLES = 300
LIMIT_CYCLES   = 3000  # of a wait: a byte-wide bridge takes nothing while it answers


def unwritten(address):
    """What the bus holds at a word address before it is written."""
    return 0xdead_0000 + (address & 0xffff)


def fast(sink, data):
    """Four bytes in every cycle in which they are taken."""
    at = 0
    while at < len(data):
        yield sink.valid.eq(1)
        yield sink.count.eq(min(4, len(data) - at))
        yield sink.data.eq(int.from_bytes(data[at:at + 4], "little"))
        yield
        if (yield sink.ready):
            at += 4
    yield sink.valid.eq(0)


class Bench:
    """Bridge, memory and bus; `play` sends bytes and returns the answers as words."""

    def __init__(self, port_bits, wide, seed, framed=False):
        self.rng = random.Random(seed)
        self.wide = wide
        self.port_bits = port_bits
        path = None
        if port_bits:
            shift = (port_bits//8).bit_length() - 1
            self.write_port = LiteDRAMNativePort("write", 16 - shift, port_bits)
            self.read_port = LiteDRAMNativePort("read", 16 - shift, port_bits)
            path = MemoryPath(self.write_port, self.read_port, mem_base=MEM_BASE, mem_bytes=MEM_BYTES)
        self.dut = LinkBridge(timeout_cycles=TIMEOUT_CYCLES, memory=path, wide=wide, framed=framed)
        if port_bits:
            self.dut.submodules += path
            self.beat_bytes = port_bits//8
        self.memory = bytearray(MEM_BYTES)
        self.bus = {}
        self.writes, self.reads = [], 0  # on the bus
        self.answers = bytearray()

    @passive
    def write_side(self):
        port = self.write_port
        waiting = []
        while True:
            yield port.cmd.ready.eq(self.rng.random() < 0.7)
            yield port.wdata.ready.eq(bool(waiting) and self.rng.random() < 0.7)
            yield
            if (yield port.wdata.ready) and waiting:
                assert (yield port.wdata.valid), "the controller asked for data that is not there"
                at = waiting.pop(0)*self.beat_bytes
                data, mask = (yield port.wdata.data), (yield port.wdata.we)
                for i in range(self.beat_bytes):
                    if mask >> i & 1:
                        self.memory[at + i] = data >> 8*i & 0xff
            if (yield port.cmd.valid) and (yield port.cmd.ready):
                assert (yield port.cmd.we)
                waiting.append((yield port.cmd.addr))
            self.writes_waiting = len(waiting)

    @passive
    def read_side(self):
        port = self.read_port
        waiting = []
        while True:
            yield port.cmd.ready.eq(self.rng.random() < 0.7)
            # A read waits for the writes whose commands came first.
            answer = bool(waiting) and not self.writes_waiting and self.rng.random() < 0.7
            yield port.rdata.valid.eq(answer)
            if answer:
                at = waiting.pop(0)*self.beat_bytes
                yield port.rdata.data.eq(int.from_bytes(self.memory[at:at + self.beat_bytes], "little"))
            yield
            if answer:
                assert (yield port.rdata.ready), "no room for data that was asked for"
            if (yield port.cmd.valid) and (yield port.cmd.ready):
                waiting.append((yield port.cmd.addr))

    @passive
    def bus_side(self):
        bus = self.dut.wishbone
        while True:
            yield bus.ack.eq(0)
            yield
            if (yield bus.cyc) and (yield bus.stb) and self.rng.random() < 0.5:
                address = yield bus.adr
                if (yield bus.we):
                    self.bus[address] = yield bus.dat_w
                    self.writes.append((address, self.bus[address]))
                else:
                    self.reads += 1
                yield bus.dat_r.eq(self.bus.get(address, unwritten(address)))
                yield bus.ack.eq(1)
                yield

    @passive
    def take_answers(self):
        source = self.dut.source
        width = 4 if self.wide else 1
        while True:
            yield source.ready.eq(self.rng.random() < 0.8)
            yield
            if (yield source.valid) and (yield source.ready):
                self.answers += (yield source.data).to_bytes(width, "little")

    def send(self, data):
        sink = self.dut.sink
        at = 0
        while at < len(data):
            count = min(self.rng.randint(1, 4) if self.wide else 1, len(data) - at)
            yield sink.valid.eq(1)
            yield sink.data.eq(int.from_bytes(data[at:at + count], "little"))
            if self.wide:
                yield sink.count.eq(count)
            yield
            for _ in range(LIMIT_CYCLES):
                if (yield sink.ready):
                    break
                yield
            else:
                raise AssertionError(f"the bridge takes no byte after {at} of {len(data)}")
            at += count
            if self.rng.random() < 0.3:
                yield sink.valid.eq(0)
                yield
        yield sink.valid.eq(0)

    def until_done(self, answer_bytes, limit_cycles):
        for _ in range(limit_cycles):
            if not (yield self.dut.framing) and len(self.answers) >= answer_bytes and not self.writes_waiting:
                break
            yield
        else:
            raise AssertionError(f"{len(self.answers)} of {answer_bytes} bytes of answers after {limit_cycles} cycles")
        for _ in range(20):
            yield

    def play(self, data, answer_bytes, limit_cycles=LIMIT_CYCLES, before=None):
        self.writes_waiting = 0

        def main():
            if before is not None:
                yield from before()
            yield from self.send(data)
            yield from self.until_done(answer_bytes, limit_cycles)

        self.simulate(main())
        assert len(self.answers) == answer_bytes
        return np.frombuffer(bytes(self.answers), ">u4")

    def simulate(self, main):
        """Run until a generator ends."""
        ports = [self.write_side(), self.read_side()] if self.port_bits else []
        run_simulation(self.dut, [main, *ports, self.bus_side(), self.take_answers()])
