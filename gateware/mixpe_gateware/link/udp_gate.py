# SPDX-License-Identifier: BSD-2-Clause
"""A buffer between LiteEth's UDP port and the Etherbone bridge: packets pass whole, once and in order, or not at all.

Nothing on Ethernet can make the sender wait. LiteEth passes the reader's `ready` up to its PHY, which ignores it: so
the bytes that come while a reader is busy are cut out of the packet, and Etherbone's record receiver waits for them in
the packets after it and never answers again. Two reads of 255 words back to back are enough.

Etherbone's buffers, LiteX's `PacketFIFO`, have a second trap: while the last word of a packet waits for room, the
packet is counted again in each cycle. So the gate gives the bridge a packet only when it has nothing else to do.

Networks double packets and let one overtake another; a record that posts a job, or a write that comes late, must not
be carried out then. So the host numbers its packets in the four bytes of Etherbone's header that only pad it, and a
packet whose number is not above the last one's is dropped. Number 0, which LiteX's own client sends, always passes, and
after it any number does: a host begins with it.
"""

from liteeth.common import eth_udp_user_description
from litex.gen import LiteXModule, reverse_bytes
from litex.soc.interconnect import stream
from migen import FSM, If, Memory, NextState, NextValue, Signal

from mixpe_gateware.contract.errors import ConfigError

PACKETS = 8         # that can wait
SETTLE_CYCLES = 16  # from the last word given to the bridge's being busy with it
NUMBER_WORD   = 1   # of a packet, most significant byte first


class UdpGate(LiteXModule):
    """Takes a word in every cycle; gives packets on, complete and in order.

    A packet is dropped when there is no room for all of it, when LiteEth found its checksum wrong, when it is shorter
    than it says, when it is no whole number of words, as Etherbone's always are, or when its number is old. What the
    MAC has padded is cut off.

    Parameters
    ----------
    depth_words : int
        A power of two.

    Attributes
    ----------
    sink : stream.Endpoint(eth_udp_user_description(32)), in
        Always ready.
    source : stream.Endpoint(eth_udp_user_description(32)), out
    busy : Signal(), in
        The reader is at work on a packet: the next one waits.
    dropped : Signal(), out
        One cycle for each packet that is dropped.
    """

    def __init__(self, depth_words=1024):
        if depth_words < 4 or depth_words & (depth_words - 1):
            raise ConfigError(f"depth_words must be a power of two from 4 on, not {depth_words}")
        self.sink    = sink = stream.Endpoint(eth_udp_user_description(32))
        self.source  = source = stream.Endpoint(eth_udp_user_description(32))
        self.busy    = Signal()
        self.dropped = Signal()

        # # #

        pointer_bits = depth_words.bit_length()  # one more than an address has: full is not empty
        memory     = Memory(32, depth_words)
        write_port = memory.get_port(write_capable=True)
        read_port  = memory.get_port()
        self.specials += memory, write_port, read_port
        names = [("words", 16), ("length", 16), ("src_port", 16), ("dst_port", 16), ("ip_address", 32)]
        self.waiting = waiting = stream.SyncFIFO(names, PACKETS)

        # In: words are written beyond the last packet, which the packet's end makes one of the packets, or not.
        begin  = Signal(pointer_bits)  # of the packet that is coming
        put    = Signal(pointer_bits)
        taken  = Signal(pointer_bits)  # by the reader
        count  = Signal(16)            # words of this packet so far
        bad    = Signal()
        wanted = Signal(14)
        useful = Signal()              # no padding
        number = Signal(32)            # of this packet, from its word on
        seen   = Signal(32)
        latest = Signal(32)            # number that passed
        known  = Signal()              # there is one
        ahead  = Signal(32)
        old    = Signal()
        full   = Signal()
        broken = Signal()
        room   = Signal(pointer_bits)
        self.comb += [
            sink.ready.eq(1),
            wanted.eq(sink.length[2:]),
            useful.eq(count < wanted),
            room.eq(put - taken),
            full.eq(room[-1]),
            write_port.adr.eq(put),
            write_port.dat_w.eq(sink.data),
            write_port.we.eq(sink.valid & useful & ~full),
            broken.eq(bad | (useful & full) | (sink.error != 0)),
            number.eq(seen),
            If(count == NUMBER_WORD, number.eq(reverse_bytes(sink.data))),
            ahead.eq(number - latest),
            old.eq(known & (number != 0) & (ahead[-1] | (ahead == 0))),
            waiting.sink.words.eq(wanted),
            waiting.sink.length.eq(sink.length),
            waiting.sink.src_port.eq(sink.src_port),
            waiting.sink.dst_port.eq(sink.dst_port),
            waiting.sink.ip_address.eq(sink.ip_address),
            If(sink.valid & sink.last,
                If(~broken & ~old & (sink.length[:2] == 0) & (wanted > NUMBER_WORD) & (count + 1 >= wanted)
                        & waiting.sink.ready,
                    waiting.sink.valid.eq(1),
                ).Else(
                    self.dropped.eq(1),
                )
            ),
        ]
        self.sync += If(sink.valid,
            seen.eq(number),
            If(sink.last,
                count.eq(0),
                bad.eq(0),
                If(self.dropped,
                    put.eq(begin),
                ).Else(
                    put.eq(put + useful),
                    begin.eq(put + useful),
                    latest.eq(number),
                    known.eq(number != 0),
                ),
            ).Else(
                If(useful & ~full, put.eq(put + 1)),
                If(useful, count.eq(count + 1)),
                bad.eq(broken),
            )
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
            source.length.eq(waiting.source.length),
            source.src_port.eq(waiting.source.src_port),
            source.dst_port.eq(waiting.source.dst_port),
            source.ip_address.eq(waiting.source.ip_address),
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


class GatedUdp:
    """LiteEth's UDP core as `LiteEthEtherbone` asks for it, with a gate behind each of its ports.

    Parameters
    ----------
    udp : LiteEthUDP
    depth_words : int
        See `UdpGate`.

    Attributes
    ----------
    gates : list of UdpGate
        For the SoC to add as modules.
    """

    def __init__(self, udp, depth_words=1024):
        self.udp      = udp
        self.crossbar = self
        self.dw       = udp.crossbar.dw
        self.depth_words = depth_words
        self.gates    = []

    def get_port(self, udp_port, dw=8, cd="sys"):
        """A port whose packets from the network are whole."""
        if dw != 32:
            raise ConfigError(f"the gate is 32 bits wide, not {dw}")
        port = self.udp.crossbar.get_port(udp_port, dw=dw, cd=cd)
        gate = UdpGate(self.depth_words)
        gate.comb += port.source.connect(gate.sink)
        self.gates.append(gate)
        return _Port(port.sink, gate.source)


class _Port:
    def __init__(self, sink, source):
        self.sink, self.source = sink, source
