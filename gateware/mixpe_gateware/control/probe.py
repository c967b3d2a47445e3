# SPDX-License-Identifier: BSD-2-Clause
"""A bare LiteDRAM DMA reader, to measure what the memory itself can give.

It reads sequential addresses and throws the data away: the ceiling that the weight stream is held against, in the same
SoC and the same simulation.
"""

from litedram.frontend.dma import LiteDRAMDMAReader
from litex.gen import LiteXModule
from litex.soc.interconnect.csr import CSRStatus, CSRStorage
from migen import FSM, If, NextState, NextValue, Signal

from mixpe_gateware.contract.registers import PROBE, PROBE_BANK


class BareReader(LiteXModule):
    """`beats` sequential reads from beat 0; counts the cycles from the first request to the last answer.

    Attributes
    ----------
    busy : Signal(), out
    """

    def __init__(self, port, *, fifo_depth=64):
        self.busy = Signal()
        csrs = {}
        for register in PROBE:
            kind = CSRStorage if register.access == "rw" else CSRStatus
            csrs[register.name] = csr = kind(32, name=register.name, description=register.text)
            setattr(self, "_" + register.name, csr)

        # # #

        self.reader = reader = LiteDRAMDMAReader(port, fifo_depth=fifo_depth, fifo_buffered=True)
        beats, cycles = csrs["beats"], csrs["cycles"].status
        asked, answered = Signal(32), Signal(32)
        self.comb += [
            reader.sink.address.eq(asked),
            reader.source.ready.eq(1),
            csrs["running"].status.eq(self.busy),
        ]
        self.fsm = fsm = FSM(reset_state="IDLE")
        fsm.act("IDLE",
            If(beats.re,
                NextValue(asked, 0),
                NextValue(answered, 0),
                NextValue(cycles, 0),
                NextState("READ"),
            ),
        )
        fsm.act("READ",
            self.busy.eq(1),
            NextValue(cycles, cycles + 1),
            reader.sink.valid.eq(asked != beats.storage),
            If(reader.sink.valid & reader.sink.ready, NextValue(asked, asked + 1)),
            If(reader.source.valid, NextValue(answered, answered + 1)),
            If(answered == beats.storage, NextState("IDLE")),
        )


def add_probe(soc):
    """Add a bare reader to a SoC with LiteDRAM; it takes CSR bank `contract.registers.PROBE_BANK`."""
    soc.mixpe_probe = BareReader(soc.sdram.crossbar.get_port(mode="read"))
    soc.csr.add("mixpe_probe", n=PROBE_BANK)
    return soc.mixpe_probe
