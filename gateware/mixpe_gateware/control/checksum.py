# SPDX-License-Identifier: BSD-2-Clause
"""CRC-32 of a region of memory, as `zlib.crc32`: an upload is verified without reading it back."""

from litex.gen import LiteXModule
from migen import FSM, Array, If, NextState, NextValue, Signal

from mixpe_gateware.contract.widths import log2
from mixpe_gateware.stream.crc32 import crc_terms
from mixpe_gateware.stream.reader import RegionReader

CHUNK_BITS = 32  # of data a cycle; 16 on a port of 16 bits


class Checksum(LiteXModule):
    """Read a region and compute its CRC-32.

    32 bits of memory a cycle, so a 128-bit port is used for a quarter of its cycles at most.

    Attributes
    ----------
    start : Signal(), in
        Strobe.
    address : Signal, in
        Of the region, in words of the port; stays until not busy.
    length : Signal, in
        In words of the port, with `start`.
    busy : Signal(), out
    value : Signal(32), out
        The CRC when not busy.
    """

    def __init__(self, port):
        self.start   = Signal()
        self.address = Signal(port.address_width)
        self.length  = Signal(port.address_width + 1)
        self.busy    = Signal()
        self.value   = Signal(32)

        # # #

        chunk = min(CHUNK_BITS, port.data_width)
        self.reader = reader = RegionReader([port], fifo_depth=16)
        crc    = Signal(32, reset=0xFFFFFFFF)
        mixed  = Signal(32)
        after  = Signal(32)
        parts  = port.data_width//chunk
        part   = Signal(max(1, log2(parts)))
        left   = Signal(port.address_width + 1)
        asked  = Signal()
        data   = Signal(chunk)
        self.comb += [
            data.eq(Array([reader.source.data[chunk*i:chunk*(i + 1)] for i in range(parts)])[part]
                if parts > 1 else reader.source.data),
            mixed.eq(crc ^ data),
            self.value.eq(~crc),
        ]
        self.comb += [after[bit].eq(term) for bit, term in enumerate(crc_terms(mixed, chunk))]

        self.fsm = fsm = FSM(reset_state="IDLE")
        fsm.act("IDLE",
            If(self.start,
                NextValue(crc, 0xFFFFFFFF),
                NextValue(left, self.length),
                NextValue(asked, 0),
                NextValue(part, 0),
                NextState("RUN"),
            ),
        )
        last = part == parts - 1 if parts > 1 else 1
        fsm.act("RUN",
            self.busy.eq(1),
            If(left == 0,
                NextState("IDLE"),
            ).Else(
                reader.sink.valid.eq(~asked),
                If(reader.sink.ready, NextValue(asked, 1)),
                If(reader.source.valid,
                    NextValue(crc, after),
                    NextValue(part, part + 1),
                    If(last,
                        NextValue(part, 0),
                        NextValue(left, left - 1),
                        reader.source.ready.eq(1),
                    ),
                ),
            ),
        )
        self.comb += [
            reader.sink.start.eq(self.address),
            reader.sink.beats.eq(left),
        ]


