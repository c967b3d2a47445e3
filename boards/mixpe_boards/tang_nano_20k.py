# SPDX-License-Identifier: BSD-2-Clause
"""Sipeed Tang Nano 20K: GW2AR-18 with 32-bit SDR memory in its package."""

from mixpe_boards.board import Board
from mixpe_boards.memory import Memory
from mixpe_gateware.contract.config import Config

# Ports that the memory's pads have, by what LiteDRAM calls them: names that the tools recognise.
PADS = {"clk": "O_sdram_clk", "cke": "O_sdram_cke", "cs_n": "O_sdram_cs_n", "cas_n": "O_sdram_cas_n",
    "ras_n": "O_sdram_ras_n", "we_n": "O_sdram_wen_n", "dm": "O_sdram_dqm", "a": "O_sdram_addr", "ba": "O_sdram_ba",
    "dq": "IO_sdram_dq"}


class _Pads:
    """Plain signals under LiteDRAM's names."""

    def __init__(self, platform):
        for name, port in PADS.items():
            setattr(self, name, platform.request(port))


class TangNano20K(Board):
    def platform(self):
        from litex_boards.platforms import sipeed_tang_nano_20k
        return sipeed_tang_nano_20k.Platform(toolchain=self.toolchain)

    def clocking(self, platform):
        from litex_boards.targets import sipeed_tang_nano_20k
        return sipeed_tang_nano_20k._CRG(platform, self.clock_hz)

    def add_memory(self, soc):
        from litedram.modules import M12L64322A
        from litedram.phy import GENSDRPHY
        from litex.build.io import DDROutput
        from migen import ClockSignal
        pads = _Pads(soc.platform)
        soc.specials += DDROutput(0, 1, pads.clk, ClockSignal("sys"))
        soc.sdrphy = GENSDRPHY(pads, self.clock_hz)
        soc.add_sdram("sdram", phy=soc.sdrphy, module=M12L64322A(self.clock_hz, "1:1"), l2_cache_size=0)


TANG_NANO_20K = TangNano20K(
    name        = "tang_nano_20k",
    title       = "Sipeed Tang Nano 20K",
    fpga        = "GW2AR-LV18QN88C8/I7",
    toolchain   = "apicula",
    memory      = Memory(kind="sdr", size_bytes=8 << 20, data_bits=32, place="in the package"),
    clock_hz    = 48_000_000,
    config      = Config(rows=4, port_bits=32, k_max=2048, buffer_beats=512, queue_depth=4, fused=False, scalers=1,
                         pe="bitplane"),
    baudrate    = 1_000_000,
    loader      = ("-b", "tangnano20k"),
    idcode      = 0x0000081B,
    bitstream   = ".fs",
)
