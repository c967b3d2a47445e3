# SPDX-License-Identifier: BSD-2-Clause
"""Elements that set out, one after the other: groups of some length each."""

from litex.gen import LiteXModule
from migen import If, Signal

from mixpe_gateware.contract.config import HEAD_LIMIT
from mixpe_gateware.contract.program.records import CHOICE_BITS
from mixpe_gateware.contract.widths import log2

GROUP_BITS = 10
ANGLE_BITS = log2(HEAD_LIMIT//2)


class Walk(LiteXModule):
    """Count elements and groups.

    Attributes
    ----------
    load : Signal(), in
        Strobe: begin, with
    length_last : Signal(20), groups_last : Signal(10), half_last : Signal(7), in
        One less than a group's elements, than groups, than half of a group's elements. They stay.
    ready : Signal(), in
        An element may set out.
    go : Signal(), out
        One sets out.
    active : Signal(), out
        There are more.
    first, last : Signal(), out; group : Signal(10), out
        With `go`: of a group; its number.
    angle : Signal(7), out; second : Signal(), out
        Element of a half, and of which.
    """

    def __init__(self):
        self.load        = Signal()
        self.length_last = Signal(CHOICE_BITS)
        self.groups_last = Signal(GROUP_BITS)
        self.half_last   = Signal(ANGLE_BITS)
        self.ready  = Signal()
        self.go     = Signal()
        self.active = Signal()
        self.first  = Signal()
        self.last   = Signal()
        self.group  = Signal(GROUP_BITS)
        self.angle  = Signal(ANGLE_BITS)
        self.second = Signal()

        # # #

        column = Signal(CHOICE_BITS)
        self.comb += [
            self.go.eq(self.active & self.ready),
            self.last.eq(column == self.length_last),
        ]
        self.sync += [
            If(self.go,
                column.eq(column + 1),
                self.first.eq(0),
                self.angle.eq(self.angle + 1),
                If(self.angle == self.half_last, self.angle.eq(0), self.second.eq(1)),
                If(self.last,
                    column.eq(0),
                    self.first.eq(1),
                    self.angle.eq(0),
                    self.second.eq(0),
                    self.group.eq(self.group + 1),
                    If(self.group == self.groups_last, self.active.eq(0)),
                ),
            ),
            If(self.load,
                self.active.eq(1),
                self.first.eq(1),
                column.eq(0),
                self.group.eq(0),
                self.angle.eq(0),
                self.second.eq(0),
            ),
        ]
