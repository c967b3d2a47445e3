# SPDX-License-Identifier: BSD-2-Clause
"""1BitSquared iCEBreaker: UP5K, whose 128 KiB of on-chip SPRAM are the memory."""

from mixpe_boards.board import Board
from mixpe_boards.memory import Memory
from mixpe_gateware.contract.config import Config


class IceBreaker(Board):
    def platform(self):
        from litex_boards.platforms import icebreaker
        return icebreaker.Platform(toolchain=self.toolchain)

    def clocking(self, platform):
        from litex_boards.targets import icebreaker
        return icebreaker._CRG(platform, self.clock_hz)

    def add_memory(self, soc):
        from mixpe_boards.spram import SpramPool
        soc.add_pool(SpramPool(self.config.memory_bits))


ICEBREAKER = IceBreaker(
    name        = "icebreaker",
    title       = "1BitSquared iCEBreaker",
    fpga        = "iCE40UP5K-SG48",
    toolchain   = "icestorm",
    memory      = Memory(kind="spram", size_bytes=128 << 10, data_bits=16, place="on the chip"),
    clock_hz    = 16_000_000,  # the slowest that the PLL gives
    config      = Config(rows=1, port_bits=16, k_max=512, buffer_beats=128, queue_depth=2, fused=False, scalers=1,
                         pe="bitplane"),
    baudrate    = 1_000_000,
    framed      = False,
    loader      = ("-b", "ice40_generic"),
    bitstream   = ".bin",
)
