# SPDX-License-Identifier: BSD-2-Clause
"""Sequential read of a region of memory through one or several LiteDRAM ports.

LiteDRAM's crossbar locks a port to one bank until its commands are done, so a lone port waits at each row's end.
Several ports that read alternate chunks of one DRAM row each let the next bank open while the last one drains:

                 ┌─ chunk 0, P, 2P … ─► port 0 ─► FIFO ─┐
    start, beats ┤                                      ├─► words in address order ─► beats
                 └─ chunk 1, P+1 …   ─► port 1 ─► FIFO ─┘
"""

from functools import reduce
from operator import add

from litex.gen import LiteXModule
from litex.soc.interconnect import stream
from migen import Case, Cat, If, Signal, bits_for

from mixpe_gateware.contract.widths import log2
from mixpe_gateware.stream.credits import Credits
from mixpe_gateware.stream.regions import RegionAnswers, RegionRequests


class PortReader(LiteXModule):
    """Requests of one port, each made when its answer has a place in a FIFO.

    Parameters
    ----------
    port : LiteDRAMNativePort
    depth : int
        Of the FIFO.
    buffered : bool
        Registers on the way to the memory's crossbar and back.

    Attributes
    ----------
    sink : Endpoint([("address", address_width)]), in
    source : Endpoint([("data", data_width)]), out
    enable : Signal(), in
        Low stops requests and throws away what arrives.
    """

    def __init__(self, port, depth, *, buffered=False):
        self.sink   = sink = stream.Endpoint([("address", port.address_width)])
        self.fifo   = fifo = stream.SyncFIFO([("data", port.data_width)], depth, buffered=True)
        self.source = source = stream.Endpoint([("data", port.data_width)])
        self.enable = Signal(reset=1)

        # # #

        self.places = places = Credits(depth)
        room = places.room
        command = stream.Endpoint([("addr", port.address_width)])
        if buffered:
            self.command = buffer = stream.Buffer(command.description, pipe_ready=True)
            self.comb += [
                command.connect(buffer.sink),
                buffer.source.connect(port.cmd),
            ]
        else:
            self.comb += command.connect(port.cmd)
        self.comb += [
            command.addr.eq(sink.address),
            command.valid.eq(sink.valid & room & self.enable),
            sink.ready.eq(command.ready & room & self.enable),
            places.take.eq(command.valid & command.ready),
            fifo.sink.valid.eq(port.rdata.valid),
            fifo.sink.data.eq(port.rdata.data),
            port.rdata.ready.eq(1),
            source.valid.eq(fifo.source.valid),
            source.data.eq(fifo.source.data),
            fifo.source.ready.eq(source.ready | ~self.enable),
            places.give.eq(fifo.source.valid & fifo.source.ready),
        ]


class Gatherer(LiteXModule):
    """Gather the memory's words into beats, low word first.

    A word a cycle; a beat leaves with its last word, in the same cycle.

    Parameters
    ----------
    word_bits : int
    parts : int
        Words of a beat, a power of two. One: words pass as they are.

    Attributes
    ----------
    sink : Endpoint([("data", word_bits)]), in
    source : Endpoint([("data", parts·word_bits)]), out
    """

    def __init__(self, word_bits, parts):
        self.sink   = sink   = stream.Endpoint([("data", word_bits)])
        self.source = source = stream.Endpoint([("data", parts*word_bits)])

        # # #

        if parts == 1:
            self.comb += sink.connect(source)
            return

        part  = Signal(log2(parts))
        store = [Signal(word_bits) for _ in range(parts - 1)]
        whole = Signal()
        self.comb += [
            whole.eq(part == parts - 1),
            source.valid.eq(sink.valid & whole),
            source.data.eq(Cat(*store, sink.data)),
            sink.ready.eq(source.ready | ~whole),
        ]
        self.sync += If(sink.valid & sink.ready,
            part.eq(part + 1),
            Case(part, {index: word.eq(sink.data) for index, word in enumerate(store)}),
        )


class RegionReader(LiteXModule):
    """Read `beats` beats from beat address `start`, in order.

    Throughput one beat a cycle as far as the memory gives it, one cycle between regions. Back-pressure on `source`
    stops the requests; nothing is lost, since a request is only made when its answer has a place.

    Parameters
    ----------
    ports : list of LiteDRAMNativePort
        One, two or four.
    fifo_depth : int
        Requests in flight per port. With several ports at least a chunk.
    chunk_beats : int
        Words that one port reads before the next takes over, a power of two: a DRAM row.
    data_width : int, optional
        Of a beat, where it is gathered from several words of the ports.
    buffered : bool
        See `PortReader`.

    Attributes
    ----------
    sink : Endpoint([("start", address_bits), ("beats", address_bits + 1)]), in
        A region; taken when its first request is about to be made.
    source : Endpoint([("data", data_width)]), out
    enable : Signal(), in
        Low stops requests and throws away what arrives.
    idle : Signal(), out
        No request is in flight.
    """

    def __init__(self, ports, *, fifo_depth=64, chunk_beats=128, data_width=None, buffered=False):
        data_width   = data_width or ports[0].data_width
        parts        = data_width//ports[0].data_width  # words of a beat
        parts_log2   = log2(parts)
        address_bits = ports[0].address_width
        beat_bits    = address_bits - parts_log2
        self.sink   = sink = stream.Endpoint([("start", beat_bits), ("beats", beat_bits + 1)])
        self.source = stream.Endpoint([("data", data_width)])
        self.enable = Signal(reset=1)
        self.idle   = Signal()

        # # #

        # Regions in words. --------------------------------------------------------------------------------------------
        start = Signal(address_bits)
        words = Signal(address_bits + 1)
        self.comb += [
            start.eq(sink.start << parts_log2),
            words.eq(sink.beats << parts_log2),
        ]

        # Requests of all ports, and their answers in one row. ---------------------------------------------------------
        self.requests = requests = RegionRequests(address_bits, len(ports), chunk_beats)
        self.gatherer = gatherer = Gatherer(ports[0].data_width, parts)
        if len(ports) == 1:
            room, heard = 1, [gatherer.sink]
        else:
            self.answers = answers = RegionAnswers(address_bits, ports[0].data_width, len(ports), chunk_beats)
            room, heard  = answers.sink.ready, answers.sinks
            self.comb += [
                answers.sink.start.eq(start),
                answers.sink.words.eq(words),
                answers.sink.valid.eq(sink.valid & sink.ready & (words != 0)),
                answers.source.connect(gatherer.sink),
            ]
        self.comb += [
            sink.ready.eq(requests.sink.ready & self.enable & room),
            requests.sink.start.eq(start),
            requests.sink.words.eq(words),
            requests.sink.valid.eq(sink.valid & self.enable & room),
            gatherer.source.connect(self.source),
        ]
        for index, (port, request, answer) in enumerate(zip(ports, requests.sources, heard, strict=True)):
            reader = PortReader(port, fifo_depth, buffered=buffered)
            self.add_module(name=f"port_{index}", module=reader)
            self.comb += [
                reader.enable.eq(self.enable),
                request.connect(reader.sink),
                reader.source.connect(answer),
            ]

        # Requests in flight, seen at the ports: an aborted read is over when the last answer has come. ----------------
        flight = Signal(bits_for(len(ports)*fifo_depth + 1))
        self.comb += self.idle.eq(flight == 0)
        self.sync += flight.eq(flight + requests.made - reduce(add, [port.rdata.valid for port in ports]))
