# SPDX-License-Identifier: BSD-2-Clause
"""A UARTBone bridge that reaches the memory through ports of its own, in bursts, and everything else over Wishbone."""

from litex.gen import LiteXModule
from litex.soc.interconnect import stream, wishbone
from migen import FSM, If, NextState, NextValue, Signal

from mixpe_gateware.contract.errors import ConfigError
from mixpe_gateware.link.deframer import ByteDeframer, WideDeframer
from mixpe_gateware.link.memory import WordReader, WordWriter

TIMEOUT_S = 100e-3  # without a byte inside a frame, as LiteX's bridge has it


class LinkBridge(LiteXModule):
    """LiteX's UARTBone protocol, with posted writes and prefetched reads where the address is in memory.

        sink ──► deframer ──┬─► word writer ──► write port ┐
                            │                              ├─ memory
        source ◄────────────┼─◄ word reader ◄── read port  ┘
                            └─► Wishbone, word by word: registers, and accesses without increment

    LiteX's own clients and `mixpe.link` both speak to it. A word moves every fourth byte of the link, in both
    directions (LiteX's bridge is deaf for the 10 to 20 cycles of each memory access). Order is kept: an access waits
    until the controller has the writes before it, and the controller keeps order within a bank.

    Parameters
    ----------
    write_port, read_port : LiteDRAMNativePort
    mem_base, mem_bytes : int
        Bus region of the memory; both powers of two, as LiteX places it.
    timeout_cycles : int
        A frame is forgotten when the host sends nothing for so long inside it.
    wide : bool
        Four bytes a cycle instead of one (`deframer.wide_layout`): a word a cycle.
    ready : Signal() or 1
        Low while the memory answers nothing: accesses to it then take the bus, which has an answer or a limit.

    Attributes
    ----------
    sink : stream.Endpoint, in
        Bytes of the host.
    source : stream.Endpoint([("data", 8)] or, wide, [("data", 32)] with the first byte lowest), out
    wishbone : wishbone.Interface, master
    framing : Signal(), out
        Inside a frame, or answering one.
    hungry : Signal(), out
        Inside a frame, and it is the host's turn.
    """

    def __init__(self, write_port, read_port, *, mem_base, mem_bytes, timeout_cycles, wide=False, ready=1):
        if mem_bytes & (mem_bytes - 1) or mem_base % mem_bytes:
            raise ConfigError(f"the memory must be a power of two of bytes, and aligned: not {mem_bytes:#x} bytes at "
                              f"{mem_base:#x}")
        self.deframer = deframer = WideDeframer(timeout_cycles) if wide else ByteDeframer(timeout_cycles)
        self.writer   = writer = WordWriter(write_port)
        self.reader   = reader = WordReader(read_port)
        self.wishbone = bus = wishbone.Interface(data_width=32, address_width=32, addressing="word")
        self.sink     = deframer.sink
        self.framing  = Signal()
        self.hungry   = Signal()

        # # #

        # Answers, most significant byte first.
        answer = stream.Endpoint([("data", 32)])
        if wide:
            self.source = source = stream.Endpoint([("data", 32)])
            self.comb += [source.valid.eq(answer.valid), answer.ready.eq(source.ready)]
            self.comb += [source.data[8*n:8*n + 8].eq(answer.data[24 - 8*n:32 - 8*n]) for n in range(4)]
        else:
            self.split = split = stream.Converter(32, 8, reverse=True)
            self.source = split.source
            self.comb += [split.sink.valid.eq(answer.valid), split.sink.data.eq(answer.data),
                          answer.ready.eq(split.sink.ready)]

        token     = deframer.source
        address   = Signal(30)
        final     = Signal(30)
        words     = Signal(9)
        write     = Signal()
        increment = Signal()
        data      = Signal(32)
        in_memory = Signal()
        offset_bits = mem_bytes.bit_length() - 3  # of a word offset
        self.comb += [
            in_memory.eq(increment & ready & (address[offset_bits:] == mem_base >> 2 + offset_bits)
                         & (final[offset_bits:] == mem_base >> 2 + offset_bits)),
            bus.adr.eq(address),
            bus.dat_w.eq(token.data),
            bus.sel.eq(0xf),
            writer.sink.address.eq(address[:offset_bits]),
            writer.sink.data.eq(token.data),
            writer.sink.last.eq(token.last),
            writer.flush.eq(deframer.abort),
            reader.sink.address.eq(address[:offset_bits]),
            reader.sink.words.eq(words),
        ]

        self.fsm = fsm = FSM(reset_state="HEADER")
        fsm.act("HEADER",
            token.ready.eq(1),
            NextValue(address,   token.address),
            NextValue(final,     token.address + token.words - 1),
            NextValue(words,     token.words),
            NextValue(write,     token.write),
            NextValue(increment, token.increment),
            If(token.valid, NextState("DECODE"))
        )
        fsm.act("DECODE",
            If(write & in_memory,
                NextState("WRITE-MEMORY")
            ).Elif(~writer.pending,  # the controller has all writes before this access
                If(write,
                    NextState("WRITE-BUS")
                ).Elif(in_memory,
                    NextState("READ-MEMORY")
                ).Else(
                    NextState("READ-BUS")
                )
            ),
            If(write & deframer.abort, NextState("HEADER"))
        )
        fsm.act("WRITE-MEMORY",
            writer.sink.valid.eq(token.valid),
            token.ready.eq(writer.sink.ready),
            If(token.valid & token.ready,
                NextValue(address, address + 1),
                If(token.last, NextState("HEADER"))
            ),
            If(deframer.abort, NextState("HEADER"))
        )
        fsm.act("WRITE-BUS",
            bus.cyc.eq(token.valid),
            bus.stb.eq(token.valid),
            bus.we.eq(1),
            token.ready.eq(bus.ack | bus.err),
            If(token.valid & token.ready,
                NextValue(address, address + increment),
                If(token.last, NextState("HEADER"))
            ),
            If(deframer.abort, NextState("HEADER"))
        )
        fsm.act("READ-BUS",
            bus.cyc.eq(1),
            bus.stb.eq(1),
            If(bus.ack | bus.err,
                NextValue(data, bus.dat_r),
                NextState("SEND")
            )
        )
        fsm.act("SEND",
            answer.valid.eq(1),
            answer.data.eq(data),
            If(answer.ready,
                NextValue(address, address + increment),
                NextValue(words, words - 1),
                If(words == 1, NextState("HEADER")).Else(NextState("READ-BUS"))
            )
        )
        fsm.act("READ-MEMORY",
            reader.sink.valid.eq(1),
            answer.valid.eq(reader.source.valid),
            answer.data.eq(reader.source.data),
            reader.source.ready.eq(answer.ready),
            If(reader.sink.ready, NextState("HEADER"))
        )
        self.comb += [
            self.framing.eq(deframer.framing | ~fsm.ongoing("HEADER") | writer.pending | self.source.valid),
            self.hungry.eq(deframer.hungry & (fsm.ongoing("HEADER") | fsm.ongoing("WRITE-MEMORY")
                                              | fsm.ongoing("WRITE-BUS"))),
        ]


