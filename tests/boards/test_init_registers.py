# SPDX-License-Identifier: BSD-2-Clause
"""What becomes of a memory's initialisation, written as the BIOS and the host write it; the host's commands."""

import pytest
from litedram.init import cmds, get_sdram_phy_init_sequence
from litedram.phy.model import get_sdram_phy_settings
from litex.soc.interconnect import csr_bus
from migen import Module, run_simulation

from mixpe_gateware.contract.errors import ConfigError
from mixpe_gateware.contract.memory_init import (
    COMMAND_CAS,
    COMMAND_CS,
    COMMAND_RAS,
    COMMAND_WE,
    CONTROL_CKE,
    CONTROL_ODT,
    CONTROL_ON,
    CONTROL_RESET_N,
    FAILED,
    NAMES,
    POWER_UP_S,
    sdr_method,
    sdr_steps,
)
from mixpe_gateware.dram import InitRegisters
from mixpe_gateware.dram.init import DELAY_UNIT_S

DONE, ERROR, METHOD = NAMES


class Bench(Module):
    """The registers behind a CSR bus."""

    def __init__(self, method=None):
        self.submodules.registers = InitRegisters(method)
        self.submodules.bank = csr_bus.CSRBank(self.registers.get_csrs(), bus=csr_bus.Interface(data_width=32))
        self.bus = self.bank.bus


@pytest.mark.parametrize("writes, ready", [
    ([], [0]),
    ([(DONE, 0), (ERROR, 0), (DONE, 1)], [0, 0, 0, 1]),              # trained
    ([(DONE, 0), (ERROR, 0), (ERROR, 1), (DONE, 1)], [0, 0, 0, 0, 0]),  # failed: never ready in between
    ([(DONE, 1), (DONE, 0), (ERROR, 0), (DONE, 1)], [0, 1, 0, 0, 1]),   # trained again after a reset of the CPU
    ([(DONE, 1), (ERROR, 1)], [0, 1, 0]),
])
def test_ready_follows_the_program(writes, ready):
    dut, seen, words = Bench(), [], []

    def program():
        yield
        seen.append((yield dut.registers.ready))
        for name, value in writes:
            yield from dut.bus.write(NAMES.index(name), value)
            yield
            seen.append((yield dut.registers.ready))
        for index in range(2):
            yield from dut.bus.read(index)  # the answer comes a cycle later
            words.append((yield from dut.bus.read(index)))

    run_simulation(dut, program())
    assert seen == ready
    last = dict(writes)
    assert words == [last.get(name, 0) for name in (DONE, ERROR)]
    assert (words == FAILED) == (last.get(ERROR, 0) == last.get(DONE, 0) == 1)


def test_method_is_told():
    """Where there is one; a bank without it reads its other registers there."""
    found = {}

    def program(dut, name):
        yield from dut.bus.read(NAMES.index(METHOD))
        found[name] = yield from dut.bus.read(NAMES.index(METHOD))

    for name, method in (("sdr", sdr_method(2, 1)), ("bios", None)):
        dut = Bench(method)
        run_simulation(dut, program(dut, name))
    assert found == {"sdr": sdr_method(2, 1), "bios": 0}


FLAGS = {"CS": COMMAND_CS, "WE": COMMAND_WE, "CAS": COMMAND_CAS, "RAS": COMMAND_RAS}
LINES = {"CKE": CONTROL_CKE, "ODT": CONTROL_ODT, "RESET_N": CONTROL_RESET_N}


@pytest.mark.parametrize("cas_latency", [2, 3])
@pytest.mark.parametrize("burst", [1, 2])
def test_commands_are_those_of_litedram(cas_latency, burst):
    phy = get_sdram_phy_settings("SDR", 16, 100_000_000)
    phy.cl, phy.nphases = cas_latency, burst
    (_, address, bank, flags, delay), *commands = get_sdram_phy_init_sequence(phy, None)[0]
    assert sum(LINES[flag.removeprefix("DFII_CONTROL_")] for flag in flags.split("|")) == CONTROL_ON
    assert (address, bank) == (0, 0) and POWER_UP_S >= delay*DELAY_UNIT_S
    steps = sdr_steps(sdr_method(cas_latency, burst))
    assert "MODE_REGISTER" in cmds and len(steps) == len(commands)
    for step, (_, address, bank, flags, delay) in zip(steps, commands, strict=True):
        assert step.address == address and bank == 0
        assert step.command == sum(FLAGS[flag.removeprefix("DFII_COMMAND_")] for flag in flags.split("|"))
        assert step.wait_s >= max(delay*DELAY_UNIT_S, 100e-9)


@pytest.mark.parametrize("call, text", [
    (lambda: sdr_method(4, 1), "not 4 and 1"), (lambda: sdr_method(2, 3), "not 2 and 3"),
    (lambda: sdr_steps(sdr_method(2, 1) ^ 1 << 20), "no method of initialising"),
    (lambda: sdr_steps(0), "not 0 and 0")])
def test_no_method(call, text):
    with pytest.raises(ConfigError, match=text):
        call()
