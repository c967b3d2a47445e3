# SPDX-License-Identifier: BSD-2-Clause
"""Colorlight i5 (LFE5U-25F) and i9 (LFE5U-45F) modules: 32-bit SDR memory, two gigabit Ethernet ports."""

from typing import Any

from mixpe_boards.board import Board
from mixpe_boards.memory import Memory
from mixpe_gateware.contract.config import Config

REVISIONS = {"i5": "7.0", "i9": "7.2"}


class Colorlight(Board):
    @property
    def module(self):
        return self.name.rpartition("_")[2]

    def platform(self):
        from litex_boards.platforms import colorlight_i5
        return colorlight_i5.Platform(board=self.module, revision=REVISIONS[self.module], toolchain=self.toolchain)

    def clocking(self, platform):
        from litex_boards.targets import colorlight_i5
        return colorlight_i5._CRG(platform, self.clock_hz)

    def add_memory(self, soc):
        from litedram.modules import M12L64322A  # compatible with the EM638325 on the modules
        from litedram.phy import GENSDRPHY

        from mixpe_gateware.dram.refresher import sdr_settings
        soc.sdrphy = GENSDRPHY(soc.platform.request("sdram"), self.clock_hz)
        soc.add_sdram("sdram", phy=soc.sdrphy, module=M12L64322A(self.clock_hz, "1:1"), l2_cache_size=0,
                      controller_settings=sdr_settings())

    def add_etherbone(self, soc, **options):
        from liteeth.phy.ecp5rgmii import LiteEthPHYRGMII
        soc.ethphy = LiteEthPHYRGMII(clock_pads=soc.platform.request("eth_clocks", 0),
            pads=soc.platform.request("eth", 0), tx_delay=0)
        soc.add_etherbone(phy=soc.ethphy, **options)


FACTS: dict[str, Any] = {
    "toolchain": "trellis", "memory": Memory(kind="sdr", size_bytes=8 << 20, data_bits=32), "clock_hz": 60_000_000,
    "target": "ecp5", "links": ("uart", "etherbone"), "ethernet": 1000,
    # The board carries a CMSIS-DAP adapter, whose UART bridge is the link.
    "baudrate": 1_000_000, "loader": ("-b", "colorlight-i5"),
}

COLORLIGHT_I5 = Colorlight(
    name   = "colorlight_i5",
    title  = "Colorlight i5",
    fpga   = "LFE5U-25F-6BG381C",
    config = Config(rows=8, port_bits=32, k_max=4096, buffer_beats=512, queue_depth=4, fused=False, scalers=1,
                    pe="dense"),
    idcode = 0x41111043,
    **FACTS,
)

COLORLIGHT_I9 = Colorlight(
    name   = "colorlight_i9",
    title  = "Colorlight i9",
    fpga   = "LFE5U-45F-6BG381C",
    config = Config(rows=16, port_bits=32, k_max=4096, buffer_beats=512, queue_depth=8, scalers=4, minima=True,
                    pe="dense"),
    idcode = 0x41112043,
    decoder = {"attention_heads": 2, "head_max": 64, "context_max": 1024, "k_max": 2048},
    **{**FACTS, "loader": ("-b", "colorlight-i9")},
)
