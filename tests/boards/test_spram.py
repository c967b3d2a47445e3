# SPDX-License-Identifier: BSD-2-Clause
"""The UP5K's memory behind native ports, against a list: order, masks, no lost or doubled answer."""

import random

import pytest

pytest.importorskip("litedram", reason="the gateware extra is not installed")

from migen import Memory, run_simulation

from mixpe_boards.spram import SIZE_BYTES, SpramPool

LIMIT_CYCLES = 20_000


class SimulatedPool(SpramPool):
    """The blocks as one small Migen memory; their wiring is what the board's Verilog shows."""

    def __init__(self, data_width):
        super().__init__(data_width)
        assert data_width//8 << self.address_width == SIZE_BYTES
        self.address_width = 6

    def _add_blocks(self, address, data_in, mask, enable, data_out):
        memory = Memory(self.data_width, 1 << self.address_width)
        port   = memory.get_port(write_capable=True, we_granularity=8)
        self.specials += memory, port
        self.comb += [port.adr.eq(address), port.dat_w.eq(data_in), data_out.eq(port.dat_r)]
        self.comb += [port.we[i].eq(mask[i] & enable) for i in range(len(mask))]


def user(port, commands, answers, rng, stall):
    """Issue commands one after the other: (None, address) reads, (data, mask, address) writes."""
    cycles = 0
    for command in commands:
        while rng.random() < stall:
            yield
        writing = len(command) == 3
        yield port.cmd.valid.eq(1)
        yield port.cmd.we.eq(writing)
        yield port.cmd.addr.eq(command[-1])
        yield
        while not (yield port.cmd.ready):
            yield
            cycles += 1
            assert cycles < LIMIT_CYCLES
        yield port.cmd.valid.eq(0)
        if writing:
            while rng.random() < stall:
                yield
            yield port.wdata.valid.eq(1)
            yield port.wdata.data.eq(command[0])
            yield port.wdata.we.eq(command[1])
            yield
            while not (yield port.wdata.ready):
                yield
                cycles += 1
                assert cycles < LIMIT_CYCLES
            yield port.wdata.valid.eq(0)
        else:
            yield
            while not (yield port.rdata.valid):
                yield
                cycles += 1
                assert cycles < LIMIT_CYCLES
            answers.append((yield port.rdata.data))


@pytest.mark.parametrize("data_width", [16, 32, 64])
@pytest.mark.parametrize("stall", [0.0, 0.5])
def test_ports_read_what_they_wrote(data_width, stall):
    """Each port has addresses of its own, at both ends of the memory; masks keep the other bytes."""
    pool  = SimulatedPool(data_width)
    ports = [pool.get_port("both") for _ in range(3)]
    top   = (1 << pool.address_width) - 1
    users, checks = [], []
    for number, port in enumerate(ports):
        rng = random.Random(100*number + data_width)
        places = [number, 8 + number, top - number, top//2 - number]
        state, commands, expected, answers = {}, [], [], []
        for place in places:
            value = rng.getrandbits(data_width)
            commands.append((value, (1 << data_width//8) - 1, place))
            state[place] = value
        for _ in range(60):
            place = rng.choice(places)
            if rng.random() < 0.5:
                value, mask = rng.getrandbits(data_width), rng.getrandbits(data_width//8)
                commands.append((value, mask, place))
                for lane in range(data_width//8):
                    if mask >> lane & 1:
                        bits = 0xFF << 8*lane
                        state[place] = state[place] & ~bits | value & bits
            else:
                commands.append((None, place))
                expected.append(state[place])
        users.append(user(port, commands, answers, rng, stall))
        checks.append((expected, answers))
    run_simulation(pool, users)
    for expected, answers in checks:
        assert answers == expected


def test_one_reader_gets_a_word_a_cycle():
    pool = SimulatedPool(16)
    port = pool.get_port("read")
    pool.get_port("write")
    seen = []

    def reader():
        yield port.cmd.valid.eq(1)
        for address in range(50):
            yield port.cmd.addr.eq(address)
            yield
            seen.append((yield port.rdata.valid))
    run_simulation(pool, reader())
    assert sum(seen) >= 48
