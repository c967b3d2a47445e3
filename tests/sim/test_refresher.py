# SPDX-License-Identifier: BSD-2-Clause
"""The refresher behind registers in LiteDRAM's controller, with requests to all banks at random times.

The distances are the memory's own (MT48LC16M16 at 100 MHz), as LiteDRAM takes them from its data sheet.
"""

import random

from litedram import modules
from litedram.core.controller import ControllerSettings, LiteDRAMController
from litedram.phy.model import get_sdram_phy_settings
from migen import passive, run_simulation

from mixpe_gateware.dram.refresher import sdr_settings

CLOCK_HZ = 100_000_000
CYCLES   = 2500
PRECHARGE, REFRESH, ACTIVATE = "RAS WE", "RAS CAS", "RAS"


def controller(settings):
    module = modules.MT48LC16M16(CLOCK_HZ, "1:1")
    phy    = get_sdram_phy_settings("SDR", 16, CLOCK_HZ)
    return LiteDRAMController(phy, module.geom_settings, module.timing_settings, CLOCK_HZ, settings)


def commands_of(dut, seed):
    """(cycle, command, address) of all commands on the DFI."""
    rng, found = random.Random(seed), []

    @passive
    def ask(bank):
        while True:
            for _ in range(rng.choice((0, 0, 0, 30))):
                yield
            yield bank.addr.eq(rng.choice((0, 512)) + rng.randrange(16))
            yield bank.we.eq(rng.randrange(2))
            yield bank.valid.eq(1)
            yield
            while not (yield bank.ready):
                yield
            yield bank.valid.eq(0)

    def watch():
        phase = dut.dfi.phases[0]
        for cycle in range(CYCLES):
            if not (yield phase.cs_n):
                names = []
                for name in ("RAS", "CAS", "WE"):
                    if not (yield getattr(phase, name.lower() + "_n")):
                        names.append(name)
                if names:
                    found.append((cycle, " ".join(names), (yield phase.address)))
            yield

    banks = [getattr(dut.interface, f"bank{index}") for index in range(dut.interface.nbanks)]
    run_simulation(dut, [watch(), *[ask(bank) for bank in banks]])
    return found


def test_refreshes_keep_their_distances():
    timing = modules.MT48LC16M16(CLOCK_HZ, "1:1").timing_settings
    found  = commands_of(controller(sdr_settings()), seed=1)
    at     = [index for index, (_, name, _) in enumerate(found) if name == REFRESH]
    assert CYCLES//timing.tREFI - 1 <= len(at) <= CYCLES//timing.tREFI
    for index in at:
        before, (cycle, _, _), after = found[index - 1], found[index], found[index + 1]
        assert before[1] == PRECHARGE and before[2] & 1 << 10  # of all banks
        assert cycle - before[0] >= timing.tRP
        assert after[1] == ACTIVATE and after[0] - cycle >= timing.tRFC
    # They do not drift: each follows its timer, which runs on.
    cycles = [found[index][0] for index in at]
    assert all(abs(second - first - timing.tREFI) < 100 for first, second in zip(cycles, cycles[1:], strict=False))
    assert len(found) > 20*len(at)  # and the banks were at work


def test_an_idle_memory_is_refreshed_two_cycles_later():
    """One for the request, one for the commands."""
    def refreshes(settings):
        dut, found = controller(settings), []

        def watch():
            phase = dut.dfi.phases[0]
            for cycle in range(1700):
                lines = []
                for line in (phase.cs_n, phase.ras_n, phase.cas_n, phase.we_n):
                    lines.append((yield line))
                if not lines[0] and lines != [0, 1, 1, 1]:
                    found.append((cycle, tuple(lines), (yield phase.address)))
                yield

        run_simulation(dut, watch())
        return found

    plain, registered = refreshes(ControllerSettings()), refreshes(sdr_settings())
    assert len(plain) == 4  # precharge and refresh, twice
    assert registered == [(cycle + 2, *rest) for cycle, *rest in plain]
