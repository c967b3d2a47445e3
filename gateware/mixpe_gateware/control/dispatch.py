# SPDX-License-Identifier: BSD-2-Clause
"""Dispatch: each descriptor goes to the engine of its opcode, one with a fence when all before it have ended.

    queue ─► op word ─┬─► engine of opcode 1 ─┬─► ended jobs, in the order of posting
                      └─► …                   ┘
"""

from litex.gen import LiteXModule
from litex.soc.interconnect import stream
from migen import Case, If, Signal, bits_for

from mixpe_gateware.contract.descriptor import INDEX, SLOT_WORDS, WORDS

OP = INDEX["op"]


class Dispatcher(LiteXModule):
    """Hand descriptors to engines, and put what these say of ended jobs back into one order.

    Latency 2 cycles from the queue's `valid` to an engine's, which earlier jobs hide. Descriptors are handed out in
    order, so one that waits at a fence holds all behind it. What no engine has goes to the first, which refuses it.

    Parameters
    ----------
    engines : dict of opcode: Engine
    depth : int
        Most jobs that are posted and not collected.

    Attributes
    ----------
    valid : Signal(), in; index : Signal(max=SLOT_WORDS), out; value : Signal(32), in; pop : Signal(), out
        Of a `JobQueue`.
    source : Endpoint([("code", 4), ("start", 32)]), out
        Jobs that ended, in the order of posting.
    """

    def __init__(self, engines, depth):
        self.valid  = Signal()
        self.index  = Signal(max=SLOT_WORDS)
        self.value  = Signal(32)
        self.pop    = Signal()
        self.source = source = stream.Endpoint([("code", 4), ("start", 32)])

        # # #

        # The op word, which the queue shows while no engine reads. ----------------------------------------------------
        opcode, fence = WORDS[OP].field("opcode"), WORDS[OP].field("fence")
        count  = len(engines)
        known  = Signal()                       # what follows is of the oldest descriptor
        fenced = Signal()
        chosen = Signal(max=max(2, count))
        given  = Signal()                       # an engine has it
        give   = Signal()
        ended  = Signal()
        under_way = Signal(bits_for(depth))     # jobs that were given and have not ended
        self.comb += [
            give.eq(known & ~given & ~(fenced & (under_way != 0))),
            ended.eq(source.valid & source.ready),
        ]
        self.sync += [
            known.eq(self.valid & ~self.pop),
            under_way.eq(under_way + give - ended),
            If(~given,
                fenced.eq(self.value[fence.lsb]),
                Case(self.value[opcode.lsb:opcode.msb + 1], {
                    **{int(code): chosen.eq(index) for index, code in enumerate(engines)},
                    "default": chosen.eq(0),
                }),
            ),
            If(give, given.eq(1)),
            If(self.pop, given.eq(0)),
        ]
        self.comb += self.index.eq(OP)
        for index, engine in enumerate(engines.values()):
            self.comb += [
                engine.valid.eq(given & (chosen == index)),
                engine.value.eq(self.value),
                If(engine.valid,
                    self.index.eq(engine.index),
                    self.pop.eq(engine.pop),
                ),
            ]

        # Ended jobs. --------------------------------------------------------------------------------------------------
        sources = [engine.source for engine in engines.values()]
        if count == 1:
            self.comb += sources[0].connect(source)
            return
        self.order = order = stream.SyncFIFO([("engine", bits_for(count - 1))], depth)
        self.comb += [
            order.sink.valid.eq(give),
            order.sink.engine.eq(chosen),
            order.source.ready.eq(ended),
        ]
        for index, ends in enumerate(sources):
            self.comb += If(order.source.valid & (order.source.engine == index), ends.connect(source))
