# SPDX-License-Identifier: BSD-2-Clause
"""A UARTBone bridge: every access over Wishbone, or those to memory in bursts through ports of its own."""

from litex.gen import LiteXModule
from litex.soc.interconnect import wishbone
from migen import FSM, If, Mux, NextState, NextValue, Signal

from mixpe_gateware.link.deframer import ByteDeframer, WideDeframer
from mixpe_gateware.link.framed_deframer import FramedDeframer


class LinkBridge(LiteXModule):
    """LiteX's UARTBone protocol, and with `framed` ours beside it.

        sink ──► deframer ──┬─► Wishbone, word by word: registers, and accesses without increment
                            │
        source ◄────────────┴─► memory path, if there is one: posted writes and prefetched reads

    LiteX's own clients and `mixpe.link` both speak to it. With a memory path a word moves every fourth byte of the
    link, in both directions. Without one the bridge is deaf for the cycles of each access, which at a UART's rate is no
    matter. Order is kept: an access waits until the controller has the writes before it, and the controller keeps order
    within a bank.

    Parameters
    ----------
    timeout_cycles : int
        A frame is forgotten when the host sends nothing for so long inside it; rounded down to a power of two.
    memory : MemoryPath, optional
        Takes the accesses with increment that lie in it. None: all take the bus.
    wide : bool
        Four bytes a cycle instead of one (`deframer.wide_layout`): a word a cycle.
    framed : bool
        Frames with numbers and checks (`contract.frames`) beside LiteX's, for lines that damage bytes.

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
    attached : Signal(), in
        `framed`: a host is there. Without one what came in part is forgotten, and the session closed.
    """

    def __init__(self, *, timeout_cycles, memory=None, wide=False, framed=False):
        if framed:
            deframer = FramedDeframer(timeout_cycles, wide=wide)
            self.attached = deframer.attached
        else:
            deframer = WideDeframer(timeout_cycles) if wide else ByteDeframer(timeout_cycles)
        self.deframer  = deframer
        self.wishbone  = wishbone.Interface(data_width=32, address_width=32, addressing="word")
        self.sink      = deframer.sink
        self.source    = deframer.source
        self.framing   = Signal()
        self.hungry    = Signal()

        # # #

        frame = deframer.frame
        self._address   = Signal(30)
        self._left      = Signal(9)  # words
        self._write     = Signal()
        self._increment = Signal()
        self.fsm = fsm = FSM(reset_state="HEADER")
        fsm.act("HEADER",
            frame.ready.eq(1),
            NextValue(self._address,   frame.address),
            NextValue(self._left,      frame.words),
            NextValue(self._write,     frame.write),
            NextValue(self._increment, frame.increment),
            If(frame.valid, NextState("WAIT" if memory is None else "DECODE")),
        )
        self._act_on_bus()
        if memory is not None:
            self._act_on_memory(memory)
        idle = fsm.ongoing("HEADER")
        self.comb += [
            deframer.writing.eq(self._write & ~idle),
            deframer.reading.eq(~self._write & ~idle),
            self.framing.eq(deframer.framing | ~idle | (0 if memory is None else memory.pending)),
            self.hungry.eq(deframer.hungry & (idle | self._write)),
        ]

    def _act_on_bus(self):
        """One word after the other. An access begins when its word is there, or its answer has a place."""
        deframer, bus, fsm = self.deframer, self.wishbone, self.fsm
        done = Signal()
        self.comb += [
            bus.adr.eq(self._address),
            bus.dat_w.eq(deframer.word.data),
            bus.we.eq(self._write),
            bus.sel.eq(0xf),
            done.eq(bus.ack | bus.err),
        ]
        fsm.act("WAIT",
            If(Mux(self._write, deframer.word.valid, deframer.answer.ready), NextState("BUS")),
            If(deframer.abort & self._write, NextState("HEADER")),
        )
        fsm.act("BUS",
            bus.cyc.eq(1),  # from the state alone: the bus is long
            bus.stb.eq(1),
            deframer.word.ready.eq(done & self._write),
            deframer.answer.valid.eq(done & ~self._write),
            deframer.answer.data.eq(bus.dat_r),
            If(done,
                NextValue(self._address, self._address + self._increment),
                NextValue(self._left, self._left - 1),
                If(self._left == 1, NextState("HEADER")).Else(NextState("WAIT")),
            ),
        )

    def _act_on_memory(self, memory):
        """Send a frame to memory or to the bus, in order."""
        deframer, fsm = self.deframer, self.fsm
        final  = Signal(30)
        inside = Signal()
        self.comb += [
            inside.eq(self._increment & memory.ready & memory.covers(self._address) & memory.covers(final)),
            memory.address.eq(self._address),
            memory.words.eq(self._left),
            memory.flush.eq(deframer.abort),
            memory.sink.data.eq(deframer.word.data),
            memory.sink.last.eq(self._left == 1),
        ]
        self.sync += If(deframer.frame.valid & deframer.frame.ready,
            final.eq(deframer.frame.address + deframer.frame.words - 1),
        )
        fsm.act("DECODE",
            If(self._write & inside,
                NextState("WRITE-MEMORY"),
            ).Elif(~memory.pending,  # the controller has all writes before this access
                If(inside, NextState("READ-MEMORY")).Else(NextState("WAIT")),
            ),
            If(deframer.abort & self._write, NextState("HEADER")),
        )
        fsm.act("WRITE-MEMORY",
            memory.sink.valid.eq(deframer.word.valid),
            deframer.word.ready.eq(memory.sink.ready),
            If(deframer.word.valid & deframer.word.ready,
                NextValue(self._address, self._address + 1),
                NextValue(self._left, self._left - 1),
                If(self._left == 1, NextState("HEADER")),
            ),
            If(deframer.abort, NextState("HEADER")),
        )
        fsm.act("READ-MEMORY",
            memory.read.eq(1),
            memory.source.connect(deframer.answer),
            If(memory.done, NextState("HEADER")),
        )
