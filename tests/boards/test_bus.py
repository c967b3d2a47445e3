# SPDX-License-Identifier: BSD-2-Clause
"""Registers between a board's bridge and its bus: each access is carried out once, with its answer."""

import numpy as np
import pytest
from litex.soc.interconnect import stream, wishbone
from migen import passive, run_simulation

from mixpe_gateware.link.buffered_phy import BufferedPHY
from mixpe_gateware.link.registered_bus import RegisteredBus

LIMIT_CYCLES = 200
WORDS = 32


class _PHY:
    """Streams of a UART's PHY."""

    def __init__(self):
        self.sink, self.source = stream.Endpoint([("data", 8)]), stream.Endpoint([("data", 8)])


@pytest.mark.parametrize("wait", [0, 1, 5])
@pytest.mark.parametrize("gap", [-1, 0, 3])  # -1: the next one follows at once
@pytest.mark.parametrize("requests", [False, True])
def test_every_access_once(wait, gap, requests):
    rng    = np.random.default_rng(wait)
    master = wishbone.Interface()
    dut    = RegisteredBus(master, requests=requests)
    memory, served, found = [0]*WORDS, [], []

    @passive
    def slave():
        """Answers after some cycles; an address behind the memory is an error."""
        while True:
            yield
            if not ((yield dut.bus.cyc) and (yield dut.bus.stb)):
                continue
            for _ in range(int(rng.integers(wait + 1))):
                yield
            adr, we = (yield dut.bus.adr), (yield dut.bus.we)
            served.append((adr, we))
            if adr >= WORDS:
                yield dut.bus.err.eq(1)
            elif we:
                memory[adr] = yield dut.bus.dat_w
                yield dut.bus.ack.eq(1)
            else:
                yield dut.bus.dat_r.eq(memory[adr])
                yield dut.bus.ack.eq(1)
            yield
            yield dut.bus.ack.eq(0)
            yield dut.bus.err.eq(0)
            yield dut.bus.dat_r.eq(0xDEAD)

    accesses = [(int(rng.integers(WORDS + 2)), bool(rng.integers(2)), int(rng.integers(1 << 32))) for _ in range(200)]

    def host():
        for adr, we, data in accesses:
            yield master.adr.eq(adr)
            yield master.we.eq(we)
            yield master.dat_w.eq(data)
            yield master.sel.eq(15)
            yield master.cyc.eq(1)
            yield master.stb.eq(1)
            for _ in range(LIMIT_CYCLES):
                yield
                if (yield master.ack) or (yield master.err):
                    break
            else:
                raise AssertionError(f"no answer at {adr}")
            found.append(((yield master.dat_r), (yield master.err)))
            yield master.cyc.eq(0)
            yield master.stb.eq(0)
            for _ in range(1 + gap):
                yield
        for _ in range(10):
            yield

    run_simulation(dut, [host(), slave()])
    expected, image = [], [0]*WORDS
    for adr, we, data in accesses:
        expected.append((0 if we or adr >= WORDS else image[adr], int(adr >= WORDS)))
        if we and adr < WORDS:
            image[adr] = data
    assert served == [(adr, int(we)) for adr, we, _ in accesses]
    assert [(0 if we or adr >= WORDS else data, err)
            for (data, err), (adr, we, _) in zip(found, accesses, strict=True)] == expected
    assert memory == image


def test_bytes_through_the_buffered_phy():
    """Both directions keep every byte in order under stalls at both ends."""
    phy  = _PHY()
    dut  = BufferedPHY(phy)
    rng  = np.random.default_rng(0)
    data = rng.integers(0, 256, 200).tolist()
    got  = {"up": [], "down": []}

    def send(endpoint):
        for byte in data:
            while rng.random() < 0.3:
                yield
            yield endpoint.data.eq(byte)
            yield endpoint.valid.eq(1)
            yield
            while not (yield endpoint.ready):
                yield
            yield endpoint.valid.eq(0)

    def receive(endpoint, name):
        for _ in range(20*len(data)):
            yield endpoint.ready.eq(int(rng.random() < 0.5))
            yield
            if (yield endpoint.valid) and (yield endpoint.ready):
                got[name].append((yield endpoint.data))
            if len(got[name]) == len(data):
                return

    run_simulation(dut, [send(phy.source), receive(dut.source, "up"), send(dut.sink), receive(phy.sink, "down")])
    assert got == {"up": data, "down": data}
