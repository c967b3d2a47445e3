# SPDX-License-Identifier: BSD-2-Clause
"""OrangeCrab r0.2 with LFE5U-85F and DDR3."""

from mixpe_boards.ecp5_ddr3 import Ecp5Ddr3Board
from mixpe_boards.memory import Memory
from mixpe_gateware.contract.config import Config


class OrangeCrab(Ecp5Ddr3Board):
    def platform(self):
        from litex_boards.platforms import gsd_orangecrab
        platform = gsd_orangecrab.Platform(revision="0.2", device="85F", toolchain=self.toolchain)
        platform.add_extension(gsd_orangecrab.feather_serial)
        return platform

    def clocking(self, platform):
        from litex_boards.targets import gsd_orangecrab
        return gsd_orangecrab._CRGSDRAM(platform, self.clock_hz)

    def add_memory(self, soc):
        from litedram.modules import MT41K256M16
        pads = soc.platform.request("ddram")
        # Pins beside the memory that the board uses as extra supply and ground.
        soc.comb += [pads.vccio.eq(2**len(pads.vccio) - 1), pads.gnd.eq(0)]
        phy = self.add_ddr3(soc, MT41K256M16, pads, dm_remapping={0: 1, 1: 0},
            cmd_delay=0 if self.clock_hz > 64_000_000 else 100)
        phy.settings.rtt_nom = "disabled"


ORANGECRAB = OrangeCrab(
    name        = "orangecrab",
    title       = "OrangeCrab r0.2 85F",
    fpga        = "LFE5U-85F-8MG285C",
    toolchain   = "trellis",
    memory      = Memory(kind="ddr3", size_bytes=512 << 20, data_bits=16, ratio=2),
    clock_hz    = 48_000_000,
    config      = Config(rows=8, port_bits=128, k_max=4096, buffer_beats=512, queue_depth=8, fused=False, scalers=1,
                         pe="dense"),
    target      = "ecp5",
    cpu         = True,
    baudrate    = 3_000_000,
    framed      = False,  # with frames two seeds were not routed in half an hour each
    loader      = ("-b", "orangeCrab"),
    decoder     = {"attention_heads": 4, "attention_lanes": 8, "head_max": 128, "scalers": 2},
    dfu         = True,
    idcode      = 0x41113043,
    note        = "the link is a 3.3 V UART adapter on the Feather header's TX and RX; the USB port only programs",
)
