# SPDX-License-Identifier: BSD-2-Clause
"""Packets that wait for a reader, whole: what comes too fast for it, or turns out bad at its end, leaves no trace."""

from liteeth.common import eth_udp_user_description
from litex.gen import LiteXModule
from litex.soc.interconnect import stream
from migen import FSM, If, Memory, NextState, NextValue, Signal

PACKETS       = 8   # that can wait
SETTLE_CYCLES = 16  # from the last word given to the reader's being busy with it
PARAMETERS    = ("length", "src_port", "dst_port", "ip_address")


class PacketStore(LiteXModule):
    """Words are written beyond the last packet; the packet's end makes them one of the packets, or forgets them.

    A word is taken in each cycle. The first one is given two cycles after a packet's end at the earliest, then one each
    cycle in which the reader is ready.

    Parameters
    ----------
    word : stream.Endpoint(eth_udp_user_description(32))
        Watched.
    depth_words : int
        A power of two.

    Attributes
    ----------
    useful : Signal(), in
        The word is to be kept.
    keep : Signal(), in
        At a packet's last word, and only while `room`: it is one of the packets from now on.
    room : Signal(), out
        At the last word: there was a place for each.
    source : stream.Endpoint(eth_udp_user_description(32)), out
    busy : Signal(), in
        The reader is at work on a packet: the next one waits.
    """

    def __init__(self, word, depth_words):
        self.useful = useful = Signal()
        self.keep   = keep = Signal()
        self.room   = room = Signal()
        self.busy   = Signal()
        self.source = source = stream.Endpoint(eth_udp_user_description(32))

        # # #

        pointer_bits = depth_words.bit_length()  # one more than an address has: full is not empty
        memory     = Memory(32, depth_words)
        write_port = memory.get_port(write_capable=True)
        read_port  = memory.get_port()
        self.specials += memory, write_port, read_port
        names = [("words", 16), *((name, len(getattr(word, name))) for name in PARAMETERS)]
        self.waiting = waiting = stream.SyncFIFO(names, PACKETS)

        # In.
        begin   = Signal(pointer_bits)  # of the packet that is coming
        put     = Signal(pointer_bits)
        taken   = Signal(pointer_bits)  # by the reader
        level   = Signal(pointer_bits)
        full    = Signal()
        spilled = Signal()              # a word of this packet had no place
        self.comb += [
            level.eq(put - taken),
            full.eq(level[-1]),
            room.eq(~spilled & ~(useful & full) & waiting.sink.ready),
            write_port.adr.eq(put),
            write_port.dat_w.eq(word.data),
            write_port.we.eq(word.valid & useful & ~full),
            waiting.sink.valid.eq(keep),
            waiting.sink.words.eq(word.length[2:]),
            *(getattr(waiting.sink, name).eq(getattr(word, name)) for name in PARAMETERS),
        ]
        self.sync += If(word.valid,
            If(word.last,
                spilled.eq(0),
                put.eq(begin),
                If(keep,
                    put.eq(put + useful),
                    begin.eq(put + useful),
                ),
            ).Elif(useful,
                spilled.eq(spilled | full),
                If(~full, put.eq(put + 1)),
            ),
        )

        # Out: the memory answers a cycle after the address.
        given  = Signal(16)
        last   = Signal()
        settle = Signal(max=SETTLE_CYCLES)
        self.comb += [
            last.eq(given == waiting.source.words - 1),
            read_port.adr.eq(taken),
            source.data.eq(read_port.dat_r),
            source.last.eq(last),
            If(last, source.last_be.eq(0b1000)),
            *(getattr(source, name).eq(getattr(waiting.source, name)) for name in PARAMETERS),
        ]
        self.fsm = fsm = FSM(reset_state="WAIT")
        fsm.act("WAIT",
            NextValue(given, 0),
            NextValue(settle, SETTLE_CYCLES - 1),
            If(waiting.source.valid & ~self.busy, NextState("SEND")),
        )
        fsm.act("SEND",
            source.valid.eq(1),
            If(source.ready,
                read_port.adr.eq(taken + 1),
                NextValue(taken, taken + 1),
                NextValue(given, given + 1),
                If(last,
                    waiting.source.ready.eq(1),
                    NextState("SETTLE"),
                ),
            ),
        )
        fsm.act("SETTLE",
            NextValue(settle, settle - 1),
            If(settle == 0, NextState("WAIT")),
        )
