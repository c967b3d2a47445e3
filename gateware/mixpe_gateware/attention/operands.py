# SPDX-License-Identifier: BSD-2-Clause
"""What a pass over keys and values keeps on the chip: rows, scales, exponents."""

from litex.gen import LiteXModule
from litex.soc.interconnect import stream
from migen import READ_FIRST, Array, Case, Cat, If, Memory, Replicate, Signal, bits_for

from mixpe_gateware.contract.widths import log2

LUT_ROWS      = 16  # a memory of as many rows is read without a clock, which is LUT RAM
EXPONENT_BITS = 9   # of a query's exponent, signed: those of F32 fit


class RowMemory(LiteXModule):
    """Rows with one write and one read port.

    Latency `latency` cycles from `address` to `data`, which is a register; 1 up to 16 rows. Deeper memories have 2, so
    that synthesis may take block RAM; it takes LUT RAM where that is smaller.

    Attributes
    ----------
    write : Signal(), in; write_address : Signal(max=depth), in; write_data : Signal(width), in
    address : Signal(max=depth), in
    clear : Signal(), in
        A cycle before `data`: it is 0 whatever was read.
    data : Signal(width), out
    """

    @staticmethod
    def latency_of(depth):
        return 1 if depth <= LUT_ROWS else 2

    def __init__(self, width, depth):
        self.latency = self.latency_of(depth)
        self.write   = Signal()
        self.write_address = Signal(max=max(2, depth))
        self.write_data    = Signal(width)
        self.address = Signal(max=max(2, depth))
        self.clear   = Signal()
        self.data    = Signal(width, reset_less=True)

        # # #

        memory = Memory(width, depth)
        write  = memory.get_port(write_capable=True, mode=READ_FIRST)
        read   = memory.get_port(async_read=True) if self.latency == 1 else memory.get_port(mode=READ_FIRST)
        self.specials += memory, write, read
        self.comb += [
            write.adr.eq(self.write_address),
            write.dat_w.eq(self.write_data),
            write.we.eq(self.write),
            read.adr.eq(self.address),
        ]
        # The registers' own reset clears: no logic between them and what they feed.
        self.sync += If(self.clear, self.data.eq(0)).Else(self.data.eq(read.dat_r))


class QueryMemory(LiteXModule):
    """Codes of the queries of several heads: written beat by beat, head after head; read L of each head at once.

    Latency `latency` cycles from `step` to `codes`.

    Parameters
    ----------
    config : Config
    depth : int
        Rows of L codes of a head.

    Attributes
    ----------
    write : Signal(), in
    head : Signal(max=heads), in; part : Signal(max=2·depth), in
        Which beat of which head: a row has two.
    beat : Signal(port_bits), in
    step : Signal(max=depth), in
    codes : list of Signal(16·L), out
        One a head.
    """

    def __init__(self, config, depth):
        heads = config.attention_heads
        self.latency = RowMemory.latency_of(depth)
        self.write = Signal()
        self.head  = Signal(max=max(2, heads))
        self.part  = Signal(max=2*depth)
        self.beat  = Signal(config.port_bits)
        self.step  = Signal(max=max(2, depth))
        self.codes = [Signal(2*config.port_bits) for _ in range(heads)]

        # # #

        for head, codes in enumerate(self.codes):
            halves = []
            for half in range(2):
                memory = RowMemory(config.port_bits, depth)
                self.add_module(name=f"head_{head}_{half}", module=memory)
                halves.append(memory.data)
                self.comb += [
                    memory.write.eq(self.write & (self.head == head) & (self.part[0] == half)),
                    memory.write_address.eq(self.part[1:]),
                    memory.write_data.eq(self.beat),
                    memory.address.eq(self.step),
                ]
            self.comb += codes.eq(Cat(*halves))


class ScaleMemory(LiteXModule):
    """bfloat16 scales of positions, written beat by beat.

    Latency 1 cycle from `position` to `scale`, which comes out of a block RAM and a multiplexer.

    Attributes
    ----------
    write : Signal(), in; address : Signal(max=beats), in; beat : Signal(port_bits), in
    position : Signal(max=context_max), in
        Counts from the first scale of the first beat.
    scale : Signal(16), out
    """

    def __init__(self, config):
        per_beat = config.port_bits//16
        beats    = config.context_max//per_beat
        self.write    = Signal()
        self.address  = Signal(max=beats)
        self.beat     = Signal(config.port_bits)
        self.position = Signal(max=config.context_max)
        self.scale    = Signal(16)

        # # #

        memory = Memory(config.port_bits, beats)
        write  = memory.get_port(write_capable=True, mode=READ_FIRST)
        read   = memory.get_port(mode=READ_FIRST)
        self.specials += memory, write, read
        self.comb += [
            write.adr.eq(self.address),
            write.dat_w.eq(self.beat),
            write.we.eq(self.write),
            read.adr.eq(self.position[log2(per_beat):]),
        ]
        if per_beat == 1:
            self.comb += self.scale.eq(read.dat_r)
            return
        which = Signal(log2(per_beat), reset_less=True)
        self.sync += which.eq(self.position[:log2(per_beat)])
        self.comb += self.scale.eq(Array([read.dat_r[16*index:16*index + 16] for index in range(per_beat)])[which])


class Exponents(LiteXModule):
    """Exponents of the queries of a pass, int32 each, out of the beats that have them.

    A beat is held while its words are taken, one a cycle.

    Attributes
    ----------
    start : Signal(), in
        With `skip` and `active`: a pass begins.
    skip : Signal(max=words of a beat), in
        Words in front of the first one.
    active : Signal(), in
        Words to take.
    sink : Endpoint([("data", port_bits)]), in
    finished : Signal(), out
        With the beat that has the last word.
    values : list of Signal((9, True)), out
    wrong : Signal(), out
        Strobe: one does not fit.
    """

    def __init__(self, config):
        heads = config.attention_heads
        words = max(1, config.port_bits//32)
        self.start  = Signal()
        self.skip   = Signal(max=max(2, words))
        self.active = Signal(bits_for(heads))
        self.sink   = sink = stream.Endpoint([("data", config.port_bits)])
        self.finished = Signal()
        self.values = [Signal((EXPONENT_BITS, True)) for _ in range(heads)]
        self.wrong  = Signal()

        # # #

        index = Signal(max=max(2, words))  # of the word in the beat
        head  = Signal(bits_for(heads))
        word  = Signal(32)
        whole = Signal()                   # the word is there
        last  = Signal()
        upper = word[EXPONENT_BITS - 1:]
        self.comb += [
            last.eq(head == self.active - 1),
            self.finished.eq(sink.valid & whole & last),
            self.wrong.eq(sink.valid & whole & (upper != Replicate(word[-1], len(upper)))),
        ]
        if config.port_bits == 16:
            low = Signal(16)
            self.sync += If(self.start, whole.eq(0)).Elif(sink.valid, whole.eq(~whole), low.eq(sink.data))
            self.comb += [
                word.eq(Cat(low, sink.data)),
                sink.ready.eq(1),
            ]
        else:
            self.comb += [
                word.eq(Array([sink.data[32*each:32*each + 32] for each in range(words)])[index]),
                whole.eq(1),
                sink.ready.eq(last | (index == words - 1)),
            ]
        self.sync += [
            If(sink.valid & whole,
                Case(head, {each: value.eq(word[:EXPONENT_BITS]) for each, value in enumerate(self.values)}),
                head.eq(head + 1),
                index.eq(0 if words == 1 else index + 1),
            ),
            If(self.start,
                head.eq(0),
                index.eq(self.skip),
            ),
        ]
