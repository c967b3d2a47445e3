# SPDX-License-Identifier: BSD-2-Clause
"""The DRAM's initialisation in gateware plays LiteDRAM's own sequence, with waits that are long enough."""

import pytest
from litedram import modules
from litedram.init import get_sdram_phy_init_sequence
from litedram.phy.dfi import Interface
from litedram.phy.model import get_sdram_phy_settings
from migen import run_simulation

from mixpe_gateware.dram.init import GAP_S, DRAMInit, init_steps

CLOCK_HZ = 1_000_000  # slow, so that the 200 us of power-up are 200 cycles


@pytest.mark.parametrize("chip, rate, memtype, nphases", [
    ("MT48LC16M16", "1:1", "SDR", 1),
    ("MT41K128M16", "1:4", "DDR3", 4),
])
def test_commands_are_those_of_litedram(chip, rate, memtype, nphases):
    module = getattr(modules, chip)(100_000_000, rate)
    phy = get_sdram_phy_settings(memtype, 16, 100_000_000)
    sequence, _ = get_sdram_phy_init_sequence(phy, module.timing_settings)
    dfi = Interface(14, 3, 1, 16, nphases)
    dut = DRAMInit(dfi, init_steps(phy, module.timing_settings), CLOCK_HZ)
    seen, controls = [], []

    def watch():
        phase = dfi.phases[0]
        for cycle in range(dut.cycles + 10):
            done = yield dut.done
            if not (yield phase.cs_n):
                names = set()
                for name in ("RAS", "CAS", "WE"):
                    if not (yield getattr(phase, name.lower() + "_n")):
                        names.add(name)
                seen.append((cycle, (yield phase.address), (yield phase.bank), names))
                assert not done
            for other in dfi.phases[1:]:
                assert (yield other.cs_n)
            controls.append(((yield phase.cke), (yield phase.reset_n)))
            yield
        assert done and cycle >= dut.cycles

    run_simulation(dut, watch())
    commands = [(address, bank, {flag[len("DFII_COMMAND_"):] for flag in flags.split("|")} - {"CS"})
                for _, address, bank, flags, _ in sequence if "COMMAND" in flags]
    assert [entry[1:] for entry in seen] == commands
    gap = GAP_S*CLOCK_HZ
    waits = [delay*10e-9*CLOCK_HZ for _, _, _, flags, delay in sequence if "COMMAND" in flags]
    for (first, *_), (second, *_), wait in zip(seen, seen[1:], waits, strict=False):
        assert second - first > max(wait, gap)
    power_up = sum(delay*10e-9*CLOCK_HZ for _, _, _, flags, delay in sequence if "COMMAND" not in flags)
    assert seen[0][0] >= power_up >= 200
    assert controls[seen[0][0]] == (1, 1) and controls[-1] == (1, 1)
    assert controls[0] == (0, 0)
