# SPDX-License-Identifier: BSD-2-Clause
"""The way of results to memory: numbers are packed into beats, beats are written in bursts of the port's words."""

from litex.gen import LiteXModule
from litex.soc.interconnect import stream
from migen import Array, If, Mux, Signal, bits_for

from mixpe_gateware.contract.widths import log2


class Packer(LiteXModule):
    """Collect 32-bit words into beats.

    A word a cycle for ports of 32 bits and more; for 16 bits a word every two cycles.

    Attributes
    ----------
    sink : Endpoint([("data", 32)]), in
        An entry with `end` has no data: it pads the open beat with zeros and passes on.
    source : Endpoint([("data", port_bits), ("end", 1)]), out
    """

    def __init__(self, port_bits):
        self.sink   = sink   = stream.Endpoint([("data", 32), ("end", 1)])
        self.source = source = stream.Endpoint([("data", port_bits), ("end", 1)])

        # # #

        room = Signal()  # for a word
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


class Splitter(LiteXModule):
    """Cut beats into words of the memory's port, low word first; an entry with `end` passes as it is.

    Attributes
    ----------
    sink : Endpoint([("data", port_bits), ("end", 1)]), in
    source : Endpoint([("data", memory_bits), ("end", 1)]), out
    """

    def __init__(self, port_bits, memory_bits):
        self.sink   = sink   = stream.Endpoint([("data", port_bits), ("end", 1)])
        self.source = source = stream.Endpoint([("data", memory_bits), ("end", 1)])

        # # #

        parts = port_bits//memory_bits
        part  = Signal(max=max(2, parts))
        whole = Signal()
        self.comb += [
            whole.eq(sink.end | (part == parts - 1)),
            source.valid.eq(sink.valid),
            source.end.eq(sink.end),
            source.data.eq(Array([sink.data[memory_bits*index:memory_bits*(index + 1)] for index in range(parts)])[part]
                if parts > 1 else sink.data),
            sink.ready.eq(source.ready & whole),
        ]
        self.sync += If(source.valid & source.ready, part.eq(Mux(whole, 0, part + 1)))


class ResultWriter(LiteXModule):
    """Write beats to memory in bursts and report each job when its last word was taken.

    A lone write between reads costs the memory some 16 cycles of turning around (measured on DDR3), so words are
    collected until there are `burst_words` of them or the job ends.

    Attributes
    ----------
    jobs : Endpoint([("out_beat", address_bits), ("code", 4), ("start", 32)]), in
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

    def __init__(self, config, port, *, burst_words=64, fifo_depth=16):
        parts_log2  = log2(config.words_per_beat)
        self.jobs   = jobs   = stream.Endpoint([("out_beat", port.address_width - parts_log2), ("code", 4),
            ("start", 32)])
        self.sink   = stream.Endpoint([("data", config.port_bits), ("end", 1)])
        self.source = source = stream.Endpoint([("code", 4), ("start", 32)])
        self.enable = Signal(reset=1)
        self.idle   = Signal()
        self.beat   = Signal()

        # # #

        self.splitter = splitter = Splitter(config.port_bits, config.memory_bits)
        self.comb += self.sink.connect(splitter.sink)

        # Words wait until a burst is worth it. ------------------------------------------------------------------------
        self.waiting = waiting = stream.SyncFIFO([("data", config.memory_bits), ("end", 1)], burst_words,
            buffered=True)
        self.comb += splitter.source.connect(waiting.sink)
        sink  = stream.Endpoint([("data", config.memory_bits), ("end", 1)])
        ends  = Signal(bits_for(burst_words + 1))
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

        # Commands and data part here: the data wait in the FIFO before the command is at the memory's crossbar. -------
        words = stream.Endpoint([("address", port.address_width), ("data", config.memory_bits)])
        self.fifo = fifo = stream.SyncFIFO([("data", config.memory_bits)], fifo_depth)
        command = stream.Endpoint([("addr", port.address_width)])
        if config.is_shallow:
            self.comb += command.connect(port.cmd)
        else:
            self.command = buffer = stream.Buffer(command.description, pipe_ready=True)
            self.comb += [
                command.connect(buffer.sink),
                buffer.source.connect(port.cmd),
            ]
        self.comb += [
            port.cmd.we.eq(1),
            command.valid.eq(words.valid & fifo.sink.ready),
            command.addr.eq(words.address),
            fifo.sink.valid.eq(words.valid & command.ready),
            fifo.sink.data.eq(words.data),
            words.ready.eq(command.ready & fifo.sink.ready),
            port.wdata.valid.eq(fifo.source.valid),
            port.wdata.data.eq(fifo.source.data),
            port.wdata.we.eq((1 << config.memory_bits//8) - 1),
            fifo.source.ready.eq(port.wdata.ready),
        ]

        # Of the next word, one cycle old: the address of a job's first word settles while the job runs.
        offset  = Signal(port.address_width)
        address = Signal(port.address_width)
        settled = Signal()
        written = Signal()
        self.comb += [
            self.idle.eq(~fifo.source.valid),
            words.valid.eq(sink.valid & ~sink.end & settled & self.enable),
            words.address.eq(address),
            words.data.eq(sink.data),
            source.valid.eq(sink.valid & sink.end & settled & self.idle),
            source.code.eq(jobs.code),
            source.start.eq(jobs.start),
            sink.ready.eq(settled & Mux(sink.end, self.idle & source.ready, words.ready & self.enable)),
            jobs.ready.eq(source.valid & source.ready),
            written.eq(words.valid & words.ready),
            self.beat.eq(written & (offset[:parts_log2] == config.words_per_beat - 1) if parts_log2 else written),
        ]
        self.sync += [
            settled.eq(jobs.valid & ~jobs.ready),
            address.eq((jobs.out_beat << parts_log2) + offset),
            If(written, offset.eq(offset + 1), address.eq(address + 1)),
            If(jobs.ready, offset.eq(0)),
        ]
