# SPDX-License-Identifier: BSD-2-Clause
"""SQRL Acorn CLE-215+ (XC7A200T) and LiteFury (XC7A100T): DDR3 on an M.2 card. Bitstreams by Vivado."""

from typing import Any

from mixpe_boards.memory import Memory
from mixpe_boards.xilinx_ddr3 import Artix7Ddr3Board
from mixpe_gateware.contract.config import Config

VARIANTS = {"acorn": "cle-215+", "litefury": "cle-101"}
CHIPS    = {"acorn": "MT41K512M16", "litefury": "MT41K256M16"}


class Acorn(Artix7Ddr3Board):
    def platform(self):
        from litex_boards.platforms import sqrl_acorn
        return sqrl_acorn.Platform(variant=VARIANTS[self.name], toolchain=self.toolchain)

    def clocking(self, platform):
        # As LiteX-Boards has it, whose target cannot be imported without LitePCIe.
        from litex.gen import LiteXModule
        from litex.soc.cores.clock import S7IDELAYCTRL, S7PLL
        from migen import ClockDomain, Signal
        crg = LiteXModule()
        crg.rst = Signal()
        crg.pll = pll = S7PLL()
        crg.comb += pll.reset.eq(crg.rst)
        pll.register_clkin(platform.request("clk200"), 200e6)
        for name, freq, phase in (("sys", self.clock_hz, 0), ("sys4x", 4*self.clock_hz, 0),
                ("sys4x_dqs", 4*self.clock_hz, 90), ("idelay", 200e6, 0)):
            domain = ClockDomain(name)
            setattr(crg, f"cd_{name}", domain)
            pll.create_clkout(domain, freq, phase=phase)
        platform.add_false_path_constraints(crg.cd_sys.clk, pll.clkin)
        crg.idelayctrl = S7IDELAYCTRL(crg.cd_idelay)
        return crg

    def add_memory(self, soc):
        from litedram import modules
        self.add_ddr3(soc, getattr(modules, CHIPS[self.name]), iodelay_clk_freq=200e6)


FACTS: dict[str, Any] = {
    "toolchain": "vivado", "clock_hz": 100_000_000, "cpu": True, "baudrate": 3_000_000,
    "decoder": {"attention_heads": 4, "head_max": 128},
}
NOTE = "the link is a UART on the card's P2 connector, not PCIe"

ACORN = Acorn(
    name   = "acorn",
    title  = "SQRL Acorn CLE-215+",
    fpga   = "xc7a200tfbg484-3",
    memory = Memory(kind="ddr3", size_bytes=1 << 30, data_bits=16, ratio=4),
    config = Config(rows=16, port_bits=128, k_max=8192, buffer_beats=1024, read_ports=2, scalers=16, minima=True,
                    pe="dense"),
    loader = ("-b", "acornCle215"),
    idcode = 0x03636093,
    note   = NOTE,
    **FACTS,
)

LITEFURY = Acorn(
    name   = "litefury",
    title  = "RHS Research LiteFury",
    fpga   = "xc7a100tfgg484-2",
    memory = Memory(kind="ddr3", size_bytes=512 << 20, data_bits=16, ratio=4),
    config = Config(rows=8, port_bits=128, k_max=8192, buffer_beats=1024, read_ports=2, scalers=8, minima=True,
                    pe="dense"),
    loader = ("-c", "ft2232", "--fpga-part", "xc7a100tfgg484"),
    idcode = 0x03631093,
    # Memory and its pins are those of RHS Research's sample projects (MT41J256M16, 15 row bits).
    note   = NOTE + "; LiteX-Boards 2023.12 knows it as the Acorn CLE-101: compare the UART's pins and the memory chip "
             "before use",
    **FACTS,
)
