# SPDX-License-Identifier: BSD-2-Clause
"""Digilent Nexys Video: XC7A200T, DDR3, gigabit Ethernet. Bitstream by Vivado."""

from mixpe_boards.memory import Memory
from mixpe_boards.xilinx_ddr3 import Artix7Ddr3Board
from mixpe_gateware.contract.config import Config


class NexysVideo(Artix7Ddr3Board):
    def platform(self):
        from litex_boards.platforms import digilent_nexys_video
        return digilent_nexys_video.Platform(toolchain=self.toolchain)

    def clocking(self, platform):
        from litex_boards.targets import digilent_nexys_video
        return digilent_nexys_video._CRG(platform, self.clock_hz)

    def add_memory(self, soc):
        from litedram.modules import MT41K256M16
        self.add_ddr3(soc, MT41K256M16)

    def add_etherbone(self, soc, **options):
        from liteeth.phy.s7rgmii import LiteEthPHYRGMII
        soc.ethphy = LiteEthPHYRGMII(clock_pads=soc.platform.request("eth_clocks"), pads=soc.platform.request("eth"))
        soc.add_etherbone(phy=soc.ethphy, **options)


NEXYS_VIDEO = NexysVideo(
    name        = "nexys_video",
    title       = "Digilent Nexys Video",
    fpga        = "xc7a200tsbg484-1",
    toolchain   = "vivado",
    memory      = Memory(kind="ddr3", size_bytes=512 << 20, data_bits=16, ratio=4),
    clock_hz    = 100_000_000,
    config      = Config(rows=16, port_bits=128, k_max=8192, buffer_beats=1024, read_ports=2, scalers=16, minima=True,
                         pe="dense"),
    cpu         = True,
    links       = ("uart", "etherbone"),
    ethernet    = 1000,
    baudrate    = 3_000_000,
    loader      = ("-b", "nexysVideo"),
    decoder     = {"attention_heads": 4, "head_max": 128},
    idcode      = 0x03636093,
)
