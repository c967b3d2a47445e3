# SPDX-License-Identifier: BSD-2-Clause
"""Sipeed Tang Primer 20K on its dock: GW2A-18 with DDR3."""

from mixpe_boards.board import Board
from mixpe_boards.memory import Memory
from mixpe_gateware.contract.config import Config


class TangPrimer20K(Board):
    def platform(self):
        from litex_boards.platforms import sipeed_tang_primer_20k
        return sipeed_tang_primer_20k.Platform("standard", toolchain=self.toolchain)

    def clocking(self, platform):
        from litex_boards.targets import sipeed_tang_primer_20k
        return sipeed_tang_primer_20k._CRG(platform, self.clock_hz)

    def add_memory(self, soc):
        from litedram.modules import MT41K64M16
        from litedram.phy import GW2DDRPHY

        from mixpe_gateware.dram.refreshtime import with_refresh_time
        soc.ddrphy = phy = GW2DDRPHY(soc.platform.request("ddram"), sys_clk_freq=self.clock_hz)
        phy.settings.rtt_nom = "disabled"
        soc.comb += [soc.crg.stop.eq(phy.init.stop), soc.crg.reset.eq(phy.init.reset)]
        soc.add_sdram("sdram", phy=phy, module=with_refresh_time(MT41K64M16)(self.clock_hz, "1:2"), l2_cache_size=0)


TANG_PRIMER_20K = TangPrimer20K(
    name        = "tang_primer_20k",
    title       = "Sipeed Tang Primer 20K",
    fpga        = "GW2A-LV18PG256C8/I7",
    toolchain   = "apicula",
    memory      = Memory(kind="ddr3", size_bytes=128 << 20, data_bits=16, ratio=2),
    clock_hz    = 48_000_000,
    config      = Config(rows=1, port_bits=128, k_max=2048, buffer_beats=128, queue_depth=4, fused=False, scalers=1,
                         pe="bitplane"),
    cpu         = True,
    baudrate    = 1_000_000,
    loader      = ("-b", "tangprimer20k"),
    idcode      = 0x0000081B,
    bitstream   = ".fs",
)
