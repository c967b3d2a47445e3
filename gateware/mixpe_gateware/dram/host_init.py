# SPDX-License-Identifier: BSD-2-Clause
"""SDR memory that the host initialises over the link: no CPU, and no logic but two registers."""

from litex.gen import LiteXModule
from litex.soc.interconnect.csr import CSRStatus, CSRStorage

from mixpe_gateware.contract.errors import ConfigError
from mixpe_gateware.contract.memory_init import DFII_BANK, INIT_BANK, sdr_method
from mixpe_gateware.dram.grants import LocalGrants
from mixpe_gateware.dram.hold import hold_commands
from mixpe_gateware.dram.ready_gate import ReadyGate


class InitRegisters(LiteXModule):
    """What the memory's initialisation came to, written by who saw to it: LiteX's BIOS by these names, or the host.

    Parameters
    ----------
    method : int, optional
        What `init_method` says to the host; without one there is no such register.

    Attributes
    ----------
    done : Signal(), out
    ready : Signal(), out
        Done, and not failed. When it fails the error is set first.
    """

    def __init__(self, method=None):
        self.init_done  = CSRStorage(description="The memory is initialised.")
        self.init_error = CSRStorage(description="Training or memory test failed.")
        if method is not None:
            self.init_method = CSRStatus(32, reset=method, description="What the host has to do; see memory_init.")
        self.done  = self.init_done.storage
        self.ready = self.init_done.storage & ~self.init_error.storage


def add_host_init(soc):
    """Let the host initialise the SoC's SDR memory, through LiteDRAM's DFII registers.

    Until that is done the bus reads all ones from the memory and writes nothing, and the accelerator's accesses wait.
    Until the host takes over, the memory's clock enable is low and no command reaches it. Call it between `add_sdram`
    and the SoC's finalisation.

    Parameters
    ----------
    soc : SoC
        With `soc.sdram`, a LiteDRAMCore.

    Returns
    -------
    Signal()
        High when the memory is ready and the controller drives it.

    Raises
    ------
    ConfigError
        The SoC has no LiteDRAM, or its memory is no SDR.
    """
    if not hasattr(soc, "sdram"):
        raise ConfigError("add the memory first: the SoC has no LiteDRAM")
    controller = soc.sdram.controller
    phy = controller.settings.phy
    if phy.memtype != "SDR":
        raise ConfigError(f"the host initialises SDR memory, not {phy.memtype}")
    registers = InitRegisters(sdr_method(phy.cl, phy.nphases))
    soc.add_module(name="ddrctrl", module=registers)
    soc.csr.add("ddrctrl", n=INIT_BANK)
    soc.csr.add("sdram", n=DFII_BANK)
    dfii  = soc.sdram.dfii
    ready = registers.ready & dfii._control.fields.sel
    soc.comb += dfii.ext_dfi_sel.eq(~registers.done)  # nobody drives that: clock enable low, no command
    hold_commands(soc, ~ready)
    gate = ReadyGate(soc.bus.slaves["main_ram"], ready)
    soc.add_module(name="main_ram_gate", module=gate)
    soc.bus.slaves["main_ram"] = gate.bus
    if phy.nphases == 1:
        soc.add_module(name="dram_grants", module=LocalGrants(controller))
    return ready
