# SPDX-License-Identifier: BSD-2-Clause
"""Lattice ECP5 Versa with LFE5UM5G-45F, DDR3 and gigabit Ethernet."""

from mixpe_boards.ecp5_ddr3 import Ecp5Ddr3Board
from mixpe_boards.memory import Memory
from mixpe_gateware.contract.config import Config


class VersaEcp5(Ecp5Ddr3Board):
    def platform(self):
        from litex_boards.platforms import lattice_versa_ecp5
        return lattice_versa_ecp5.Platform(device="LFE5UM5G", toolchain=self.toolchain)

    def clocking(self, platform):
        from litex_boards.targets import lattice_versa_ecp5
        return lattice_versa_ecp5._CRG(platform, self.clock_hz)

    def add_memory(self, soc):
        from litedram.modules import MT41K64M16
        self.add_ddr3(soc, MT41K64M16)

    def add_etherbone(self, soc, **options):
        self.add_rgmii_etherbone(soc, number=0, delays={"tx_delay": 0e-9, "rx_delay": 0e-9}, **options)


VERSA_ECP5 = VersaEcp5(
    name        = "versa_ecp5",
    title       = "Lattice ECP5-5G Versa",
    fpga        = "LFE5UM5G-45F-8BG381C",
    toolchain   = "trellis",
    memory      = Memory(kind="ddr3", size_bytes=128 << 20, data_bits=16, ratio=2),
    clock_hz    = 75_000_000,
    config      = Config(rows=4, port_bits=128, k_max=4096, buffer_beats=512, queue_depth=8, fused=False, scalers=1,
                         pe="dense"),
    target      = "ecp5",
    cpu         = True,
    links       = ("uart", "etherbone"),
    ethernet    = 1000,
    baudrate    = 3_000_000,
    loader      = ("-c", "ft2232"),
    decoder     = {"attention_heads": 3, "attention_lanes": 4, "head_max": 64, "scalers": 2, "context_max": 1024},
    idcode      = 0x81112043,
)
