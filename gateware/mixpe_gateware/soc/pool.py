# SPDX-License-Identifier: BSD-2-Clause
"""A memory that is not LiteDRAM's, on the bus of a SoC."""

from litedram.frontend.wishbone import LiteDRAMWishbone2Native
from litex.gen import LiteXModule
from litex.soc.integration.soc import SoCRegion
from litex.soc.interconnect import wishbone

MAIN_RAM = 0x4000_0000  # where LiteX puts it


class _OnTheBus(LiteXModule):
    """A port of the memory as a Wishbone slave of 32 bits."""

    def __init__(self, pool, origin):
        self.bus  = wishbone.Interface(data_width=32, address_width=32, addressing="word")
        slim      = wishbone.Interface(data_width=pool.data_width, address_width=32, addressing="word")
        self.converter = wishbone.Converter(self.bus, slim)
        self.bridge    = LiteDRAMWishbone2Native(slim, pool.get_port(), base_address=origin)


def add_pool(soc, pool, *, origin=MAIN_RAM):
    """Make a memory with native ports the region ``main_ram`` of a SoC, where LiteX's `add_sdram` puts LiteDRAM.

    Parameters
    ----------
    soc : SoC
    pool : module
        With `get_port(mode)`, `data_width` (a power of two) and `address_width`, in words of `data_width`; ports behave
        as LiteDRAM's native ones.
    origin : int
        On the bus.
    """
    adapter = _OnTheBus(pool, origin)
    soc.add_module(name="pool", module=pool)
    soc.add_module(name="pool_bus", module=adapter)
    size = pool.data_width//8 << pool.address_width
    soc.bus.add_slave("main_ram", adapter.bus, SoCRegion(origin=origin, size=size, mode="rwx"))
