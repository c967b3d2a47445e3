# SPDX-License-Identifier: BSD-2-Clause
"""What a proof is made of: a block whose ports nobody drives, what may be assumed of these, and what then holds."""

from functools import reduce
from operator import and_

from litex.gen import LiteXModule
from migen import ClockDomain, Signal


class Claim(LiteXModule):
    """In every cycle in which all assumptions have held so far, all assertions hold; and `seen` can happen.

    A claim whose assumptions exclude each other would hold of any design: so something is named that must be possible.

    Attributes
    ----------
    free : set of Signal
        Inputs of the proof: any value in any cycle.
    holds, assumed, seen : Signal(), out
    """

    def __init__(self):
        self.cd_sys  = ClockDomain()
        self.free    = {self.cd_sys.clk, self.cd_sys.rst}
        self.holds   = Signal(name_override="holds")
        self.assumed = Signal(name_override="assumed")
        self.seen    = Signal(name_override="seen")
        self.assertions, self.assumptions = [], []

    def do_finalize(self):
        """Join what was said."""
        self.comb += [
            self.holds.eq(reduce(and_, self.assertions)),
            self.assumed.eq(reduce(and_, self.assumptions, 1)),
        ]

    def assume(self, *conditions):
        """Leave out runs in which one of these does not hold in some cycle."""
        self.assumptions += conditions

    def check(self, *conditions):
        """Each is to hold in every cycle."""
        self.assertions += conditions

    def symbol(self, bits, name):
        """A value that is any at first and then stays: what holds of it holds of every value."""
        value  = Signal(bits, name_override=name)
        before = Signal(bits)
        later  = Signal()
        self.free.add(value)
        self.sync += [before.eq(value), later.eq(1)]
        self.assume(~later | (value == before))
        return value

    def feed(self, endpoint):
        """Entries come when they like: one that was offered stays until it is taken."""
        self.free |= {endpoint.valid, endpoint.first, endpoint.last, *endpoint.payload.flatten()}
        held = Signal()
        self.sync += held.eq(endpoint.valid & ~endpoint.ready)
        self.assume(~held | endpoint.valid)
        for field in (endpoint.first, endpoint.last, *endpoint.payload.flatten()):
            before = Signal(len(field))
            self.sync += before.eq(field)
            self.assume(~held | (field == before))

    def drain(self, endpoint):
        """Entries are taken when anybody likes; here too, one that was offered must stay."""
        self.free.add(endpoint.ready)
        held = Signal()
        self.sync += held.eq(endpoint.valid & ~endpoint.ready)
        self.check(~held | endpoint.valid)
        for field in endpoint.payload.flatten():
            before = Signal(len(field))
            self.sync += before.eq(field)
            self.check(~held | (field == before))

    def count(self, event, bits):
        """How often something has happened before this cycle."""
        total = Signal(bits)
        self.sync += total.eq(total + event)
        return total
