# SPDX-License-Identifier: BSD-2-Clause
"""Radiona ULX3S with LFE5U-85F and a 16-bit SDR memory."""

from mixpe_boards.board import Board
from mixpe_boards.memory import Memory
from mixpe_gateware.contract.config import Config


class Ulx3s(Board):
    def platform(self):
        from litex_boards.platforms import radiona_ulx3s
        return radiona_ulx3s.Platform(device="LFE5U-85F", revision="2.0", toolchain=self.toolchain)

    def clocking(self, platform):
        from litex_boards.targets import radiona_ulx3s
        return radiona_ulx3s._CRG(platform, self.clock_hz)

    def add_memory(self, soc):
        from litedram.modules import MT48LC16M16
        from litedram.phy import GENSDRPHY

        from mixpe_gateware.dram.refresher import sdr_settings
        soc.sdrphy = GENSDRPHY(soc.platform.request("sdram"), self.clock_hz)
        soc.add_sdram("sdram", phy=soc.sdrphy, module=MT48LC16M16(self.clock_hz, "1:1"), l2_cache_size=0,
                      controller_settings=sdr_settings())


ULX3S = Ulx3s(
    name        = "ulx3s",
    title       = "Radiona ULX3S 85F",
    fpga        = "LFE5U-85F-6BG381C",
    toolchain   = "trellis",
    memory      = Memory(kind="sdr", size_bytes=32 << 20, data_bits=16),
    clock_hz    = 80_000_000,
    # The 16-bit port brings 4 weights a cycle; gathered to eight, 32 rows make 256 MACs, which prefill keeps busy.
    config      = Config(rows=32, port_bits=32, memory_bits=16, k_max=2048, buffer_beats=1024, queue_depth=8, scalers=2,
                         pe="dense"),
    target      = "ecp5",
    baudrate    = 3_000_000,
    framed      = False,  # with frames 73 MHz of 80
    loader      = ("-b", "ulx3s"),
    decoder     = {"attention_heads": 2, "attention_lanes": 2, "head_max": 64},  # what the memory brings a cycle
    idcode      = 0x41113043,
)
