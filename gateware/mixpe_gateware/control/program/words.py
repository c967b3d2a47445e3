# SPDX-License-Identifier: BSD-2-Clause
"""Short regions of memory as 32-bit words, in the order in which they were asked for."""

from litex.gen import LiteXModule
from litex.soc.interconnect import stream

from mixpe_gateware.contract.program.records import RECORD_BYTES
from mixpe_gateware.stream.reader import RegionReader

RECORDS_AHEAD = 2  # that have a place on the chip before they are loaded


class WordReader(LiteXModule):
    """Read units of a port's word, or of 32 bits where that is narrower.

    Throughput 32 bits a cycle; a request sets out when its answer has a place.

    Parameters
    ----------
    port : LiteDRAMNativePort

    Attributes
    ----------
    unit_bytes : int
        A power of two, 4 at least.
    sink : Endpoint([("start", bits), ("beats", bits)]), in
        A region in units.
    source : Endpoint([("data", 32)]), out
    enable : Signal(), in; idle : Signal(), out
        As for `RegionReader`.
    """

    def __init__(self, port):
        unit_bits = max(32, port.data_width)
        self.unit_bytes = unit_bits//8
        depth = max(8, RECORDS_AHEAD*8*RECORD_BYTES//port.data_width)
        self.reader = reader = RegionReader([port], fifo_depth=depth, data_width=unit_bits)
        self.sink   = reader.sink
        self.enable = reader.enable
        self.idle   = reader.idle
        self.source = stream.Endpoint([("data", 32)])

        # # #

        self.converter = converter = stream.Converter(unit_bits, 32)
        self.comb += [
            reader.source.connect(converter.sink),
            self.source.valid.eq(converter.source.valid),
            self.source.data.eq(converter.source.data),
            converter.source.ready.eq(self.source.ready),
        ]
