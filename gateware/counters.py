# SPDX-License-Identifier: BSD-2-Clause
"""64-bit event counters that are copied to their registers all in one cycle."""

from litex.gen import LiteXModule
from migen import If, Signal

from mixpe.gateware.spec.registers import COUNTERS


class Counters(LiteXModule):
    """Count cycles in which events are high.

    Attributes
    ----------
    events : dict of name: Signal(2), in
        How often the event happened in this cycle.
    dropped : Signal(), in
        A job was dropped by a full queue: counts as an error.
    clear, latch : Signal(), in
    values : dict of name: Signal(64), out
        As of the last `latch`.
    """

    def __init__(self):
        self.events  = {name: Signal(2, name=f"event_{name}") for name in COUNTERS}
        self.values  = {name: Signal(64, name=f"value_{name}") for name in COUNTERS}
        self.dropped = Signal()
        self.clear   = Signal()
        self.latch   = Signal()

        # # #

        for name in COUNTERS:
            count = Signal(64, name=f"count_{name}")
            self.sync += [
                count.eq(count + self.events[name] + (self.dropped if name == "errors" else 0)),
                If(self.latch, self.values[name].eq(count)),
                If(self.clear, count.eq(0)),
            ]
