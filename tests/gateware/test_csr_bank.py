# SPDX-License-Identifier: BSD-2-Clause
"""The accelerator's registers behind LiteX's CSR bus: each reads, writes and acts as the table says."""

import random
from types import SimpleNamespace

import pytest
from litex.gen import LiteXModule
from litex.soc.interconnect import stream
from litex.soc.interconnect.csr_bus import CSRBank, Interface
from migen import Signal, bits_for, run_simulation

from mixpe_gateware.contract.config import Config
from mixpe_gateware.contract.descriptor import POST, SLOT_WORDS
from mixpe_gateware.contract.identity import identity_values
from mixpe_gateware.contract.registers import JOB, OFFSETS, REGISTERS, RUN, STATUS, Effect, registers_of
from mixpe_gateware.control.registers import AcceleratorRegisters

CONFIG   = Config(rows=4, port_bits=64, scalers=1, inbox_bytes=1024, decoder=True, context_max=512)
PLAIN    = Config(rows=4, port_bits=64, fused=False, scalers=1, inbox_bytes=1024)
IDENTITY = {"clock_hz": 48_000_000, "mem_base": 0x40000000, "mem_bytes": 1 << 20, "inbox_base": 0x30000000}


class Bank(LiteXModule):
    """The registers on a bus, with everything behind them as plain signals."""

    def __init__(self, config=CONFIG):
        self.ready    = Signal()
        self.checksum = SimpleNamespace(start=Signal(), address=Signal(20), length=Signal(21), busy=Signal(),
            value=Signal(32))
        self.accelerator = SimpleNamespace(config=config, reset=Signal(), busy=Signal(), dropped=Signal(),
            posted=Signal(bits_for(CONFIG.queue_depth)), ended=Signal(bits_for(CONFIG.queue_depth)),
            word=Signal(max=SLOT_WORDS), data=Signal(32), write=Signal(), check=Signal(32),
            source=stream.Endpoint([("tag", 32), ("code", 4), ("cycles", 32)]),
            counters=SimpleNamespace(clear=Signal(), latch=Signal(), latching=Signal()),
            run={register.name: Signal(32) for register in RUN})
        self.registers = AcceleratorRegisters(self.accelerator, self.checksum, ready=self.ready, **IDENTITY)
        self.bus  = Interface(data_width=32, address_width=14)
        self.bank = CSRBank(self.registers.get_csrs(), bus=self.bus, ordering="big")

    def read(self, name):
        yield self.bus.adr.eq(OFFSETS[name]//4)
        yield
        yield
        return (yield self.bus.dat_r)

    def write(self, name, value, seen=()):
        """Write, and give what the signals `seen` are in the cycle of the write."""
        yield self.bus.adr.eq(OFFSETS[name]//4)
        yield self.bus.dat_w.eq(value)
        yield self.bus.we.eq(1)
        yield
        found = []
        for signal in seen:
            found.append((yield signal))
        yield self.bus.we.eq(0)
        yield
        return found


def simulate(test):
    """Run a generator on a bank; it must end by itself."""
    bank, ended = Bank(), []

    def run():
        yield from test(bank)
        ended.append(True)

    run_simulation(bank, run())
    assert ended


def test_the_bank_has_the_registers_of_the_table_in_its_order():
    assert [csr.name for csr in Bank().registers.get_csrs()] == [register.name for register in REGISTERS]
    assert [csr.name for csr in Bank(PLAIN).registers.get_csrs()] == [register.name for register in registers_of(())]


def test_identity():
    def test(bank):
        for name, value in identity_values(CONFIG, **IDENTITY).items():
            assert (yield from bank.read(name)) == value, name
    simulate(test)


def test_every_field_of_status():
    def test(bank):
        accelerator = bank.accelerator
        signals = {"busy": accelerator.busy, "checksum": bank.checksum.busy, "ready": bank.ready,
            "latching": accelerator.counters.latching, "posted": accelerator.posted, "ended": accelerator.ended}
        rng = random.Random(1)
        for _ in range(40):
            values = {name: rng.randrange(1 << len(signal)) for name, signal in signals.items()}
            for name, value in values.items():
                yield signals[name].eq(value)
            yield
            word = yield from bank.read("status")
            assert {name: STATUS.field(name).of(word) for name in values} == values
            assert not word & ~STATUS.mask and not STATUS.field("overrun").of(word)
    simulate(test)


def test_what_the_last_run_did():
    def test(bank):
        for index, register in enumerate(RUN):
            yield bank.accelerator.run[register.name].eq(0x12345678 << index)
        yield
        for index, register in enumerate(RUN):
            assert (yield from bank.read(register.name)) == 0x12345678 << index
    simulate(test)


def test_overrun_stays_until_a_reset():
    def test(bank):
        field = STATUS.field("overrun")
        yield bank.accelerator.dropped.eq(1)
        yield
        yield bank.accelerator.dropped.eq(0)
        for _ in range(3):
            assert field.of((yield from bank.read("status")))
        yield from bank.write("control", 0b110)
        assert field.of((yield from bank.read("status")))
        yield from bank.write("control", 0b001)
        assert not field.of((yield from bank.read("status")))
    simulate(test)


def test_control_is_strobes():
    def test(bank):
        strobes = [bank.accelerator.reset, bank.accelerator.counters.clear, bank.accelerator.counters.latch]
        for value in range(16):
            assert (yield from bank.write("control", value, strobes)) == [value >> bit & 1 for bit in range(3)]
            for strobe in strobes:
                assert not (yield strobe)
    simulate(test)


@pytest.mark.parametrize("register", [each for each in REGISTERS if each.access != "ro"], ids=lambda each: each.name)
def test_what_is_written_reads_as_the_access_says(register):
    def test(bank):
        for value in (0xFFFFFFFF, 0xA5A5A5A5, 0):
            yield from bank.write(register.name, value)
            assert (yield from bank.read(register.name)) == (value if register.access == "rw" else 0)
    simulate(test)


@pytest.mark.parametrize("register", [each for each in REGISTERS if each.access == "ro"], ids=lambda each: each.name)
def test_what_can_only_be_read_takes_nothing(register):
    def test(bank):
        before = yield from bank.read(register.name)
        yield from bank.write(register.name, 0xFFFFFFFF ^ before)
        assert (yield from bank.read(register.name)) == before
    simulate(test)


@pytest.mark.parametrize("register", REGISTERS, ids=lambda each: each.name)
def test_a_write_has_the_effect_that_the_table_says(register):
    """That one, and no other."""
    def test(bank):
        accelerator, done = bank.accelerator, bank.accelerator.source
        words = {Effect.WORD, Effect.POST}
        acts  = {accelerator.reset: {Effect.STROBE}, accelerator.counters.latch: {Effect.STROBE},
            accelerator.write: words, done.ready: {Effect.COLLECT}, bank.checksum.start: {Effect.CHECK}}
        yield done.tag.eq(0b101)
        yield
        found = yield from bank.write(register.name, 0b101, [*acts, accelerator.word])
        assert found[:-1] == [register.effect in effects for effects in acts.values()]
        assert register.effect not in words or (found[-1] == POST) == (register.effect == Effect.POST)
    simulate(test)


def test_words_of_a_job():
    def test(bank):
        accelerator = bank.accelerator
        for index, register in enumerate(JOB):
            data = 0xFFFFFFFF - index
            found = yield from bank.write(register.name, data, [accelerator.write, accelerator.word, accelerator.data])
            assert found == [1, index, data]
            assert not (yield accelerator.write)
        assert index == POST and register.effect == Effect.POST
        yield accelerator.check.eq(0x12345678)
        yield
        assert (yield from bank.read("job_check")) == 0x12345678
    simulate(test)


def test_only_the_oldest_tag_collects():
    def test(bank):
        done = bank.accelerator.source
        yield done.tag.eq(77)
        yield done.code.eq(9)
        yield done.cycles.eq(1 << 31)
        yield
        for name, value in (("done_tag", 77), ("done_code", 9), ("done_cycles", 1 << 31)):
            assert (yield from bank.read(name)) == value
        assert (yield from bank.write("done_collect", 76, [done.ready])) == [0]
        assert (yield from bank.write("done_collect", 77, [done.ready])) == [1]
        assert not (yield done.ready)
    simulate(test)


def test_checksum():
    def test(bank):
        unit = bank.checksum
        yield from bank.write("checksum_addr", 0x1000)
        assert (yield from bank.write("checksum_bytes", 0x80, [unit.start, unit.address, unit.length])) == [
            1, 0x1000//8, 0x80//8]
        assert not (yield unit.start)
        yield unit.value.eq(0xCAFE)
        yield
        assert (yield from bank.read("checksum_value")) == 0xCAFE
    simulate(test)
