# SPDX-License-Identifier: BSD-2-Clause
"""DDR3 at 1:2 on ECP5, as the boards with that pair have it."""

from mixpe_boards.board import Board


class Ecp5Ddr3Board(Board):
    """A board whose 16-bit DDR3 gives a native port of 128 bits, a beat every second cycle."""

    def add_ddr3(self, soc, module, pads=None, **phy_options):
        """Add PHY and controller; `module` is a class of `litedram.modules`.

        Returns
        -------
        ECP5DDRPHY
        """
        from litedram.phy import ECP5DDRPHY

        from mixpe_gateware.dram.refreshtime import with_refresh_time
        if pads is None:
            pads = soc.platform.request("ddram")
        soc.ddrphy = phy = ECP5DDRPHY(pads, sys_clk_freq=self.clock_hz, **phy_options)
        soc.comb += [soc.crg.stop.eq(phy.init.stop), soc.crg.reset.eq(phy.init.reset)]
        soc.add_sdram("sdram", phy=phy, module=with_refresh_time(module)(self.clock_hz, "1:2"), l2_cache_size=0)
        return phy

    def add_rgmii_etherbone(self, soc, *, delays, number=None, **options):
        """Add an Etherbone bridge behind the board's RGMII PHY."""
        from liteeth.phy.ecp5rgmii import LiteEthPHYRGMII
        soc.ethphy = LiteEthPHYRGMII(clock_pads=soc.platform.request("eth_clocks", number),
            pads=soc.platform.request("eth", number), **delays)
        soc.add_etherbone(phy=soc.ethphy, **options)
