# SPDX-License-Identifier: BSD-2-Clause
"""LiteDRAM's grants to its banks, with each bank's own signals only. For controllers of one command a cycle (SDR)."""

from litedram.core.bankmachine import BankMachine
from litex.gen import LiteXModule

from mixpe_gateware.contract.errors import ConfigError


class LocalGrants(LiteXModule):
    """Tell each bank of a controller that its command is taken, as LiteDRAM does, in fewer steps.

    There the command that is chosen among all banks says whether there is one and whether it may go now, and the answer
    comes back to the bank: each bank's state reaches each other bank's command FIFO in one cycle, the longest path of a
    SoC at 80 MHz on ECP5. But a bank that is chosen knows both by itself, since only what may go now is offered:

        taken  =  chosen & offered & (tCCD has passed) & (the controller reads or writes)

    Equal to LiteDRAM's in every cycle, which `tests/sim/test_grants.py` proves.

    Parameters
    ----------
    controller : LiteDRAMController
        Not finalised yet. Its own assignments come first, so these hold: add this module after it.

    Raises
    ------
    ConfigError
        The controller issues several commands a cycle, or is not LiteDRAM's.
    """

    def __init__(self, controller):
        mux    = controller.multiplexer
        choice = mux.choose_req
        banks  = [module for _, module in controller._submodules if isinstance(module, BankMachine)]
        if controller.settings.phy.nphases != 1:
            raise ConfigError(f"grants are for one command a cycle, not {controller.settings.phy.nphases}")
        if len(banks) != 2**len(choice.cmd.ba):
            raise ConfigError(f"the controller has {len(banks)} banks for {len(choice.cmd.ba)} bits; another LiteDRAM?")

        # # #

        at_work = mux.fsm.ongoing("READ") | mux.fsm.ongoing("WRITE")
        for index, bank in enumerate(banks):
            request   = bank.cmd
            activates = request.ras & ~request.cas & ~request.we
            command   = request.is_cmd & choice.want_cmds & (~activates | choice.want_activates)
            access    = (request.is_read == choice.want_reads) & (request.is_write == choice.want_writes)
            chosen    = choice.cmd.ba == index  # it is the bank's number
            self.comb += request.ready.eq(chosen & request.valid & (command | access) & mux.tccdcon.ready & at_work)
