# SPDX-License-Identifier: BSD-2-Clause
"""The largest of a stream of numbers, in falling order."""

from litex.gen import LiteXModule
from litex.soc.interconnect import stream
from migen import FSM, READ_FIRST, Cat, If, Memory, Mux, NextState, NextValue, Signal

from mixpe_gateware.contract.program.records import CHOICE_BITS, TOP


def above(a, b):
    """Whether one number is larger than another."""
    return Mux(a[31] ^ b[31], b[31], Mux(a[31], a[:31] < b[:31], a[:31] > b[:31]))


class TopList(LiteXModule):
    """Keep the largest numbers with their indices; of equal ones the first.

    A number a cycle; one that is kept takes as many more as there are smaller ones in the list, and two. The list is a
    memory in falling order, in which a new number moves up from the end.

    Attributes
    ----------
    clear : Signal(), in
        Strobe: forget all.
    most : Signal(7), in
        How many are kept, 1 … 64.
    sink : Endpoint([("data", 32)]), in
        F32.
    show : Signal(), in
        The list is shown from here on; nothing comes any more.
    source : Endpoint([("data", 32)]), out
        Index, number, index … of the list.
    best : Signal(20), out
        Index of the largest.
    idle : Signal(), out
        All that came is in the list.
    """

    def __init__(self):
        self.clear  = Signal()
        self.most   = Signal(TOP.bit_length())
        self.sink   = sink   = stream.Endpoint([("data", 32)])
        self.show   = Signal()
        self.source = stream.Endpoint([("data", 32)])
        self.best   = Signal(CHOICE_BITS)
        self.idle   = Signal()

        # # #

        entry  = [("value", 32), ("index", CHOICE_BITS)]
        width  = sum(bits for _, bits in entry)
        self.memory = memory = Memory(width, TOP)
        self.read   = read   = memory.get_port(mode=READ_FIRST)
        self.write  = write  = memory.get_port(write_capable=True, mode=READ_FIRST)
        self.specials += memory, read, write

        value  = Signal(32)
        index  = Signal(CHOICE_BITS)        # of the value
        next_  = Signal(CHOICE_BITS)        # of the next one
        least  = Signal(32)                # of a full list
        count  = Signal(TOP.bit_length())
        free   = Signal(TOP.bit_length())  # the entry that a new number may have, for a start
        here   = Signal(TOP.bit_length())  # the free entry; the one before it has been read
        place  = Signal(TOP.bit_length())  # of the entry that is read
        full   = Signal()
        last   = Signal()
        put    = Signal(width)
        found  = read.dat_r
        self.comb += [
            full.eq(count == self.most),
            free.eq(Mux(full, count - 1, count)),
            read.adr.eq(place),
            # The entry before moves to the free one, or the number goes there.
            last.eq((here == 0) | ~above(value, found[:32])),
            put.eq(Mux(last, Cat(value, index), found)),
            write.adr.eq(here),
            write.dat_w.eq(put),
        ]
        self.fsm = fsm = FSM(reset_state="TAKE")
        fsm.act("TAKE",
            self.idle.eq(~sink.valid),
            sink.ready.eq(1),
            NextValue(value, sink.data),
            NextValue(index, next_),
            NextValue(here, free),
            NextValue(place, free - 1),
            If(self.clear,
                NextValue(count, 0),
                NextValue(next_, 0),
            ).Elif(sink.valid,
                NextValue(next_, next_ + 1),
                If(~full | above(sink.data, least),
                    If(~full, NextValue(count, count + 1)),
                    NextState("READ"),
                ),
            ).Elif(self.show,
                NextValue(place, 0),
                NextState("LOOK"),
            ),
        )
        fsm.act("READ",
            NextValue(place, place - 1),
            NextState("MOVE"),
        )
        fsm.act("MOVE",
            write.we.eq(1),
            NextValue(here, here - 1),
            NextValue(place, place - 1),
            If(here == self.most - 1, NextValue(least, put[:32])),
            If(last,
                If(here == 0, NextValue(self.best, index)),
                NextState("TAKE"),
            ),
        )
        self._add_show(count, place, found)

    def _add_show(self, count, place, found):
        """What is shown of the list."""
        source, shown = self.source, Signal()
        self.fsm.act("LOOK",
            NextState("SHOW"),
        )
        self.fsm.act("SHOW",
            source.valid.eq(1),
            source.data.eq(Mux(shown, found[:32], found[32:])),
            If(source.ready,
                NextValue(shown, ~shown),
                If(shown,
                    NextValue(place, place + 1),
                    If(place == count - 1,
                        NextState("SHOWN"),
                    ).Else(
                        NextState("LOOK"),
                    ),
                ),
            ),
        )
        self.fsm.act("SHOWN",
            If(~self.show, NextState("TAKE")),
        )
