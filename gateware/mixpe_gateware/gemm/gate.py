# SPDX-License-Identifier: BSD-2-Clause
"""Tickets that wait until somebody lets them pass."""

from litex.gen import LiteXModule
from litex.soc.interconnect import stream
from migen import Signal


class TicketGate(LiteXModule):
    """Show a stage its next ticket once there was a `let` for it.

    Latency 1 cycle from `let`.

    Parameters
    ----------
    layout
        Of the tickets.
    most : int
        Most that were let and not taken.

    Attributes
    ----------
    let : Signal(), in
        Strobe: one more ticket may pass.
    sink : Endpoint(layout), in
    source : Endpoint(layout), out
    """

    def __init__(self, layout, most):
        self.let    = Signal()
        self.sink   = sink   = stream.Endpoint(layout)
        self.source = source = stream.Endpoint(layout)

        # # #

        count = Signal(max=most + 1)
        may   = Signal()
        self.comb += [
            may.eq(count != 0),
            sink.connect(source, omit={"valid", "ready"}),
            source.valid.eq(sink.valid & may),
            sink.ready.eq(source.ready & may),
        ]
        self.sync += count.eq(count + self.let - (source.valid & source.ready))
