# SPDX-License-Identifier: BSD-2-Clause
"""Small memories of the datapath: numbers of rows and groups, units of rows, a delay."""

from litex.gen import LiteXModule
from migen import NO_CHANGE, READ_FIRST, WRITE_FIRST, If, Memory, Mux, Signal, bits_for

from mixpe_gateware.contract.program.records import ROWS_MAX
from mixpe_gateware.vector.raising import UNIT_BITS


class RowNumbers(LiteXModule):
    """A number for each row, group or angle.

    Latency 2 cycles from `address` to `number`, which means nothing where there was a write: the memory has one port.

    Parameters
    ----------
    depth : int

    Attributes
    ----------
    address : Signal(max=depth), in; number : Signal(32), out
    put : Signal(), in; place : Signal(max=depth), in; value : Signal(32), in
    """

    LATENCY = 2

    def __init__(self, depth):
        self.address = Signal(max=depth)
        self.number  = Signal(32, reset_less=True)
        self.put     = Signal()
        self.place   = Signal(max=depth)
        self.value   = Signal(32)

        # # #

        self.memory = memory = Memory(32, depth)
        port = memory.get_port(write_capable=True, mode=NO_CHANGE)
        self.specials += memory, port
        self.comb += [
            port.adr.eq(Mux(self.put, self.place, self.address)),
            port.dat_w.eq(self.value),
            port.we.eq(self.put),
        ]
        self.sync += self.number.eq(port.dat_r)


class Units(LiteXModule):
    """Exponents of the activations' units, a row each.

    Attributes
    ----------
    row : Signal(6), in; unit : Signal((10, True)), out
        In the same cycle.
    put : Signal(), in; place : Signal(6), in; value : Signal((10, True)), in
    """

    def __init__(self):
        self.row    = Signal(max=ROWS_MAX)
        self.unit   = Signal((UNIT_BITS, True))
        self.put    = Signal()
        self.place  = Signal(max=ROWS_MAX)
        self.value  = Signal((UNIT_BITS, True))

        # # #

        self.memory = memory = Memory(UNIT_BITS, ROWS_MAX)
        read  = memory.get_port(async_read=True)
        write = memory.get_port(write_capable=True, mode=WRITE_FIRST)
        self.specials += memory, read, write
        self.comb += [
            read.adr.eq(self.row),
            self.unit.eq(read.dat_r),
            write.adr.eq(self.place),
            write.dat_w.eq(self.value),
            write.we.eq(self.put),
        ]


class DelayLine(LiteXModule):
    """A value some cycles later, by way of a memory.

    Parameters
    ----------
    bits, cycles : int

    Attributes
    ----------
    sink, source : Signal(bits), in and out
    """

    def __init__(self, bits, cycles):
        self.sink   = Signal(bits)
        self.source = Signal(bits, reset_less=True)

        # # #

        depth = cycles - 1
        self.memory = memory = Memory(bits, depth)
        read  = memory.get_port(async_read=True)
        write = memory.get_port(write_capable=True, mode=READ_FIRST)
        self.specials += memory, read, write
        place = Signal(bits_for(depth - 1))
        self.comb += [
            read.adr.eq(place),
            write.adr.eq(place),
            write.dat_w.eq(self.sink),
            write.we.eq(1),
        ]
        self.sync += [
            place.eq(place + 1),
            If(place == depth - 1, place.eq(0)),
            self.source.eq(read.dat_r),
        ]
