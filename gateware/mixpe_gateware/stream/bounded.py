# SPDX-License-Identifier: BSD-2-Clause
"""Writes of 32-bit words to any places within bounds: results of the engines that a program drives.

    words, seeks ─► memory words with masks ─► bounds ─► FIFO ─► bursts ─► DRAM port

Words that follow each other are gathered into one of the memory's, so that a row costs as few writes as it can. What
lies outside the bounds is counted as written and dropped.
"""

from litex.gen import LiteXModule
from litex.soc.interconnect import stream
from migen import Case, Cat, If, Mux, Replicate, Signal, bits_for

from mixpe_gateware.contract.widths import log2

WORD_LAYOUT = [("data", 32), ("halves", 2), ("seek", 1), ("end", 1)]


class WordGatherer(LiteXModule):
    """Gather 32-bit words into the memory's, with a mask of their halves.

    A word a cycle; for a memory of 16 bits a word every two cycles. Latency 1 cycle.

    Parameters
    ----------
    memory_bits : int

    Attributes
    ----------
    sink : Endpoint(WORD_LAYOUT), in
        See `BoundedWriter`.
    source : Endpoint([("data", memory_bits), ("halves", memory_bits/16), ("place", 32 − log2(bytes)), ("jump", 1),
        ("end", 1)]), out
        `jump`: `place` does not follow the one before. An entry with `end` has no data.
    """

    def __init__(self, memory_bits):
        parts  = max(1, memory_bits//32)           # words of a memory's
        steps  = max(1, 32//memory_bits)           # memory's words of a word
        halves = memory_bits//16
        self.sink   = sink   = stream.Endpoint(WORD_LAYOUT)
        self.source = source = stream.Endpoint([("data", memory_bits), ("halves", halves),
            ("place", 32 - log2(memory_bits//8)), ("jump", 1), ("end", 1)])

        # # #

        here   = Signal(len(source.place) + log2(parts))  # of the next word, or half
        moved  = Signal()                                 # no word came since the last seek
        opened = Signal()                                 # there is something in the store
        whole  = Signal()                                 # that can grow no more
        store, mask = Signal(memory_bits), Signal(halves)
        place  = Signal.like(source.place)
        jump   = Signal()
        last   = Signal()                                 # the store is whole with the next word
        room   = Signal()
        closes = Signal()
        step   = Signal(max=max(2, steps))
        slot   = here[:log2(parts)] if parts > 1 else 0
        self.comb += [
            # The open word leaves when it is whole, or what follows does not belong to it; then the end itself.
            closes.eq(whole | (sink.valid & (sink.seek | sink.end))),
            source.valid.eq(Mux(opened, closes, sink.valid & sink.end)),
            source.end.eq(~opened),
            source.data.eq(store),
            source.halves.eq(mask),
            source.place.eq(place),
            source.jump.eq(jump),
            room.eq(~whole | source.ready),
            last.eq(slot == parts - 1 if parts > 1 else 1),
            sink.ready.eq(Mux(sink.end, ~opened & source.ready,
                Mux(sink.seek, ~opened | source.ready, room & (step == steps - 1)))),
        ]
        taken, put = Signal(), Signal()
        self.comb += [
            taken.eq(opened & source.valid & source.ready),
            put.eq(sink.valid & ~sink.seek & ~sink.end & room),
        ]
        data, kept = sink.data, sink.halves
        if steps > 1:
            data, kept = Mux(step, sink.data[16:], sink.data[:16]), Mux(step, sink.halves[1], sink.halves[0])
        width = min(32, memory_bits)
        self.sync += [
            If(taken, opened.eq(0), whole.eq(0), mask.eq(0)),
            If(put,
                opened.eq(1),
                whole.eq(last),
                here.eq(here + 1),
                step.eq(step + 1 if steps > 1 else 0),
                Case(slot, {index: [
                    store[width*index:width*(index + 1)].eq(data),
                    mask[width//16*index:width//16*(index + 1)].eq(kept),
                ] for index in range(parts)}) if parts > 1 else [store.eq(data), mask.eq(kept)],
                If(~opened | taken,
                    place.eq(here[log2(parts):]),
                    jump.eq(moved),
                    moved.eq(0),
                ),
            ),
            If(sink.valid & sink.seek & sink.ready,
                here.eq(sink.data[32 - len(here):]),
                moved.eq(1),
            ),
        ]


class BoundedWriter(LiteXModule):
    """Write words within bounds, and say when the memory has taken them.

    A lone write between reads costs the memory many cycles of turning around, so the memory's words are collected until
    there are `burst_words` of them or an end.

    Parameters
    ----------
    config : Config
    port : LiteDRAMNativePort
        Of `config.memory_bits`.
    burst_words : int
    fifo_depth : int
        Of writes whose command was made and whose data the memory has not taken.

    Attributes
    ----------
    sink : Endpoint([("data", 32), ("halves", 2), ("seek", 1), ("end", 1)]), in
        With `seek`: `data` is the byte offset of the next word, a multiple of 4. With `end`: no data; what came before
        is to be written, and the next entry is a seek. Else a word, of which those halves are written whose bit is
        set; the next one follows it.
    low_beat, high_beat : Signal, in
        Beats (of `config.port_bits`) from low_beat to high_beat − 1 may be written. They stay from a seek to its end.
    source : Endpoint([("outside", 1)]), out
        One entry an end, when the memory has taken all before; `outside`: something was not written.
    enable : Signal(), in
        Low holds back new writes.
    idle : Signal(), out
        Nothing is on its way to memory.
    beat : Signal(), out
        A memory word was written.
    """

    def __init__(self, config, port, *, burst_words=64, fifo_depth=16, seeks=16):
        self.sink      = stream.Endpoint(WORD_LAYOUT)
        self.low_beat  = Signal(32 - log2(config.beat_bytes))
        self.high_beat = Signal(33 - log2(config.beat_bytes))
        self.source    = source = stream.Endpoint([("outside", 1)])
        self.enable    = Signal(reset=1)
        self.idle      = Signal()
        self.beat      = Signal()

        # # #

        self.gatherer = gatherer = WordGatherer(config.memory_bits)
        words = gatherer.source
        self.comb += self.sink.connect(gatherer.sink)

        # Bounds; words wait until a burst is worth it, places of those that do not follow another beside them. --------
        halves  = config.memory_bits//16
        layout  = [("data", config.memory_bits), ("halves", halves)]  # its first and last are jumps and ends
        self.waiting = waiting = stream.SyncFIFO(layout, burst_words, buffered=True)
        self.places  = places  = stream.SyncFIFO([("place", port.address_width)], seeks)
        place   = words.place[log2(config.words_per_beat):]
        inside  = Signal()
        outside = Signal()
        moved   = Signal()
        self.comb += [
            inside.eq((place >= self.low_beat) & (place < self.high_beat)),
            words.ready.eq(waiting.sink.ready & places.sink.ready),
            waiting.sink.valid.eq(words.valid & places.sink.ready),
            waiting.sink.data.eq(words.data),
            waiting.sink.halves.eq(words.halves & Replicate(inside, halves)),
            waiting.sink.first.eq(words.jump),
            waiting.sink.last.eq(words.end),
            places.sink.valid.eq(words.valid & words.jump & ~words.end & waiting.sink.ready),
            places.sink.place.eq(words.place),
        ]
        self.sync += [
            If(source.valid & source.ready, outside.eq(0)),
            If(words.valid & ~words.end & (words.halves != 0) & ~inside, outside.eq(1)),
        ]

        # Bursts. ------------------------------------------------------------------------------------------------------
        head  = waiting.source
        ends  = Signal(bits_for(burst_words + 1))
        burst = Signal()
        self.sync += [
            ends.eq(ends + (waiting.sink.valid & waiting.sink.ready & waiting.sink.last)
                - (head.valid & head.ready & head.last)),
            If(~waiting.sink.ready | ~places.sink.ready | (ends != 0),
                burst.eq(1),
            ).Elif(~head.valid,
                burst.eq(0),
            ),
        ]

        # Commands and data part: the data wait in the FIFO before the command is at the memory's crossbar. ------------
        self.fifo = fifo = stream.SyncFIFO([("data", config.memory_bits), ("halves", halves)], fifo_depth)
        command = stream.Endpoint([("addr", port.address_width)])
        if config.is_shallow:
            self.comb += command.connect(port.cmd)
        else:
            self.command = buffer = stream.Buffer(command.description, pipe_ready=True)
            self.comb += [
                command.connect(buffer.sink),
                buffer.source.connect(port.cmd),
            ]
        follows = Signal(port.address_width)  # place of the next word
        kept    = Signal()                    # it is to be written
        go      = Signal()
        self.comb += [
            kept.eq(head.halves != 0),
            go.eq(head.valid & ~head.last & burst & self.enable),
            port.cmd.we.eq(1),
            command.addr.eq(Mux(head.first, places.source.place, follows)),
            command.valid.eq(go & kept & fifo.sink.ready),
            fifo.sink.valid.eq(go & kept & command.ready),
            fifo.sink.data.eq(head.data),
            fifo.sink.halves.eq(head.halves),
            self.beat.eq(command.valid & command.ready),
            moved.eq(go & (~kept | self.beat)),
            head.ready.eq(Mux(head.last, source.valid & source.ready, moved)),
            places.source.ready.eq(moved & head.first),
            port.wdata.valid.eq(fifo.source.valid),
            port.wdata.data.eq(fifo.source.data),
            port.wdata.we.eq(Cat(*[Replicate(half, 2) for half in fifo.source.halves])),
            fifo.source.ready.eq(port.wdata.ready),
            self.idle.eq(~fifo.source.valid),
            source.valid.eq(head.valid & head.last & self.idle),
            source.outside.eq(outside),
        ]
        self.sync += If(moved, follows.eq(command.addr + 1))
