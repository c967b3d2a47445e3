# SPDX-License-Identifier: BSD-2-Clause
"""A LiteX SoC of your own with the accelerator: python examples/own_soc.py; see docs/your-own-soc.md."""

from litedram.modules import MT48LC16M16
from litedram.phy import GENSDRPHY
from litex.soc.integration.builder import Builder
from litex.soc.integration.soc_core import SoCCore
from litex_boards.platforms import radiona_ulx3s
from litex_boards.targets.radiona_ulx3s import _CRG

from mixpe_gateware.contract.config import Config
from mixpe_gateware.control.csr_map import complete_csr_maps
from mixpe_gateware.dram import add_host_init
from mixpe_gateware.integration import add_mixpe


class MySoC(SoCCore):
    def __init__(self, sys_clk_freq=50_000_000):
        platform = radiona_ulx3s.Platform(device="LFE5U-85F", revision="2.0", toolchain="trellis")
        self.crg = _CRG(platform, sys_clk_freq)
        SoCCore.__init__(self, platform, sys_clk_freq, cpu_type=None, with_timer=False, with_uart=False,
            integrated_rom_size=0, integrated_sram_size=0, ident="my SoC")
        self.mem_map["csr"] = 0xA0000000      # any; without this line LiteX has them at 0

        # Memory, without LiteX's L2 cache: host and accelerator must see the same bytes.
        self.sdrphy = GENSDRPHY(platform.request("sdram"), sys_clk_freq)
        self.add_sdram("sdram", phy=self.sdrphy, module=MT48LC16M16(sys_clk_freq, "1:1"), l2_cache_size=0)
        ready = add_host_init(self)           # no CPU: the host initialises the memory when it opens the device

        # Link, and the accelerator on the memory.
        self.add_uartbone(baudrate=1_000_000)
        add_mixpe(self, Config(rows=8, port_bits=16, k_max=2048, buffer_beats=1024, pe="dense"), ready=ready,
            target="ecp5")


if __name__ == "__main__":
    builder = Builder(MySoC(), output_dir="build/my_soc", csr_csv="csr.csv")
    builder.build(run=False)              # run=True: with the tools
    complete_csr_maps(builder)            # csr.csv gets fields, and which registers are write-only
