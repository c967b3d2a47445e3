# SPDX-License-Identifier: BSD-2-Clause
"""Digilent Arty A7-100T: DDR3, 100 Mbit Ethernet. Bitstream by Vivado."""

from mixpe_boards.memory import Memory
from mixpe_boards.xilinx_ddr3 import Artix7Ddr3Board
from mixpe_gateware.contract.config import Config


class ArtyA7(Artix7Ddr3Board):
    def platform(self):
        from litex_boards.platforms import digilent_arty
        return digilent_arty.Platform(variant="a7-100", toolchain=self.toolchain)

    def clocking(self, platform):
        from litex_boards.targets import digilent_arty
        return digilent_arty._CRG(platform, self.clock_hz)

    def add_memory(self, soc):
        from litedram.modules import MT41K128M16
        self.add_ddr3(soc, MT41K128M16)

    def add_etherbone(self, soc, **options):
        from liteeth.phy.mii import LiteEthPHYMII
        soc.ethphy = LiteEthPHYMII(clock_pads=soc.platform.request("eth_clocks"), pads=soc.platform.request("eth"))
        soc.add_etherbone(phy=soc.ethphy, **options)


ARTY_A7 = ArtyA7(
    name        = "arty_a7",
    title       = "Digilent Arty A7-100T",
    fpga        = "xc7a100tcsg324-1",
    toolchain   = "vivado",
    memory      = Memory(kind="ddr3", size_bytes=256 << 20, data_bits=16, ratio=4),
    clock_hz    = 100_000_000,
    config      = Config(rows=8, port_bits=128, k_max=8192, buffer_beats=1024, read_ports=2, scalers=8, minima=True,
                         pe="dense"),
    cpu         = True,
    links       = ("uart", "etherbone"),
    ethernet    = 100,
    baudrate    = 3_000_000,
    loader      = ("-b", "arty_a7_100t"),
    decoder     = {"attention_heads": 4, "head_max": 128},
    idcode      = 0x03631093,
)