def add_link(soc, phy, *, name="link", timeout_cycles=None, fifo_depth=0, wide=False, ready=1):
    """Give a SoC a host link over any byte stream.

    Call it after `add_sdram`.

    Parameters
    ----------
    soc : SoC
        With LiteDRAM as region ``main_ram``.
    phy : module
        With `source` (bytes from the host) and `sink` (bytes to it), such as LiteX's RS232PHY.
    name : str
    timeout_cycles : int or None
        None: 100 ms.
    fifo_depth : int
        Bytes from the host that are kept while the bridge is at work. A UART has no back-pressure, so this bounds what
        the host may have under way: fifo_depth//6 read requests (`window` of `mixpe.link`).
    wide : bool
    ready : Signal() or 1
        Both as in `LinkBridge`.

    Returns
    -------
    LinkBridge
    """
    if not hasattr(soc, "sdram") or "main_ram" not in soc.bus.regions:
        raise ConfigError("add the memory first: the SoC has no LiteDRAM with a main_ram region")
    region = soc.bus.regions["main_ram"]
    if timeout_cycles is None:
        timeout_cycles = int(TIMEOUT_S*soc.sys_clk_freq)
    bridge = LinkBridge(soc.sdram.crossbar.get_port(mode="write"), soc.sdram.crossbar.get_port(mode="read"),
                        mem_base=region.origin, mem_bytes=region.size, timeout_cycles=timeout_cycles, wide=wide,
                        ready=ready)
    soc.add_module(name=f"{name}_phy", module=phy)
    soc.add_module(name=name, module=bridge)
    received = phy.source
    if fifo_depth:
        fifo = stream.SyncFIFO(bridge.sink.description, fifo_depth, buffered=True)
        soc.add_module(name=f"{name}_fifo", module=fifo)
        soc.comb += received.connect(fifo.sink)
        received = fifo.source
    soc.comb += [received.connect(bridge.sink), bridge.source.connect(phy.sink)]
    soc.bus.add_master(name=name, master=bridge.wishbone)
    return bridge
