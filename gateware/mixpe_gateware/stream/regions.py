# SPDX-License-Identifier: BSD-2-Clause
"""Walks over regions of memory whose words lie in turn behind several ports.

A port's chunks are aligned to addresses, so that a chunk is a DRAM row whatever the region's start: chunk c is behind
port c mod P. Requests walk over a region to say which port is asked, answers walk over it again to say which port is
next to be heard.
"""

from litex.gen import LiteXModule
from litex.soc.interconnect import stream
from migen import If, Signal

from mixpe_gateware.contract.widths import log2

REGIONS_AHEAD = 4  # regions that are requested and not yet heard


class RegionRequests(LiteXModule):
    """Addresses of a region's words, each for the port that has it.

    A request a cycle, one cycle between regions; a port that takes none holds back all of them.

    Parameters
    ----------
    address_bits : int
    ports : int
    chunk : int
        Words of a chunk, a power of two.

    Attributes
    ----------
    sink : Endpoint([("start", address_bits), ("words", address_bits + 1)]), in
    sources : list of Endpoint([("address", address_bits)]), out
        One a port.
    made : Signal(), out
        A request was taken.
    """

    def __init__(self, address_bits, ports, chunk):
        self.sink    = sink = stream.Endpoint([("start", address_bits), ("words", address_bits + 1)])
        self.sources = [stream.Endpoint([("address", address_bits)]) for _ in range(ports)]
        self.made    = Signal()

        # # #

        chunk_log2  = log2(chunk)
        select_bits = log2(ports)
        active  = Signal()
        address = Signal(address_bits)
        left    = Signal(address_bits + 1)
        last    = Signal()
        self.comb += sink.ready.eq(~active)
        for index, source in enumerate(self.sources):
            chosen = address[chunk_log2:chunk_log2 + select_bits] == index if select_bits else 1
            self.comb += [
                source.address.eq(address),
                If(chosen,
                    source.valid.eq(active),
                    If(source.ready & active, self.made.eq(1)),
                ),
            ]
        self.sync += [
            If(self.made,
                address.eq(address + 1),
                left.eq(left - 1),
                last.eq(left == 2),
                If(last, active.eq(0)),
            ),
            If(sink.valid & sink.ready,
                active.eq(sink.words != 0),
                address.eq(sink.start),
                left.eq(sink.words),
                last.eq(sink.words == 1),
            ),
        ]


class RegionAnswers(LiteXModule):
    """Words of several ports in the order of their addresses.

    A word a cycle, one cycle between regions; `REGIONS_AHEAD` regions may wait.

    Parameters
    ----------
    address_bits, data_width : int
    ports : int
        Two or more.
    chunk : int
        Words of a chunk, a power of two.

    Attributes
    ----------
    sink : Endpoint([("start", log2(chunk·ports)), ("words", address_bits + 1)]), in
        A region of one word or more; of its start the bits that say which port and which word of a chunk.
    sinks : list of Endpoint([("data", data_width)]), in
        One a port.
    source : Endpoint([("data", data_width)]), out
    """

    def __init__(self, address_bits, data_width, ports, chunk):
        chunk_log2    = log2(chunk)
        position_bits = chunk_log2 + log2(ports)
        layout      = [("start", position_bits), ("words", address_bits + 1)]
        self.sink   = stream.Endpoint(layout)
        self.sinks  = [stream.Endpoint([("data", data_width)]) for _ in range(ports)]
        self.source = source = stream.Endpoint([("data", data_width)])

        # # #

        self.regions = regions = stream.SyncFIFO(layout, REGIONS_AHEAD)
        walking  = Signal()
        position = Signal(position_bits)
        missing  = Signal(address_bits + 1)
        final    = Signal()
        for index, sink in enumerate(self.sinks):
            self.comb += If(walking & (position[chunk_log2:] == index),
                source.valid.eq(sink.valid),
                source.data.eq(sink.data),
                sink.ready.eq(source.ready),
            )
        self.comb += [
            self.sink.connect(regions.sink),
            regions.source.ready.eq(~walking),
        ]
        self.sync += [
            If(source.valid & source.ready,
                position.eq(position + 1),
                missing.eq(missing - 1),
                final.eq(missing == 2),
                If(final, walking.eq(0)),
            ),
            If(regions.source.valid & regions.source.ready,
                walking.eq(1),
                position.eq(regions.source.start),
                missing.eq(regions.source.words),
                final.eq(regions.source.words == 1),
            ),
        ]
