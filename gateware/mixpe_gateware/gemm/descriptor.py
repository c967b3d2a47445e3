# SPDX-License-Identifier: BSD-2-Clause
"""A job's words as they arrive from the queue, in registers, and what is wrong with each by itself."""

from litex.gen import LiteXModule
from migen import Case, If, Mux, Signal, bits_for

from mixpe_gateware.contract.config import N_LIMIT
from mixpe_gateware.contract.descriptor import FORM, INDEX, SLOT_WORDS, WORDS, Opcode, flag_bits
from mixpe_gateware.contract.scaling import Form
from mixpe_gateware.contract.widths import log2

WORDS_READ = INDEX["out_bytes"] + 1  # by the engine; the tag is the queue's
OP = WORDS[INDEX["op"]]


class Descriptor(LiteXModule):
    """Registers of a GEMM job's words.

    Latency 1 cycle from `valid`; a word a cycle; no back-pressure.

    Parameters
    ----------
    config : Config
    address_bits : int
        Width of a beat address.

    Attributes
    ----------
    clear : Signal(), in
        Forget what was wrong, before a new job.
    valid : Signal(), in, with which : Signal(max=SLOT_WORDS), in, and word : Signal(32), in
    n, k, m, flags : Signal, out
    weights_beat, act_beat, out_beat : Signal, out
    space : Signal(address_bits + 2), out
        Of the result buffer in beats, or the largest number.
    bad_op, bad_flags, bad_shape, misaligned, outside : Signal(), out
        Another operation; unknown flags; a size of zero or over its limit; an address that is no multiple of the beat;
        one that has more bits than the memory's.
    """

    def __init__(self, config, address_bits):
        size_bits  = address_bits + 2
        beat_log2  = log2(config.beat_bytes)
        self.clear = Signal()
        self.valid = Signal()
        self.which = Signal(max=SLOT_WORDS)
        self.word  = word = Signal(32)
        self.n     = Signal(bits_for(N_LIMIT))
        self.k     = Signal(bits_for(config.k_max))
        self.m     = Signal(bits_for(config.k_max))
        self.flags = Signal(flag_bits(config.parts))
        self.weights_beat = Signal(address_bits)
        self.act_beat     = Signal(address_bits + config.inbox_bits)
        self.out_beat     = Signal(address_bits)
        self.space = Signal(size_bits)
        self.bad_op, self.bad_flags, self.bad_shape, self.misaligned, self.outside = (Signal() for _ in range(5))

        # # #

        beats   = Signal(32 - beat_log2)
        unknown = word[len(self.flags):] != 0
        if config.minima:
            unknown = unknown | (word[FORM.lsb:FORM.msb + 1] >= len(Form))
        over    = Signal()
        self.comb += [
            beats.eq(word[beat_log2:]),
            over.eq(word > Mux(self.which == INDEX["n"], N_LIMIT, config.k_max)),
        ]

        def address(register):
            return [
                register.eq(beats),
                If(word[:beat_log2] != 0, self.misaligned.eq(1)),
                If(beats >> len(register) != 0, self.outside.eq(1)),
            ]

        def size(register):
            return [register.eq(word), If((word == 0) | over, self.bad_shape.eq(1))]

        self.sync += [
            If(self.clear,
                *[flag.eq(0) for flag in (self.bad_shape, self.misaligned, self.outside)],
            ),
            If(self.valid, Case(self.which, {INDEX[name]: statements for name, statements in {
                "op":           self.bad_op.eq(word & ~OP.field("fence").mask != Opcode.GEMM),
                "weights_addr": address(self.weights_beat),
                "act_addr":     address(self.act_beat),
                "out_addr":     address(self.out_beat),
                "n":            size(self.n),
                "k":            size(self.k),
                "m":            size(self.m),
                "flags":        [self.flags.eq(word), self.bad_flags.eq(unknown)],
                "out_bytes":    self.space.eq(Mux(beats >> size_bits != 0, (1 << size_bits) - 1, beats)),
            }.items()})),
        ]
