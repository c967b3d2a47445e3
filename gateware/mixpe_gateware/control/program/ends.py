# SPDX-License-Identifier: BSD-2-Clause
"""How jobs and records ended: the host's jobs go on to the ledger, of records the first that failed is known."""

from litex.gen import LiteXModule
from litex.soc.interconnect import stream
from migen import Cat, If, Mux, Signal

from mixpe_gateware.contract.jobs import JobCode
from mixpe_gateware.contract.program.records import RECORDS_MAX

AHEAD = 8  # records that an engine can have at once


class RecordEnds(LiteXModule):
    """Take what the engines say, an end a cycle, the first engine's first.

    Which record an engine ends is told by a FIFO of numbers, since each ends its own in order. The first that failed is
    the first in the program, whoever was the first in time.

    Parameters
    ----------
    engines : list of Engine

    Attributes
    ----------
    program : Signal(), in
        What ends are records.
    number : Signal(max=RECORDS_MAX + 1), in, with begin : list of Signal(), in
        Strobes: an engine gets this record.
    room : list of Signal(), out
        It may get one.
    refuse : Signal(), in, with refused_code : Signal(4), in
        Record `number`, the next one, is one that no engine may have.
    clear : Signal(), in
        Strobe: forget how records ended.
    ends : list of Signal(), out
        Strobes: an engine ended something.
    source : Endpoint([("code", 4), ("start", 32)]), out
        Jobs of the host that ended; the first engine's.
    failed : Signal(), out
        From the cycle after an end that is not OK.
    code : Signal(4), record : Signal(max=RECORDS_MAX + 1), out
        Of the first of these; 2 cycles after the last end.
    """

    def __init__(self, engines):
        self.program = Signal()
        self.number  = Signal(max=RECORDS_MAX + 1)
        self.begin   = [Signal() for _ in engines]
        self.room    = []
        self.refuse  = Signal()
        self.refused_code = Signal(4)
        self.clear   = Signal()
        self.ends    = [Signal() for _ in engines]
        self.source  = lone = stream.Endpoint([("code", 4), ("start", 32)])
        self.failed  = Signal()
        self.code    = Signal(4)
        self.record  = Signal.like(self.number)

        # # #

        first = engines[0].source
        self.comb += [
            lone.valid.eq(first.valid & ~self.program),
            lone.code.eq(first.code),
            lone.start.eq(first.start),
        ]
        self.numbers = []
        code, number, others = Signal(4), Signal.like(self.number), 0
        for index, (engine, begin, end) in enumerate(zip(engines, self.begin, self.ends, strict=True)):
            numbers = stream.SyncFIFO([("number", len(self.number))], AHEAD)
            self.add_module(name=f"numbers_{index}", module=numbers)
            self.numbers.append(numbers.source)
            self.room.append(numbers.sink.ready)
            self.comb += [
                numbers.sink.valid.eq(begin & self.program),
                numbers.sink.number.eq(self.number),
                numbers.source.ready.eq(end & self.program),
                engine.source.ready.eq(Mux(self.program, ~others, lone.ready if index == 0 else 0)),
                end.eq(engine.source.valid & engine.source.ready),
                If(end,
                    code.eq(engine.source.code),
                    number.eq(numbers.source.number),
                ),
            ]
            others = others | engine.source.valid

        # What was handed out goes before what was not; it may still fail. ---------------------------------------------
        fails  = Signal()
        late   = Signal()
        known  = Signal()
        late_code, late_number = Signal(4), Signal.like(number)
        self.comb += fails.eq(self.program & (Cat(*self.ends) != 0) & (code != JobCode.OK))
        self.sync += [
            late.eq(fails),
            late_code.eq(code),
            late_number.eq(number),
            If(fails | self.refuse, self.failed.eq(1)),
            If(late & (~known | (late_number < self.record)),
                known.eq(1),
                self.code.eq(late_code),
                self.record.eq(late_number),
            ).Elif(self.refuse & ~known & ~late,
                known.eq(1),
                self.code.eq(self.refused_code),
                self.record.eq(self.number),
            ),
            If(self.clear, self.failed.eq(0), known.eq(0)),
        ]


class OldestRecord(LiteXModule):
    """The smallest number that an engine has, or the next one, some cycles ago: a register for each engine.

    Parameters
    ----------
    numbers : list of Endpoint([("number", …)])
        What each engine ends next.

    Attributes
    ----------
    following : Signal(max=RECORDS_MAX + 1), in
        The record that is handed out next.
    oldest : Signal(max=RECORDS_MAX + 1), out
    """

    def __init__(self, numbers):
        self.following = smallest = Signal(max=RECORDS_MAX + 1)

        # # #

        for held in numbers:
            before, smallest = smallest, Signal.like(self.following)
            self.sync += smallest.eq(Mux(held.valid & (held.number < before), held.number, before))
        self.oldest = smallest
