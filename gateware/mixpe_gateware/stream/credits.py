# SPDX-License-Identifier: BSD-2-Clause
"""Credits: a place behind a pipeline is taken before an entry sets out, so that nothing on its way need wait."""

from litex.gen import LiteXModule
from migen import If, Signal


class Credits(LiteXModule):
    """Places of a FIFO: taken in advance, given back when an entry leaves.

    Latency 1 cycle from `take` and `give` to `room` and `whole`, which are registers.

    Parameters
    ----------
    places : int

    Attributes
    ----------
    take : Signal(), in
        A place is taken; only while there is `room`.
    give : Signal(), in
        One is given back.
    room : Signal(), out
        There is a place.
    whole : Signal(), out
        All places are free.
    """

    def __init__(self, places):
        self.take  = Signal()
        self.give  = Signal()
        self.room  = Signal(reset=1)
        self.whole = Signal(reset=1)

        # # #

        free = Signal(max=places + 1, reset=places)
        self.sync += [
            If(self.take & ~self.give,
                free.eq(free - 1),
                self.whole.eq(0),
                self.room.eq(free != 1),
            ).Elif(self.give & ~self.take,
                free.eq(free + 1),
                self.whole.eq(free == places - 1),
                self.room.eq(1),
            ),
        ]
