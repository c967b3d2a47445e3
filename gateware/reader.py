# SPDX-License-Identifier: BSD-2-Clause
"""Sequential read of a region of memory through one or several LiteDRAM ports.

LiteDRAM's crossbar locks a port to one bank until its commands are done, so a lone port waits at each row's end.
Several ports that read alternate chunks of one DRAM row each let the next bank open while the last one drains:

                 ┌─ chunk 0, P, 2P … ─► port 0 ─► FIFO ─┐
    start, beats ┤                                      ├─► source, in address order
                 └─ chunk 1, P+1 …   ─► port 1 ─► FIFO ─┘
"""

from functools import reduce
from operator import add

from litedram.frontend.dma import LiteDRAMDMAReader
from litex.gen import LiteXModule
from litex.soc.interconnect import stream
from migen import If, Signal

from mixpe.gateware.jobs import log2


class RegionReader(LiteXModule):
    """Read `beats` beats from beat address `start`, in order.

    Throughput one beat a cycle as far as the memory gives it. Back-pressure on `source` stops the requests; nothing is
    lost, since a request is only made when its answer has a place in a FIFO.

    Parameters
    ----------
    ports : list of LiteDRAMNativePort
        One, two or four.
    fifo_depth : int
        Requests in flight per port. With several ports at least a chunk.
    chunk_beats : int
        Beats that one port reads before the next takes over, a power of two: a DRAM row.

    Attributes
    ----------
    sink : Endpoint([("start", 32), ("beats", 32)]), in
        A region; taken when its last request was made.
    source : Endpoint([("data", data_width)]), out
    enable : Signal(), in
        Low stops requests and throws away what arrives.
    idle : Signal(), out
        No request is in flight.
    """

    def __init__(self, ports, *, fifo_depth=64, chunk_beats=128):
        self.sink   = sink   = stream.Endpoint([("start", 32), ("beats", 32)])
        self.source = source = stream.Endpoint([("data", ports[0].data_width)])
        self.enable = Signal(reset=1)
        self.idle   = Signal()

        # # #

        self.readers = readers = [LiteDRAMDMAReader(port, fifo_depth=fifo_depth, fifo_buffered=True) for port in ports]
        for reader in readers:
            self.submodules += reader
            self.comb += reader.enable.eq(self.enable)

        # Requests. Chunks are aligned to addresses, so that a chunk is a row whatever the region's start. -------------
        count   = Signal(32)
        address = Signal(32)
        self.comb += address.eq(sink.start + count)
        chunk_log2  = log2(chunk_beats)
        select_bits = log2(len(ports))
        granted = Signal()
        pushed  = Signal()  # this region is in the queue of the answers
        for index, reader in enumerate(readers):
            chosen = address[chunk_log2:chunk_log2 + select_bits] == index if select_bits else 1
            self.comb += [
                reader.sink.address.eq(address),
                If(chosen,
                    reader.sink.valid.eq(sink.valid & self.enable & pushed & (sink.beats != 0)),
                    If(reader.sink.ready & reader.sink.valid, granted.eq(1)),
                ),
            ]
        self.comb += sink.ready.eq(sink.valid & ((sink.beats == 0) | (granted & (count == sink.beats - 1))))
        self.sync += If(granted,
            count.eq(count + 1),
            If(sink.ready, count.eq(0)),
        )

        # Answers: the same walk over the same regions says which port is next. ----------------------------------------
        self.regions = regions = stream.SyncFIFO([("start", 32), ("beats", 32)], 4)
        self.comb += [
            regions.sink.start.eq(sink.start),
            regions.sink.beats.eq(sink.beats),
            regions.sink.valid.eq(sink.valid & self.enable & (sink.beats != 0) & ~pushed),
        ]
        self.sync += [
            If(regions.sink.valid & regions.sink.ready, pushed.eq(1)),
            If(sink.valid & sink.ready, pushed.eq(0)),
        ]
        answered = Signal(32)
        position = Signal(32)
        self.comb += position.eq(regions.source.start + answered)
        for index, reader in enumerate(readers):
            chosen = position[chunk_log2:chunk_log2 + select_bits] == index if select_bits else 1
            self.comb += If(regions.source.valid & chosen,
                source.valid.eq(reader.source.valid),
                source.data.eq(reader.source.data),
                reader.source.ready.eq(source.ready),
            )
        self.comb += regions.source.ready.eq(
            source.valid & source.ready & (answered == regions.source.beats - 1))
        self.sync += If(source.valid & source.ready,
            answered.eq(answered + 1),
            If(regions.source.ready, answered.eq(0)),
        )

        # Requests in flight, seen at the ports: an aborted read is over when the last answer has come. ----------------
        flight = Signal(max=len(ports)*fifo_depth + 2)
        self.comb += self.idle.eq(flight == 0)
        self.sync += flight.eq(flight + granted - reduce(add, [port.rdata.valid for port in ports]))
