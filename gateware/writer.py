# SPDX-License-Identifier: BSD-2-Clause
"""The way of results to memory: words are packed into beats, beats are written in bursts."""

from litedram.frontend.dma import LiteDRAMDMAWriter
from litex.gen import LiteXModule
from litex.soc.interconnect import stream
from migen import If, Mux, Signal, bits_for


class Packer(LiteXModule):
    """Collect 32-bit words into beats.

    A word a cycle for ports of 32 bits and more; for 16 bits a word every two cycles.

    Attributes
    ----------
    sink : Endpoint([("data", 32)]), in
        An entry with `end` has no data: it pads the open beat with zeros and passes on.
    source : Endpoint([("data", port_bits), ("end", 1)]), out
    room : Signal(), out
        A word would be taken; does not depend on `sink`.
    """

    def __init__(self, port_bits):
        self.room   = room   = Signal()
        self.sink   = sink   = stream.Endpoint([("data", 32), ("end", 1)])
        self.source = source = stream.Endpoint([("data", port_bits), ("end", 1)])

        # # #

        if port_bits == 16:
            upper = Signal()
            self.comb += [
                source.valid.eq(sink.valid),
                source.end.eq(sink.end),
                source.data.eq(Mux(upper, sink.data[16:], sink.data[:16])),
                room.eq(source.ready & upper),
                sink.ready.eq(Mux(sink.end, source.ready, room)),
            ]
            self.sync += If(sink.valid & source.ready & ~sink.end, upper.eq(~upper))
            return

        words = port_bits//32
        store = Signal(port_bits)
        count = Signal(bits_for(words))
        full  = Signal()
        self.comb += [
            full.eq(count == words),
            source.data.eq(store),
            # An open beat goes out when it is full or when the job ends; then the end itself.
            source.valid.eq(full | (sink.valid & sink.end)),
            source.end.eq(sink.valid & sink.end & (count == 0)),
            room.eq(~full | source.ready),
            sink.ready.eq(Mux(sink.end, source.ready & (count == 0), room)),
        ]
        self.sync += [
            If(source.valid & source.ready,
                count.eq(0),
                store.eq(0),
            ),
            If(sink.valid & sink.ready & ~sink.end,
                If(full,
                    count.eq(1),
                    store.eq(sink.data),
                ).Else(
                    count.eq(count + 1),
                    *[If(count == index, store[32*index:32*index + 32].eq(sink.data)) for index in range(words)],
                ),
            ),
        ]


class ResultWriter(LiteXModule):
    """Write beats to memory in bursts and report each job when its last beat was taken.

    A lone write between reads costs the memory some 16 cycles of turning around (measured on DDR3), so beats are
    collected until there are `burst_beats` of them or the job ends.

    Attributes
    ----------
    jobs : Endpoint([("out_beat", 32), ("code", 4), ("start", 32)]), in
        One entry for each job, in order.
    sink : Endpoint([("data", port_bits), ("end", 1)]), in
    source : Endpoint([("code", 4), ("start", 32)]), out
        Jobs that ended.
    enable : Signal(), in
        Low holds back new writes.
    idle : Signal(), out
        Nothing is on its way to memory.
    beat : Signal(), out
    """

    def __init__(self, config, port, *, burst_beats=64, fifo_depth=16):
        self.jobs   = jobs   = stream.Endpoint([("out_beat", 32), ("code", 4), ("start", 32)])
        self.sink   = stream.Endpoint([("data", config.port_bits), ("end", 1)])
        self.source = source = stream.Endpoint([("code", 4), ("start", 32)])
        self.enable = Signal(reset=1)
        self.idle   = Signal()
        self.beat   = Signal()

        # # #

        # Beats wait until a burst is worth it. ------------------------------------------------------------------------
        self.waiting = waiting = stream.SyncFIFO([("data", config.port_bits), ("end", 1)], burst_beats, buffered=True)
        self.comb += self.sink.connect(waiting.sink)
        sink  = stream.Endpoint([("data", config.port_bits), ("end", 1)])
        ends  = Signal(bits_for(burst_beats + 1))
        burst = Signal()
        self.comb += waiting.source.connect(sink, omit={"valid", "ready"})
        self.comb += [
            sink.valid.eq(waiting.source.valid & burst),
            waiting.source.ready.eq(sink.ready & burst),
        ]
        self.sync += [
            ends.eq(ends + (waiting.sink.valid & waiting.sink.ready & waiting.sink.end)
                - (waiting.source.valid & waiting.source.ready & waiting.source.end)),
            If(~waiting.sink.ready | (ends != 0),
                burst.eq(1),
            ).Elif(~waiting.source.valid,
                burst.eq(0),
            ),
        ]

        self.writer = writer = LiteDRAMDMAWriter(port, fifo_depth=fifo_depth, fifo_buffered=False)
        offset = Signal(32)
        self.comb += [
            self.idle.eq(writer.fifo.level == 0),
            writer.sink.valid.eq(sink.valid & ~sink.end & jobs.valid & self.enable),
            writer.sink.address.eq(jobs.out_beat + offset),
            writer.sink.data.eq(sink.data),
            source.valid.eq(sink.valid & sink.end & jobs.valid & self.idle),
            source.code.eq(jobs.code),
            source.start.eq(jobs.start),
            sink.ready.eq(jobs.valid & Mux(sink.end, self.idle & source.ready, writer.sink.ready & self.enable)),
            jobs.ready.eq(source.valid & source.ready),
            self.beat.eq(writer.sink.valid & writer.sink.ready),
        ]
        self.sync += [
            If(self.beat, offset.eq(offset + 1)),
            If(jobs.ready, offset.eq(0)),
        ]
