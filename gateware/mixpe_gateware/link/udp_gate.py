# SPDX-License-Identifier: BSD-2-Clause
"""A gate between LiteEth's UDP port and the Etherbone bridge: packets pass whole, once and in order, or not at all.

Nothing on Ethernet can make the sender wait. LiteEth passes the reader's `ready` up to its PHY, which ignores it: so
the bytes that come while a reader is busy are cut out of the packet, and Etherbone's record receiver waits for them in
the packets after it and never answers again. Two reads of 255 words back to back are enough.

Etherbone's buffers, LiteX's `PacketFIFO`, have a second trap: while the last word of a packet waits for room, the
packet is counted again in each cycle. So the gate gives the bridge a packet only when it has nothing else to do.

Networks lose packets, double them and let one overtake another; a record that posts a job, or a write that comes late,
must not be carried out then. So the host numbers its packets, the gate passes only the one that is due, and each answer
says which that is: `contract.packetnumbers`.
"""

from liteeth.common import eth_udp_user_description
from litex.gen import LiteXModule
from litex.soc.interconnect import stream
from migen import Signal

from mixpe_gateware.contract.errors import ConfigError
from mixpe_gateware.link.answer_stamp import AnswerStamp
from mixpe_gateware.link.packet_check import PacketShape, PacketTurn
from mixpe_gateware.link.packet_store import PacketStore


class UdpGate(LiteXModule):
    """Takes a word in every cycle; gives packets on, complete and in order, and stamps what goes back.

    A packet is dropped when there is no room for all of it, when LiteEth found its checksum wrong, when it is no whole
    record or probe of the length that it says, or when another number is due. What the MAC has padded is cut off.

    Parameters
    ----------
    depth_words : int
        A power of two.

    Attributes
    ----------
    sink : stream.Endpoint(eth_udp_user_description(32)), in
        From the network. Always ready.
    source : stream.Endpoint(eth_udp_user_description(32)), out
        To the bridge.
    answers : stream.Endpoint(eth_udp_user_description(32)), in
        From the bridge.
    stamped : stream.Endpoint(eth_udp_user_description(32)), out
        To the network.
    busy : Signal(), in
        The bridge is at work on a packet: the next one waits.
    dropped : Signal(), out
        One cycle for each packet that is dropped.
    """

    def __init__(self, depth_words=1024):
        if depth_words < 4 or depth_words & (depth_words - 1):
            raise ConfigError(f"depth_words must be a power of two from 4 on, not {depth_words}")
        self.sink    = sink = stream.Endpoint(eth_udp_user_description(32))
        self.shape   = shape = PacketShape(sink)
        self.turn    = turn = PacketTurn(sink, shape.index, shape.probe)
        self.store   = store = PacketStore(sink, depth_words)
        self.stamp   = stamp = AnswerStamp()
        self.source  = store.source
        self.answers = stamp.sink
        self.stamped = stamp.source
        self.busy    = store.busy
        self.dropped = Signal()

        # # #

        passes = Signal()
        ends   = Signal()
        self.comb += [
            sink.ready.eq(1),
            ends.eq(sink.valid & sink.last),
            passes.eq(ends & shape.whole & turn.ours & store.room),
            turn.passes.eq(passes),
            store.useful.eq(shape.useful),
            store.keep.eq(passes),
            stamp.due.eq(turn.due),
            self.dropped.eq(ends & ~passes),
        ]


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
        """A port whose packets are whole and in order."""
        if dw != 32:
            raise ConfigError(f"the gate is 32 bits wide, not {dw}")
        port = self.udp.crossbar.get_port(udp_port, dw=dw, cd=cd)
        gate = UdpGate(self.depth_words)
        gate.comb += [port.source.connect(gate.sink), gate.stamped.connect(port.sink)]
        self.gates.append(gate)
        return _Port(gate.answers, gate.source)


class _Port:
    def __init__(self, sink, source):
        self.sink, self.source = sink, source


def is_at_work(bridge):
    """Whether a `LiteEthEtherbone` has a packet in hand: what a gate's `busy` is to be."""
    record, probe = bridge.record, bridge.probe
    return ((record.receiver.fifo.payload_fifo.level != 0) | (record.sender.fifo.payload_fifo.level != 0)
            | (probe.fifo.param_fifo.level != 0))
