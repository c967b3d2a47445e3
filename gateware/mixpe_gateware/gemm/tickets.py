# SPDX-License-Identifier: BSD-2-Clause
"""Tickets on their way from the checker to the stages of the engine."""

from functools import reduce
from operator import and_

from litex.gen import LiteXModule
from litex.soc.interconnect import stream
from migen import Signal

from mixpe_gateware.stream.fanout import register_stage

TICKETS_AHEAD = 4  # that wait for a stage, besides the one in its register


class TicketHandout(LiteXModule):
    """Give each stage all tickets in order, and of each the fields that its `sink` has.

    Deep configurations: a ticket is handed out when every stage has a place for it, so that stages run ahead of each
    other. Shallow ones: one job at a time, all stages see the checker's registers until the last of them is done.

    Parameters
    ----------
    config : Config
    source : Endpoint(ticket_layout(…)), in
    sinks : dict of name: Endpoint, out
        One a stage; a stage takes its ticket when it is done with it.
    """

    def __init__(self, config, source, sinks):
        (self._share if config.is_shallow else self._hand_out)(source, sinks)

    def _share(self, source, sinks):
        over = Signal()
        done = []
        for sink in sinks.values():
            served = Signal()
            passed = Signal()
            self.comb += [
                source.connect(sink, keep=_fields(sink)),
                sink.valid.eq(source.valid & ~served),
                passed.eq(served | sink.ready),
            ]
            self.sync += served.eq(source.valid & passed & ~over)
            done.append(passed)
        self.comb += [
            over.eq(reduce(and_, done)),
            source.ready.eq(over),
        ]

    def _hand_out(self, source, sinks):
        fifos = []
        for name, sink in sinks.items():
            layout = sink.description.payload_layout
            fields = _fields(sink)
            # A register in front of each stage, so that no path begins in a FIFO's memory.
            fifo  = stream.SyncFIFO(layout, TICKETS_AHEAD)
            stage = register_stage(layout)
            self.add_module(name=f"waiting_{name}", module=fifo)
            self.add_module(name=f"next_{name}", module=stage)
            self.comb += [
                source.connect(fifo.sink, keep=fields),
                fifo.source.connect(stage.sink),
                stage.source.connect(sink, keep=fields | {"valid", "ready"}),
            ]
            fifos.append(fifo)
        self.comb += [
            source.ready.eq(reduce(and_, [fifo.sink.ready for fifo in fifos])),
            *[fifo.sink.valid.eq(source.valid & source.ready) for fifo in fifos],
        ]


def _fields(sink):
    return {field for field, _ in sink.description.payload_layout}
