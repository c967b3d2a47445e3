# SPDX-License-Identifier: BSD-2-Clause
"""LambdaConcept ECPIX-5 with LFE5UM5G-85F, DDR3 and gigabit Ethernet."""

from mixpe_boards.ecp5_ddr3 import Ecp5Ddr3Board
from mixpe_boards.memory import Memory
from mixpe_gateware.contract.config import Config


class Ecpix5(Ecp5Ddr3Board):
    def platform(self):
        from litex_boards.platforms import lambdaconcept_ecpix5
        return lambdaconcept_ecpix5.Platform(device="85F", toolchain=self.toolchain)

    def clocking(self, platform):
        from litex_boards.targets import lambdaconcept_ecpix5
        return lambdaconcept_ecpix5._CRG(platform, self.clock_hz)

    def add_memory(self, soc):
        from litedram.modules import MT41K256M16
        self.add_ddr3(soc, MT41K256M16)

    def add_etherbone(self, soc, **options):
        self.add_rgmii_etherbone(soc, delays={"rx_delay": 0e-9}, **options)


ECPIX5 = Ecpix5(
    name        = "ecpix5",
    title       = "LambdaConcept ECPIX-5 85F",
    fpga        = "LFE5UM5G-85F-8BG554I",
    toolchain   = "trellis",
    memory      = Memory(kind="ddr3", size_bytes=512 << 20, data_bits=16, ratio=2),
    clock_hz    = 75_000_000,
    config      = Config(rows=8, port_bits=128, k_max=4096, buffer_beats=512, queue_depth=8, fused=False, scalers=1,
                         pe="dense"),
    target      = "ecp5",
    cpu         = True,
    links       = ("uart", "etherbone"),
    ethernet    = 1000,
    baudrate    = 3_000_000,
    loader      = ("-b", "ecpix5"),
    decoder     = {"attention_heads": 4, "attention_lanes": 8, "head_max": 128, "scalers": 2},
    idcode      = 0x81113043,
)
