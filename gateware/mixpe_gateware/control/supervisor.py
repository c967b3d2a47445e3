# SPDX-License-Identifier: BSD-2-Clause
"""Who sees jobs to their end: as the engines say, or all at once when the host aborts them or nothing moves."""

from litex.gen import LiteXModule
from litex.soc.interconnect import stream
from migen import FSM, If, Mux, NextState, NextValue, Signal

from mixpe_gateware.contract.jobs import WATCHDOG_CYCLES, JobCode

SETTLE_CYCLES = 15  # for which the memory must be quiet before the engines are reset


class Supervisor(LiteXModule):
    """End jobs, and abort them.

    An abort stops new reads and writes, awaits those under way, resets the engines and ends every posted job. So does
    the watchdog, and ends the oldest job with its own code. When even the reads and writes under way do not end, a late
    answer could be taken for another's: then nothing is run any more, every job ends with the watchdog's code, until
    the SoC is reset.

    Parameters
    ----------
    watchdog_cycles : int
        Without progress while a job is posted; a power of two.

    Attributes
    ----------
    sink : Endpoint([("code", 4), ("start", 32)]), in
        Jobs that ended, in the order of posting.
    source : Endpoint([("code", 4), ("cycles", 32)]), out
        To the ledger, which always takes.
    now : Signal(32), out
        Free-running time stamp in cycles.
    reset : Signal(), in
        Strobe: abort everything.
    progress : Signal(), in
        An engine did something.
    quiet : Signal(), in
        No engine has anything on its way from or to memory.
    busy, known : Signal(), in
        Of the ledger.
    aborting : Signal(), out
        Nothing new may begin.
    dead : Signal(), out
        The memory does not answer: jobs are taken and ended.
    clear : Signal(), out
        Strobe: the engines are to be reset.
    """

    def __init__(self, watchdog_cycles=WATCHDOG_CYCLES):
        self.sink     = sink   = stream.Endpoint([("code", 4), ("start", 32)])
        self.source   = source = stream.Endpoint([("code", 4), ("cycles", 32)])
        self.now      = Signal(32)
        self.reset    = Signal()
        self.progress = Signal()
        self.quiet    = Signal()
        self.busy     = Signal()
        self.known    = Signal()
        self.aborting = Signal()
        self.dead     = Signal()
        self.clear    = Signal()

        # # #

        self.sync += self.now.eq(self.now + 1)
        self.fsm = fsm = FSM(reset_state="RUN")
        wait    = Signal(max=SETTLE_CYCLES + 1)
        still   = Signal(max=2*watchdog_cycles)  # cycles without progress
        expired = still[-1]
        by_dog  = Signal()                       # the oldest job ends with the watchdog's code
        moved   = Signal()                       # progress comes from the writer's memory: it has a cycle
        self.sync += [
            moved.eq(self.progress),
            If(~self.busy | moved | expired, still.eq(0)).Else(still.eq(still + 1)),
        ]
        fsm.act("RUN",
            sink.ready.eq(1),
            source.valid.eq(sink.valid),
            source.code.eq(sink.code),
            source.cycles.eq(self.now - sink.start),
            NextValue(by_dog, expired),
            If(self.reset | expired, NextState("DRAIN")),
        )
        fsm.act("DRAIN",
            # Answers that are on their way from memory are awaited and thrown away; writes under way end.
            self.aborting.eq(1),
            NextValue(wait, 0),
            If(expired, NextState("DEAD")),
            If(self.quiet,
                NextValue(wait, wait + 1),
                If(wait == SETTLE_CYCLES, NextState("CLEAR")),
            ),
        )
        fsm.act("CLEAR",
            self.aborting.eq(1),
            self.clear.eq(1),
            NextState("ABORT"),
        )
        fsm.act("ABORT",
            self.aborting.eq(1),
            source.valid.eq(self.known),
            source.code.eq(Mux(by_dog, JobCode.WATCHDOG, JobCode.ABORTED)),
            If(source.valid, NextValue(by_dog, 0)),
            If(~self.busy, NextState("RUN")),
        )
        fsm.act("DEAD",
            self.aborting.eq(1),
            self.dead.eq(1),
            source.valid.eq(self.known),
            source.code.eq(JobCode.WATCHDOG),
        )
