# SPDX-License-Identifier: BSD-2-Clause
"""Ids of tokens to memory, one 32-bit word at a time."""

from litex.gen import LiteXModule
from litex.soc.interconnect import stream
from migen import FSM, Case, If, NextState, NextValue, Signal

from mixpe_gateware.contract.widths import log2


class WordWriter(LiteXModule):
    """Write single words; a port of 16 bits takes two writes for each.

    A word is taken when the memory has it, so that what follows may say so.

    Parameters
    ----------
    port : LiteDRAMNativePort

    Attributes
    ----------
    sink : Endpoint([("address", 32), ("data", 32)]), in
        Byte address, a multiple of 4.
    enable : Signal(), in
        Low holds back new writes.
    idle : Signal(), out
        Nothing is on its way to memory.
    """

    def __init__(self, port):
        self.sink   = sink = stream.Endpoint([("address", 32), ("data", 32)])
        self.enable = Signal(reset=1)
        self.idle   = Signal()

        # # #

        port_bytes = port.data_width//8
        parts      = max(1, 4//port_bytes)
        lanes      = max(1, port_bytes//4)
        part       = Signal(max=max(2, parts))
        word       = sink.address >> log2(port_bytes)
        lane       = sink.address[2:2 + max(1, log2(lanes))]
        self.comb += [
            port.cmd.we.eq(1),
            port.cmd.addr.eq(word + part if parts > 1 else word),
        ]
        if parts > 1:
            self.comb += [
                Case(part, {index: port.wdata.data.eq(sink.data[8*port_bytes*index:]) for index in range(parts)}),
                port.wdata.we.eq((1 << port_bytes) - 1),
            ]
        else:
            self.comb += [
                *[port.wdata.data[32*index:32*(index + 1)].eq(sink.data) for index in range(lanes)],
                port.wdata.we.eq(0xF) if lanes == 1 else
                    Case(lane, {index: port.wdata.we.eq(0xF << 4*index) for index in range(lanes)}),
            ]
        self.fsm = fsm = FSM(reset_state="COMMAND")
        fsm.act("COMMAND",
            # The data are there with the command, however soon the memory takes them.
            self.idle.eq(1),
            port.cmd.valid.eq(sink.valid & self.enable),
            port.wdata.valid.eq(sink.valid & self.enable),
            If(port.cmd.valid & port.cmd.ready, NextState("DATA")),
        )
        fsm.act("DATA",
            port.wdata.valid.eq(1),
            If(port.wdata.ready,
                NextState("COMMAND"),
                If(part == parts - 1,
                    NextValue(part, 0),
                    sink.ready.eq(1),
                ).Else(
                    NextValue(part, part + 1),
                ),
            ),
        )
