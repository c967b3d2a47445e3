# SPDX-License-Identifier: BSD-2-Clause
"""What a SoC must be for the accelerator to be added: a board file that forgets it is refused by name."""

import pytest

pytest.importorskip("litex_boards", reason="the gateware extra is not installed")

from litedram.modules import MT48LC16M16
from litedram.phy.model import SDRAMPHYModel
from litex.build.generic_platform import Pins
from litex.build.sim import SimPlatform
from litex.soc.integration.soc import LiteXSoC, SoCRegion
from migen import ClockDomain, Module

from mixpe.errors import ConfigError
from mixpe_boards.registry import BOARDS
from mixpe_boards.soc import BoardSoC
from mixpe_boards.spram import SpramPool
from mixpe_gateware.contract.config import Config
from mixpe_gateware.integration import add_mixpe
from mixpe_gateware.soc import BaseSoC

SMALL    = Config(rows=1, port_bits=16, k_max=512, buffer_beats=128, queue_depth=2, fused=False, scalers=1)
CLOCK_HZ = 50_000_000


class Clock(Module):
    def __init__(self):
        self.clock_domains.cd_sys = ClockDomain()


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """LiteX looks for CPUs in the folder it is started in."""
    monkeypatch.chdir(tmp_path)


def bare_soc():
    return BaseSoC(SimPlatform("SIM", [("sys_clk", 0, Pins(1))]), CLOCK_HZ, Clock(), ident="test")


def sdr_soc(**options):
    soc = bare_soc()
    module = MT48LC16M16(CLOCK_HZ, "1:1")
    soc.sdrphy = SDRAMPHYModel(module=module, data_width=16, clk_freq=CLOCK_HZ)
    soc.add_sdram("sdram", phy=soc.sdrphy, module=module, **options)
    return soc


@pytest.mark.parametrize("name", [name for name, board in BOARDS.items() if board.memory.kind != "spram"])
def test_a_board_that_forgets_the_cache_is_refused(name, monkeypatch):
    """As if its `add_memory` left `l2_cache_size` at LiteX's 8192."""
    add_sdram, told = LiteXSoC.add_sdram, []

    def forgetful(soc, *args, **options):
        told.append(options.pop("l2_cache_size"))
        add_sdram(soc, *args, **options)

    monkeypatch.setattr(LiteXSoC, "add_sdram", forgetful)
    with pytest.raises(ConfigError, match=r"L2 cache \(8192 bytes\).*l2_cache_size=0"):
        BoardSoC(BOARDS[name])
    assert told == [0]


def test_a_cache_of_any_size_is_refused():
    with pytest.raises(ConfigError, match=r"L2 cache \(1024 bytes\).*l2_cache_size=0"):
        add_mixpe(sdr_soc(l2_cache_size=1024), SMALL)
    soc = sdr_soc(l2_cache_size=0)
    assert add_mixpe(soc, SMALL) is soc.mixpe


def test_memory_must_be_there():
    with pytest.raises(ConfigError, match="no LiteDRAM, and no other memory was given"):
        add_mixpe(bare_soc(), SMALL)
    with pytest.raises(ConfigError, match="no main_ram region"):
        add_mixpe(bare_soc(), SMALL, memory=SpramPool(16))


def test_any_memory_with_ports():
    """As the iCEBreaker has it; the region is as large as the pool, and a port of another width is refused."""
    soc, pool = bare_soc(), SpramPool(16)
    soc.add_pool(pool)
    assert soc.bus.regions["main_ram"].size == 128 << 10
    mixpe = soc.add_accelerator(SMALL)
    assert mixpe is soc.mixpe
    assert [port.mode for port in pool.ports] == ["both", *["read"]*(SMALL.read_ports + 2), "write"]
    soc = bare_soc()
    soc.add_pool(SpramPool(32))
    with pytest.raises(ConfigError, match="memory_bits=32, not 16"):
        soc.add_accelerator(SMALL)


def test_a_region_that_the_memory_does_not_fill_is_refused():
    """Jobs are checked against the region: addresses behind the memory's end would wrap."""
    soc, pool = bare_soc(), SpramPool(16)
    soc.bus.add_region("main_ram", SoCRegion(origin=0x4000_0000, size=256 << 10, mode="rwx"))
    with pytest.raises(ConfigError, match="131072 bytes.*main_ram.*262144"):
        add_mixpe(soc, SMALL, memory=pool)


def test_who_initialises_the_memory_is_named():
    with pytest.raises(ConfigError, match="'host', 'cpu' or 'gateware', not 'nobody'"):
        sdr_soc(l2_cache_size=0).settle_memory("nobody")
