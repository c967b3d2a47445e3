# SPDX-License-Identifier: BSD-2-Clause
"""Several readers on one native port of the memory, and several writers on one.

    reader 0 ─┐                             ┌─► reader 0
    reader 1 ─┼─► chunks in turn ─► port ───┼─► reader 1   by the order of the commands
    reader 2 ─┘                             └─► reader 2

A port of LiteDRAM's crossbar costs as much as a small engine, and those that work in turn need none of their own. One
keeps the port for a chunk while it asks in every cycle, so that a DRAM row is not closed after every beat.
"""

from litedram.common import LiteDRAMNativePort
from litex.gen import LiteXModule
from litex.soc.interconnect import stream
from migen import Case, If, Signal

CHUNK_BEATS = 16


class Turns(LiteXModule):
    """Whose turn it is: the same one until it pauses or its chunk is over, then the next one that asks.

    Parameters
    ----------
    count : int
        Two or more.
    chunk : int
        Commands, a power of two.

    Attributes
    ----------
    requests : Signal(count), in
    taken : Signal(), in
        A command of the one whose turn it is was taken.
    turn : Signal(max=count), out
        A register: a change takes a cycle.
    """

    def __init__(self, count, chunk=CHUNK_BEATS):
        self.requests = Signal(count)
        self.taken    = Signal()
        self.turn     = Signal(max=count)

        # # #

        left   = Signal(max=chunk, reset=chunk - 1)
        asks   = Signal()  # the one whose turn it is
        others = Signal()
        after  = Signal(max=count)
        cases  = {}
        for turn in range(count):
            chain = [If(self.requests[index], after.eq(index))
                for index in (*range(turn, -1, -1), *range(count - 1, turn, -1))]  # the last one wins: turn + 1 first
            cases[turn] = [
                asks.eq(self.requests[turn]),
                others.eq(self.requests & ~(1 << turn) != 0),
                after.eq(turn),
                *chain,
            ]
        self.comb += Case(self.turn, cases)
        self.sync += [
            If(self.taken, left.eq(left - 1)),
            If(others & (~asks | (self.taken & (left == 0))),
                self.turn.eq(after),
                left.eq(chunk - 1),
            ),
        ]


class SharedPort(LiteXModule):
    """What reading and writing have in common: commands in turn, and whose each was.

    Parameters
    ----------
    port : LiteDRAMNativePort
    count : int
        Of those that share it, two or more.
    depth : int
        Commands that are under way at most.
    chunk : int
        See `Turns`.
    buffered : bool
        A register on the way of the commands.

    Attributes
    ----------
    ports : list of LiteDRAMNativePort
        One for each; they take and answer as `port` does.
    """

    def __init__(self, port, mode, count, *, depth, chunk, buffered):
        self.ports = [LiteDRAMNativePort(mode, port.address_width, port.data_width, id=index) for index in range(count)]

        # # #

        command = stream.Endpoint([("we", 1), ("addr", port.address_width)])
        if buffered:
            self.command = buffer = stream.Buffer(command.description, pipe_ready=True)
            self.comb += [
                command.connect(buffer.sink),
                buffer.source.connect(port.cmd),
            ]
        else:
            self.comb += command.connect(port.cmd)
        self.turns = turns = Turns(count, chunk)
        self.order = order = stream.SyncFIFO([("owner", len(turns.turn))], depth)
        self.comb += [
            *[turns.requests[index].eq(each.cmd.valid) for index, each in enumerate(self.ports)],
            turns.taken.eq(order.sink.valid & order.sink.ready),
            order.sink.owner.eq(turns.turn),
            order.sink.valid.eq(command.valid & command.ready),
            Case(turns.turn, {index: [
                command.valid.eq(each.cmd.valid & order.sink.ready),
                command.we.eq(int(mode == "write")),
                command.addr.eq(each.cmd.addr),
                each.cmd.ready.eq(command.ready & order.sink.ready),
            ] for index, each in enumerate(self.ports)}),
        ]


class ReadShare(SharedPort):
    """Readers on one port. No answer is ever held back: each reader has a place for what it asked for.

    Throughput a command a cycle, less one for each change of turn; latency of an answer none, of a command a cycle with
    `buffered`. Parameters and attributes as for `SharedPort`.
    """

    def __init__(self, port, count, *, depth=32, chunk=CHUNK_BEATS, buffered=False):
        SharedPort.__init__(self, port, "read", count, depth=depth, chunk=chunk, buffered=buffered)

        # # #

        owner = self.order.source
        self.comb += [
            owner.ready.eq(port.rdata.valid),
            port.rdata.ready.eq(1),
        ]
        for index, each in enumerate(self.ports):
            self.comb += [
                each.rdata.valid.eq(port.rdata.valid & (owner.owner == index)),
                each.rdata.data.eq(port.rdata.data),
            ]


class WriteShare(SharedPort):
    """Writers on one port. A writer offers data no later than the command, as for a port of its own.

    Parameters and attributes as for `SharedPort`.
    """

    def __init__(self, port, count, *, depth=16, chunk=CHUNK_BEATS, buffered=False):
        SharedPort.__init__(self, port, "write", count, depth=depth, chunk=chunk, buffered=buffered)

        # # #

        owner = self.order.source
        self.comb += owner.ready.eq(port.wdata.ready)
        for index, each in enumerate(self.ports):
            self.comb += If(owner.valid & (owner.owner == index),
                port.wdata.valid.eq(each.wdata.valid),
                port.wdata.data.eq(each.wdata.data),
                port.wdata.we.eq(each.wdata.we),
                each.wdata.ready.eq(port.wdata.ready),
            )
