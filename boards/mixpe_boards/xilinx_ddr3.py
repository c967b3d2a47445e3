# SPDX-License-Identifier: BSD-2-Clause
"""DDR3 at 1:4 on Artix-7, as the boards with that pair have it."""

from mixpe_boards.board import Board


class Artix7Ddr3Board(Board):
    """A board whose 16-bit DDR3 gives a native port of 128 bits."""

    def add_ddr3(self, soc, module, **phy_options):
        """Add PHY and controller; `module` is a class of `litedram.modules`."""
        from litedram.phy import A7DDRPHY
        soc.ddrphy = A7DDRPHY(soc.platform.request("ddram"), memtype="DDR3", nphases=4, sys_clk_freq=self.clock_hz,
            **phy_options)
        soc.add_sdram("sdram", phy=soc.ddrphy, module=module(self.clock_hz, "1:4"), l2_cache_size=0)
