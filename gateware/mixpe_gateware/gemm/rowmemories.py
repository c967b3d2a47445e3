# SPDX-License-Identifier: BSD-2-Clause
"""The rows' activation memories: written beat by beat, read one word of D activations a row and cycle.

    beats ─┬───────────────────────────────────────► two memories a row, a beat wide each ─► R × D INT8
           └─► two beats a word ─► encoder (design) ─► one memory a row, a word wide ──────► R encoded words

The processing element says which: one that wants its activations encoded has them so in memory, since they are written
once and read for every output channel.
"""

from litex.gen import LiteXModule
from migen import READ_FIRST, Cat, If, Memory, Signal

from mixpe_gateware.contract.widths import log2
from mixpe_gateware.pe.element import element
from mixpe_gateware.stream.fanout import ROWS_PER_COPY, delayed, levels, spread


class RowMemories(LiteXModule):
    """R memories of `config.act_words` words in each of two buffers.

    Parameters
    ----------
    config : Config

    Attributes
    ----------
    beat : Signal(port_bits), in
    valid, upper : Signal(), in
        The beat is taken; it is the second of its word. No back-pressure.
    row : Signal, in
        Of the beat.
    write_address, read_address : Signal(max=2·act_words), in
    data : list of R Signal, out
        The word at `read_address`, `fanout.levels` + 2 cycles later.
    latency : int
        Cycles from a word's last beat until it may be addressed for reading.
    """

    def __init__(self, config):
        design  = element(config)
        encoder = design.create_encoder()
        self.beat   = Signal(config.port_bits)
        self.valid  = Signal()
        self.upper  = Signal()
        self.row    = Signal(max(1, log2(config.rows)))
        self.write_address = Signal(max=2*config.act_words)
        self.read_address  = Signal(max=2*config.act_words)
        self.data    = [Signal(design.activation_bits, reset_less=True) for _ in range(config.rows)]
        self.latency = 1 + (encoder.latency if encoder else 0)

        # # #

        if encoder is None:
            # The two beats of a word lie in two memories, so that each is written whole.
            parts, word, address = 2, self.beat, self.write_address
            target = Cat(self.valid, self.row, self.upper)
        else:
            self.encoder = encoder
            lower = Signal(config.port_bits, reset_less=True)
            self.sync += If(self.valid & ~self.upper, lower.eq(self.beat))
            self.comb += encoder.activations.eq(Cat(lower, self.beat))
            parts, word = 1, encoder.word
            address = delayed(self, self.write_address, encoder.latency, reset_less=True)
            target  = delayed(self, Cat(self.valid & self.upper, self.row), encoder.latency)

        # What all memories need reaches them over registers.
        reads  = spread(self, self.read_address, config)
        writes = spread(self, Cat(address, word), config)
        target = delayed(self, target, levels(config) - 1)
        for index in range(config.rows):
            words = []
            copy  = index//ROWS_PER_COPY
            for part in range(parts):
                memory = Memory(len(word), 2*config.act_words, name=f"activations_{index}_{part}")
                write  = memory.get_port(write_capable=True)
                read   = memory.get_port(mode=READ_FIRST)
                self.specials += memory, write, read
                hit = target == (1 | index << 1 | part << 1 + len(self.row))
                self.comb += [
                    Cat(write.adr, write.dat_w).eq(writes[copy]),
                    write.we.eq(delayed(self, hit, min(1, levels(config)))),
                    read.adr.eq(reads[copy]),
                ]
                words.append(read.dat_r)
            self.sync += self.data[index].eq(Cat(*words))
