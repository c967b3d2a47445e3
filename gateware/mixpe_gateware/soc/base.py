# SPDX-License-Identifier: BSD-2-Clause
"""The SoC around the accelerator: memory, host link, registers, and a CPU only where one is asked for.

    host ── link ──► bus ──┬─► registers of the accelerator (CSR bank 16)
                           └─► memory ◄── accelerator

A SoC is made in this order: `BaseSoC.__init__`, the memory (`add_sdram` or `add_pool`), `settle_memory`, a link
(`add_link` or `add_etherbone`), `add_accelerator`. What differs between simulation and boards is the platform, the
clocks, the memory and what is at the other end of the link.
"""

from litex.soc.integration.soc_core import SoCCore

from mixpe_gateware.contract.errors import ConfigError
from mixpe_gateware.contract.memory_init import INIT_BANK
from mixpe_gateware.contract.registers import CSR_BASES
from mixpe_gateware.dram import InitRegisters, add_dram_init, add_host_init
from mixpe_gateware.integration import add_mixpe
from mixpe_gateware.link.attach import add_link
from mixpe_gateware.soc.pool import add_pool

CSR_BASE = CSR_BASES[0]  # with and without a CPU, so that the driver finds the registers

WITHOUT_CPU = {
    "cpu_type": None, "with_timer": False, "with_uart": False, "with_ctrl": False, "integrated_rom_size": 0,
    "integrated_sram_size": 0,
}
WITH_CPU = {
    "with_timer": True, "with_uart": True, "with_ctrl": True, "integrated_rom_size": 0x20000,
    "integrated_sram_size": 0x2000,
}


class BaseSoC(SoCCore):
    """A LiteX SoC that a MixPE accelerator and a host link can be added to.

    Parameters
    ----------
    platform : GenericPlatform
    clock_hz : int
    crg : module
        With the clock domains.
    ident : str
    cpu_type : str, optional
        For instance ``"vexriscv"``, with LiteX's BIOS.
    console : str
        LiteX's name of the BIOS's UART, for instance ``"stub"``, which goes nowhere.
    **options
        Further ones of LiteX's `SoCCore`, which win.

    Attributes
    ----------
    ready : Signal() or 1, out
        The memory is initialised.
    """

    def __init__(self, platform, clock_hz, crg, *, ident, cpu_type=None, console="stub", **options):
        self.mem_map = dict(SoCCore.mem_map)  # SoCCore would write into its class
        self.crg     = crg
        chosen = {"ident": ident, **WITHOUT_CPU}
        if cpu_type is not None:
            chosen.update(WITH_CPU, cpu_type=cpu_type, cpu_variant="standard", uart_name=console)
        SoCCore.__init__(self, platform, clock_hz, **{**chosen, **options})
        self.mem_map["csr"] = CSR_BASE
        self.ready = 1
        self._pool = None

    def add_pool(self, pool):
        """Use a memory with LiteDRAM-like ports (`get_port`, `data_width`, `address_width`) instead of LiteDRAM."""
        add_pool(self, pool)
        self._pool = pool

    def settle_memory(self, by, *, speedup=1, memtest_bytes=None):
        """See to it that LiteDRAM's memory gets ready; `ready` says when.

        Parameters
        ----------
        by : str
            ``"host"``: over the link, SDR only. ``"cpu"``: the BIOS trains it. ``"gateware"``: a sequencer, where no
            training is needed.
        speedup : int
            Divides the gateware's waits, for models.
        memtest_bytes : int, optional
            That the BIOS tests, where there is a CPU.
        """
        if by == "host":
            self.ready = add_host_init(self)
        elif by == "gateware":
            self.ready = add_dram_init(self, speedup=speedup)
        elif by == "cpu":
            self.ddrctrl = InitRegisters()
            self.csr.add("ddrctrl", n=INIT_BANK)
            self.ready = self.ddrctrl.ready
        else:
            raise ConfigError(f"the memory gets ready by 'host', 'cpu' or 'gateware', not {by!r}")
        if memtest_bytes is not None:
            self.add_constant("MEMTEST_DATA_SIZE", memtest_bytes)
            self.add_constant("MEMTEST_ADDR_SIZE", memtest_bytes)

    def add_link(self, phy, **options):
        """Add the link bridge behind a PHY; options and result as of `mixpe_gateware.link.add_link`."""
        return add_link(self, phy, ready=self.ready, **options)

    def add_etherbone(self, phy, **options):
        """Add an Etherbone bridge behind a PHY: LiteX's, with a gate that keeps broken and doubled packets from it."""
        from mixpe_gateware.link.etherbone import add_etherbone
        return add_etherbone(self, phy, **options)

    def add_accelerator(self, config, *, target="portable"):
        """Add the accelerator on the memory that the SoC has.

        Returns
        -------
        MixPE
        """
        return add_mixpe(self, config, memory=self._pool, ready=self.ready, target=target)
