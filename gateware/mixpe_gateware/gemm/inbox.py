# SPDX-License-Identifier: BSD-2-Clause
"""Inbox: on-chip memory that the host writes over the bus and activations are read from.

                                   ┌─ address in the memory ──► DRAM port ─┐
    activation reader ─► requests ─┤                                       ├─► answers
                                   └─ address behind it ──► inbox ─────────┘
                                                              ▲
    host ─► bus ──────────────────────────────────────────────┘

Activations that come this way take nothing from the weight stream, so a token of A16 (two rows) costs no more cycles
than one of A8: the weight buffer fills while they arrive.
"""

from litedram.common import LiteDRAMNativePort
from litex.gen import LiteXModule
from litex.soc.interconnect import wishbone
from migen import Array, Memory, Mux, Signal

from mixpe_gateware.contract.errors import ConfigError
from mixpe_gateware.contract.widths import log2

BUS_BITS = 32


class Inbox(LiteXModule):
    """A read port whose addresses behind the memory lead to on-chip memory.

    Latency 1 cycle from a request to its answer; a word a cycle; no back-pressure, as the reader has a place for each
    answer. Requests to the memory and to the inbox must not overlap in time: answers have no order between them.

    Parameters
    ----------
    config : Config
    port : LiteDRAMNativePort
        To the memory.
    mem_bytes : int
        Size of the memory; the inbox follows it.

    Attributes
    ----------
    port : LiteDRAMNativePort
        One address bit wider than the memory's.
    bus : wishbone.Interface
        Reads and writes, two cycles each.

    Raises
    ------
    ConfigError
        The memory is no multiple of the inbox, or there are no addresses behind it.
    """

    def __init__(self, config, port, mem_bytes):
        if mem_bytes % config.inbox_bytes or mem_bytes + config.inbox_bytes > 1 << 32:
            raise ConfigError(f"an inbox of {config.inbox_bytes} bytes cannot follow a memory of {mem_bytes}: that "
                              "must be a multiple of it, and both together at most 4 GiB")
        width   = port.data_width
        columns = max(1, width//BUS_BITS)  # memories side by side
        parts   = max(1, BUS_BITS//width)  # words of the port in one word of a memory
        depth   = 8*config.inbox_bytes//(BUS_BITS*columns)
        inner   = port
        self.port = port = LiteDRAMNativePort("read", inner.address_width + 1, width)
        self.bus  = bus = wishbone.Interface(data_width=BUS_BITS)

        # # #

        here     = Signal()
        answered = Signal()
        part     = Signal(max=max(2, parts))
        column   = Signal(max=max(2, columns))
        self.comb += [
            here.eq(port.cmd.addr >= 8*mem_bytes//width),
            inner.cmd.addr.eq(port.cmd.addr),
            inner.cmd.valid.eq(port.cmd.valid & ~here),
            port.cmd.ready.eq(inner.cmd.ready | here),
            inner.rdata.ready.eq(1),
            port.rdata.valid.eq(inner.rdata.valid | answered),
        ]
        self.sync += [
            answered.eq(port.cmd.valid & here),
            part.eq(port.cmd.addr[:log2(parts)] if parts > 1 else 0),
            column.eq(bus.adr[:log2(columns)] if columns > 1 else 0),
            bus.ack.eq(bus.cyc & bus.stb & ~bus.ack),
        ]
        stored, shown = [], []
        for index in range(columns):
            memory = Memory(BUS_BITS, depth, name=f"inbox_{index}")
            access = memory.get_port(write_capable=True, we_granularity=8)
            read   = memory.get_port()
            self.specials += memory, access, read
            chosen = bus.adr[:log2(columns)] == index if columns > 1 else 1
            self.comb += [
                access.adr.eq(bus.adr[log2(columns):]),
                access.dat_w.eq(bus.dat_w),
                access.we.eq(Mux(bus.cyc & bus.stb & bus.we & chosen, bus.sel, 0)),
                read.adr.eq(port.cmd.addr[log2(parts):]),
            ]
            shown.append(access.dat_r)
            stored += [read.dat_r[width*i:width*i + width] for i in range(parts)] if parts > 1 else [read.dat_r]
        self.comb += bus.dat_r.eq(Array(shown)[column])
        local = Array(stored)[part] if parts > 1 else None
        for index in range(columns):
            low  = index*min(width, BUS_BITS)
            high = low + min(width, BUS_BITS)
            self.comb += port.rdata.data[low:high].eq(
                Mux(answered, stored[index] if local is None else local, inner.rdata.data[low:high]))
