# SPDX-License-Identifier: BSD-2-Clause
"""Streams of 32-bit words to and from a native LiteDRAM port of 16 to 128 bits."""

from litedram.frontend.dma import LiteDRAMDMAReader
from litex.gen import LiteXModule
from litex.soc.interconnect import stream
from migen import Array, Case, Cat, If, Signal

from mixpe_gateware.contract.errors import ConfigError

WIDTHS = (16, 32, 64, 128)


def _check(port):
    if port.data_width not in WIDTHS:
        raise ConfigError(f"the memory port must have one of {WIDTHS} bits, not {port.data_width}")


class WordWriter(LiteXModule):
    """Gather words into beats and post them. Words of one beat go out together; a beat in part has its mask.

    Attributes
    ----------
    sink : stream.Endpoint([("address", 30), ("data", 32)]), in
        Word offset in the memory. `last` sends a beat that is not complete.
    pending : Signal(), out
        Words are here whose command the controller has not taken yet. Once it has, a later read of any port sees them.
    flush : Signal(), in
        One cycle: no more words will come.
    """

    def __init__(self, port, fifo_depth=16):
        _check(port)
        self.sink    = sink = stream.Endpoint([("address", 30), ("data", 32)])
        self.pending = Signal()
        self.flush   = Signal()

        # # #

        width = port.data_width
        words = max(1, width//32)   # of a beat
        beats = max(1, 32//width)   # of a word
        shift = words.bit_length() - 1

        # The beat that is being gathered.
        data     = Signal(32*words)
        mask     = Signal(4*words)
        address  = Signal(30)
        complete = Signal()
        part     = Signal(max=max(2, beats))
        sent     = Signal()
        new_beat = Signal()
        self.comb += [
            sink.ready.eq(~self.pending | sent | ~complete),
            # A word of another beat: what is here must leave first.
            new_beat.eq(self.pending & (address != sink.address[shift:])),
            If(new_beat & ~(complete & sent), sink.ready.eq(0)),
        ]
        index = sink.address[:shift] if shift else 0
        place = {n: [data[32*n:32*n + 32].eq(sink.data), mask[4*n:4*n + 4].eq(0xf)] for n in range(words)}
        self.sync += [
            If(sent, self.pending.eq(0), complete.eq(0), mask.eq(0)),
            If(self.pending & (self.flush | (sink.valid & new_beat)), complete.eq(1)),
            If(sent, complete.eq(0)),
            If(sink.valid & sink.ready,
                self.pending.eq(1),
                address.eq(sink.address[shift:]),
                Case(index, place) if shift else place[0],
                complete.eq(sink.last | (index == words - 1)),
            ),
        ]

        # Command and data leave together: the controller may ask for the data at once.
        self.fifo = fifo = stream.SyncFIFO([("data", width), ("we", width//8)], fifo_depth)
        push = Signal()
        self.comb += [
            push.eq(self.pending & complete),
            port.cmd.we.eq(1),
            port.cmd.valid.eq(push & fifo.sink.ready),
            fifo.sink.valid.eq(push & port.cmd.ready),
            sent.eq(push & fifo.sink.ready & port.cmd.ready & (part == beats - 1)),
            port.wdata.valid.eq(fifo.source.valid),
            port.wdata.data.eq(fifo.source.data),
            port.wdata.we.eq(fifo.source.we),
            fifo.source.ready.eq(port.wdata.ready),
        ]
        if beats == 1:
            self.comb += [port.cmd.addr.eq(address), fifo.sink.data.eq(data), fifo.sink.we.eq(mask)]
        else:
            self.comb += [
                port.cmd.addr.eq(Cat(part, address)),
                fifo.sink.data.eq(Array([data[width*n:width*(n + 1)] for n in range(beats)])[part]),
                fifo.sink.we.eq(2**(width//8) - 1),
            ]
            self.sync += If(push & fifo.sink.ready & port.cmd.ready, part.eq(part + 1))


class WordReader(LiteXModule):
    """Read words from consecutive addresses, with as many requests under way as the buffer holds.

    Attributes
    ----------
    sink : stream.Endpoint([("address", 30), ("words", 9)]), in
        Word offset in the memory. It is taken with the last word.
    source : stream.Endpoint([("data", 32)]), out
        `last` marks the last word.
    """

    def __init__(self, port, fifo_depth=32):
        _check(port)
        self.sink   = sink = stream.Endpoint([("address", 30), ("words", 9)])
        self.source = source = stream.Endpoint([("data", 32)])

        # # #

        width = port.data_width
        words = max(1, width//32)
        beats = max(1, 32//width)
        shift = words.bit_length() - 1
        self.dma = dma = LiteDRAMDMAReader(port, fifo_depth=fifo_depth)

        # Requests, in beats. The last one is computed as a word address and compared as a beat address.
        asked  = Signal(10 + (beats > 1))
        first  = Signal(30 + (beats > 1))
        total  = Signal(10 + (beats > 1))
        if beats == 1:
            final = Signal(30)
            self.comb += [
                final.eq(sink.address + sink.words - 1),
                first.eq(sink.address[shift:]),
                total.eq(final[shift:] - first + 1),
            ]
        else:
            self.comb += [first.eq(sink.address << 1), total.eq(sink.words << 1)]
        self.comb += [
            dma.sink.valid.eq(sink.valid & (asked != total)),
            dma.sink.address.eq(first + asked),
        ]
        self.sync += If(dma.sink.valid & dma.sink.ready, asked.eq(asked + 1))

        # Answers, in words.
        given = Signal(9)
        end   = Signal()
        self.comb += [source.last.eq(given == sink.words - 1), end.eq(source.valid & source.ready & source.last),
                      sink.ready.eq(end)]
        self.sync += [
            If(source.valid & source.ready, given.eq(given + 1)),
            If(end, given.eq(0), asked.eq(0)),
        ]
        if beats == 1:
            index = Signal(max=max(2, words))
            if shift:
                self.comb += index.eq(sink.address[:shift] + given[:shift])
            self.comb += [
                source.valid.eq(dma.source.valid),
                source.data.eq(Array([dma.source.data[32*n:32*n + 32] for n in range(words)])[index]),
                dma.source.ready.eq(source.ready & ((index == words - 1) | source.last)),
            ]
        else:
            low  = Signal(width)
            half = Signal()
            self.comb += [
                source.valid.eq(dma.source.valid & half),
                source.data.eq(Cat(low, dma.source.data)),
                dma.source.ready.eq(~half | source.ready),
            ]
            self.sync += If(dma.source.valid & dma.source.ready, half.eq(~half), If(~half, low.eq(dma.source.data)))


class MemoryPath(LiteXModule):
    """A bridge's way to the memory: words of a frame, posted or prefetched.

    Parameters
    ----------
    write_port, read_port : LiteDRAMNativePort
    mem_base, mem_bytes : int
        Bus region of the memory; both powers of two, as LiteX places it.
    ready : Signal() or 1
        Low while the memory answers nothing: accesses to it then take the bus, which has an answer or a limit.

    Attributes
    ----------
    address : Signal(30), in
        Word address on the bus: of the word that is written, or of the first that is read.
    words : Signal(9), in
        To read.
    sink : stream.Endpoint([("data", 32)]), in
        Words to write; `last` sends what is here.
    flush : Signal(), in
        One cycle: no more words will come.
    pending : Signal(), out
        As of `WordWriter`.
    read : Signal(), in
        High from the first cycle of a read to `done`.
    done : Signal(), out
        One cycle: the last word of a read is taken.
    source : stream.Endpoint([("data", 32)]), out
        Words that are read.
    """

    def __init__(self, write_port, read_port, *, mem_base, mem_bytes, ready=1):
        if mem_bytes & (mem_bytes - 1) or mem_base % mem_bytes:
            raise ConfigError(f"the memory must be a power of two of bytes, and aligned: not {mem_bytes:#x} bytes at "
                              f"{mem_base:#x}")
        self.writer  = writer = WordWriter(write_port)
        self.reader  = reader = WordReader(read_port)
        self.address = Signal(30)
        self.words   = Signal(9)
        self.sink    = sink = stream.Endpoint([("data", 32)])
        self.flush   = writer.flush
        self.pending = writer.pending
        self.read    = reader.sink.valid
        self.done    = reader.sink.ready
        self.source  = reader.source
        self.ready   = ready
        self._bits   = bits = mem_bytes.bit_length() - 3  # of a word offset
        self._place  = mem_base >> 2 + bits

        # # #

        self.comb += [
            writer.sink.address.eq(self.address[:bits]),
            sink.connect(writer.sink),
            reader.sink.address.eq(self.address[:bits]),
            reader.sink.words.eq(self.words),
        ]

    def covers(self, address):
        """A word address on the bus is in the memory."""
        return address[self._bits:] == self._place
