# SPDX-License-Identifier: BSD-2-Clause
"""Initialise a DRAM in gateware, so that a SoC without a CPU has its memory ready by itself."""

from litedram.init import get_sdram_phy_init_sequence
from litex.gen import LiteXModule
from migen import Case, If, Mux, Replicate, Signal

from mixpe_gateware.contract.errors import ConfigError
from mixpe_gateware.dram.grants import LocalGrants
from mixpe_gateware.dram.hold import hold_commands

# LiteDRAM's sequences are written for a CPU whose delay loop turns at most once in 10 ns and which takes long between
# two commands. In gateware both have to be said.
DELAY_UNIT_S = 10e-9
GAP_S        = 500e-9  # between two commands: more than any tRP, tMRD or tRFC up to 8 Gbit


class Step:
    """One step of an initialisation: control lines that stay, or a command of one cycle, then a wait."""

    def __init__(self, address, bank, flags, delay_s):
        self.is_control = "DFII_CONTROL" in flags
        self.names      = {name.split("_", 2)[2] for name in flags.split("|")}  # DFII_COMMAND_RAS is RAS
        self.address    = address
        self.bank       = bank
        self.delay_s    = delay_s


def init_steps(phy_settings, timing_settings, speedup=1):
    """The steps of LiteDRAM's initialisation sequence for a memory, its waits divided by `speedup`: list of Step."""
    sequence, _ = get_sdram_phy_init_sequence(phy_settings, timing_settings)
    return [Step(address, bank, flags, max(delay*DELAY_UNIT_S/speedup, GAP_S))
            for _, address, bank, flags, delay in sequence]


class DRAMInit(LiteXModule):
    """Play an initialisation sequence on a DFI interface, once after reset.

    For memories whose PHY needs no training (SDR, LPDDR at low rates, LiteDRAM's models of all types): training
    compares what was written with what is read, and takes a CPU.

    Parameters
    ----------
    dfi : litedram.phy.dfi.Interface
        The commands go to phase 0.
    steps : list of Step
    clock_hz : int

    Attributes
    ----------
    done : Signal(), out
    cycles : int
        From reset to `done`.
    """

    def __init__(self, dfi, steps, clock_hz):
        self.done = Signal()

        # # #

        waits = [max(1, round(step.delay_s*clock_hz + 0.5)) for step in steps]
        self.cycles = sum(waits) + len(steps)
        index   = Signal(max=len(steps) + 1)
        count   = Signal(max=max(waits) + 1)
        cke     = Signal()
        odt     = Signal()
        reset_n = Signal()
        issue   = Signal()  # first cycle of a step
        self.comb += [self.done.eq(index == len(steps)), issue.eq((count == 0) & ~self.done)]
        length  = Signal(max=max(waits) + 1)
        self.sync += [
            If(~self.done,
                If(count == length,
                    count.eq(0),
                    index.eq(index + 1),
                ).Else(
                    count.eq(count + 1),
                )
            )
        ]
        command  = dfi.phases[0]
        cases    = {}
        controls = {}
        for number, (step, wait) in enumerate(zip(steps, waits, strict=True)):
            cases[number] = [length.eq(wait)]
            if step.is_control:
                controls[number] = [cke.eq("CKE" in step.names), odt.eq("ODT" in step.names),
                                    reset_n.eq("RESET_N" in step.names)]
            else:
                cases[number] += [
                    command.address.eq(step.address),
                    command.bank.eq(step.bank),
                    command.cs_n.eq(Mux(issue, 0, 2**len(command.cs_n) - 1)),
                    *[getattr(command, name.lower() + "_n").eq(Mux(issue, name not in step.names, 1))
                      for name in ("RAS", "CAS", "WE")],
                ]
        self.comb += Case(index, cases)
        self.sync += If(issue, Case(index, controls))
        for phase in dfi.phases:
            self.comb += [
                phase.cke.eq(Replicate(cke, len(phase.cke))),
                phase.odt.eq(Replicate(odt, len(phase.odt))),
                phase.reset_n.eq(reset_n),
            ]


def add_dram_init(soc, *, name="dram_init", speedup=1):
    """Let gateware initialise the SoC's LiteDRAM after reset. Accesses wait until that is done.

    Call it between `add_sdram` and the SoC's finalisation.

    Parameters
    ----------
    soc : SoC
        With `soc.sdram`, a LiteDRAMCore.
    name : str
        Of the module.
    speedup : int
        Divides the waits for power and clocks to settle. For models, which have neither.

    Returns
    -------
    Signal()
        High when the memory is ready.

    Raises
    ------
    ConfigError
        The SoC has no LiteDRAM, or its PHY needs training.
    """
    if not hasattr(soc, "sdram"):
        raise ConfigError("add the memory first: the SoC has no LiteDRAM")
    controller = soc.sdram.controller
    phy = controller.settings.phy
    if phy.read_leveling or phy.write_leveling:
        raise ConfigError(f"the PHY {phy.phytype} needs training, which takes a CPU")
    sequencer = DRAMInit(soc.sdram.dfii.ext_dfi, init_steps(phy, controller.settings.timing, speedup), soc.sys_clk_freq)
    soc.comb += soc.sdram.dfii.ext_dfi_sel.eq(~sequencer.done)
    hold_commands(soc, ~sequencer.done)
    if phy.nphases == 1:
        soc.add_module(name=f"{name}_grants", module=LocalGrants(controller))
    soc.add_module(name=name, module=sequencer)
    return sequencer.done
