# SPDX-License-Identifier: BSD-2-Clause
"""Descriptors to the engines, in order, each when its fences allow.

    host's job or record ─► fences ─┬─► GEMM      ─┐
                                    ├─► VECTOR    ─┼─► ends
                                    └─► ATTENTION ─┘
"""

from functools import reduce
from operator import and_, or_

from litex.gen import LiteXModule
from litex.soc.interconnect import stream
from migen import Array, If, Signal, bits_for

from mixpe_gateware.contract.descriptor import SLOT_WORDS
from mixpe_gateware.contract.jobs import JobCode
from mixpe_gateware.control.program.ends import AHEAD, OldestRecord, RecordEnds
from mixpe_gateware.control.program.patcher import RECORD_LAYOUT


class Issuer(LiteXModule):
    """Hand descriptors to engines; one that waits at a fence holds all behind it.

    Latency 1 cycle from the end of what a fence waits for to the engine's `valid`. The host's jobs go to the first
    engine and their ends to `source`; how records end is kept here.

    The first engine gets a record before its fence, and what the record waits for is known to it by `let`: until then
    it checks the record and reads what none before can have written, a GEMM's weights. What has been handed out so
    when a record before fails is let go too: its results are the session's, and mean nothing.

    Parameters
    ----------
    engines : list of Engine
        The first one with `let : Signal(), in`, a strobe for each descriptor.
    depth : int
        Most jobs of the host that are posted and not collected.

    Attributes
    ----------
    program : Signal(), in
        Descriptors are records. Changes only while `idle`.
    sink : Endpoint(RECORD_LAYOUT), in
        The next descriptor; `ready` strobes when it was read.
    index : Signal(max=SLOT_WORDS), out; value : Signal(32), in
        A word of it, in the next cycle.
    source : Endpoint([("code", 4), ("start", 32)]), out
        Jobs of the host that ended.
    clear : Signal(), in
        Strobe, while `idle`: forget how records ended; the next one is record 1.
    idle : Signal(), out
        All that was handed out has ended.
    failed, code, record
        Of `RecordEnds`; after a failure nothing is begun.
    oldest : Signal(max=RECORDS_MAX + 1), out
        The oldest record that has not ended, some cycles ago; the next one where all have.
    ended : Signal(), out
        Strobe: something ended.
    fenced : Signal(), out
        The next descriptor waits for those before it.
    reading : Signal(), out
        An engine reads the next one's words; it must stay until `ready`.
    """

    def __init__(self, engines, depth):
        self.program = Signal()
        self.sink    = sink = stream.Endpoint(RECORD_LAYOUT)
        self.index   = Signal(max=SLOT_WORDS)
        self.value   = Signal(32)
        self.clear   = Signal()
        self.idle    = Signal()
        self.ended   = Signal()
        self.fenced  = Signal()

        # # #

        self.ends  = ends = RecordEnds(engines)
        self.first = first = OldestRecord(ends.numbers)
        self.source, self.failed, self.code, self.record = ends.source, ends.failed, ends.code, ends.record
        self.oldest = first.oldest
        given   = self.reading = Signal()
        give    = Signal()
        gap     = Signal()                              # words of the next one come now
        here    = Signal()
        at_rest = [Signal(reset=1) for _ in engines]    # has nothing that has not ended
        rest    = reduce(and_, at_rest)
        refused = sink.code != JobCode.OK
        to_first = sink.engine == 0                     # it is the first engine's
        early   = Signal()                              # an engine has it before its fence
        behind_own, behind_others = Signal(), Signal()  # it waits for the first engine; for another one
        popped  = Signal()                              # it was read, and waits at its fence
        let     = engines[0].let
        self.comb += [
            here.eq(sink.valid & ~gap & ~given & ~refused),
            behind_own.eq((sink.fence | sink.after[0]) & ~at_rest[0]),
            behind_others.eq(reduce(or_, [(sink.fence | sink.after[number]) & ~each
                for number, each in enumerate(at_rest) if number])),
            self.fenced.eq((here & (behind_own | behind_others)) | (early & behind_others)),
            give.eq(here & ~behind_own & (to_first | ~behind_others) & ~self.failed
                & (Array(ends.room)[sink.engine] | ~self.program)),
            let.eq((give & to_first & ~behind_others) | (early & (~behind_others | self.failed))),
            self.idle.eq(rest & ~given),
            self.ended.eq(reduce(or_, ends.ends)),
            ends.program.eq(self.program),
            ends.number.eq(sink.index),
            ends.refuse.eq(self.program & sink.valid & refused),
            ends.refused_code.eq(sink.code),
            ends.clear.eq(self.clear),
        ]
        self.sync += [
            gap.eq(sink.ready),
            If(give,
                given.eq(1),
                early.eq(to_first & behind_others),
            ),
            If(let, early.eq(0)),
            If(sink.ready,
                given.eq(0),
                popped.eq(0),
                first.following.eq(sink.index + 1),
            ).Elif(sink.valid & ~gap,
                first.following.eq(sink.index),
            ),
            If(self.clear, first.following.eq(1)),
        ]
        self.comb += If(popped, sink.ready.eq(let))
        self.sync += If(engines[0].pop & early & ~let, popped.eq(1))
        for number, (engine, begin, end, idle) in enumerate(zip(engines, ends.begin, ends.ends, at_rest, strict=True)):
            mine      = sink.engine == number
            under_way = Signal(bits_for(max(depth, AHEAD)))
            self.comb += [
                begin.eq(give & mine),
                engine.valid.eq((give | given) & mine & ~popped),
                engine.value.eq(self.value),
                If(engine.valid,
                    self.index.eq(engine.index),
                    sink.ready.eq(engine.pop & (~early | let)),
                ),
            ]
            self.sync += [
                If(begin & ~end,
                    under_way.eq(under_way + 1),
                    idle.eq(0),
                ).Elif(end & ~begin,
                    under_way.eq(under_way - 1),
                    idle.eq(under_way == 1),
                ),
            ]
