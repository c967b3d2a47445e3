# SPDX-License-Identifier: BSD-2-Clause
"""What a build with a decoder has beside the GEMM engine: two engines, the sequencer, and two ports that they share.

    queue ─► sequencer ─┬─► GEMM engine
                ▲       ├─► vector engine ─────┐
                │       └─► attention engine ──┤
                └── programs, ids of tokens ───┴─► two memory ports
"""

from functools import reduce
from operator import add, and_

from litex.gen import LiteXModule
from migen import Signal

from mixpe_gateware.attention.engine import AttentionEngine
from mixpe_gateware.control.program.sequencer import Sequencer
from mixpe_gateware.stream.share import ReadShare, WriteShare
from mixpe_gateware.vector.engine import VectorEngine

READERS = 4  # two operands of the vector engine, attention, the sequencer
WRITERS = 3

DECODER_PROGRESS = ("busy_vector", "busy_attention", "records")  # events that say that a program goes on


class Decoder(LiteXModule):
    """Between the queue and the GEMM engine, in the place of a `Dispatcher`.

    Parameters
    ----------
    config : Config
    mem_bytes : int
    gemm : Engine
    in_port, out_port : LiteDRAMNativePort
        One to read and one to write, of `config.memory_bits`.

    Attributes
    ----------
    valid, index, value, pop, source
        As of a `Dispatcher`.
    now, enable, quiet
        As of an `Engine`.
    run : dict of name: Signal, out
        As of the `Sequencer`.
    events : dict of name: Signal, out
        Counters that only builds with a decoder have, and beats of its engines.
    """

    def __init__(self, config, mem_bytes, gemm, in_port, out_port):
        self.now    = Signal(32)
        self.enable = Signal(reset=1)
        self.quiet  = Signal()

        # # #

        self.reads  = reads  = ReadShare(in_port, READERS, buffered=not config.is_shallow)
        self.writes = writes = WriteShare(out_port, WRITERS, buffered=not config.is_shallow)
        self.vector, self.attention = vector, attention = self.make_engines(config, mem_bytes, reads.ports,
            writes.ports)
        self.sequencer = sequencer = Sequencer(config, mem_bytes, [gemm, vector, attention], reads.ports[-1],
            writes.ports[-1])
        self.valid, self.index, self.value, self.pop = (sequencer.valid, sequencer.index, sequencer.value,
            sequencer.pop)
        self.source, self.run = sequencer.source, sequencer.run
        parts = [vector, attention, sequencer]
        self.comb += [
            *[each.now.eq(self.now) for each in parts],
            *[each.enable.eq(self.enable) for each in parts],
            self.quiet.eq(reduce(and_, [each.quiet for each in parts])),
            vector.low_beat.eq(sequencer.vector_low),
            vector.high_beat.eq(sequencer.vector_high),
            attention.low_beat.eq(sequencer.low_beat),
            attention.high_beat.eq(sequencer.high_beat),
            sequencer.choice.valid.eq(vector.choice.valid),
            sequencer.choice.token.eq(vector.choice.token),
        ]
        self.events = {
            "busy_vector":    vector.events["busy"],
            "busy_attention": attention.events["busy"],
            "wait_fence":     sequencer.fenced,
            "wait_record":    sequencer.waiting,
            "records":        sequencer.ended,
            **{name: reduce(add, [each.events[name] for each in (vector, attention)])
                for name in ("beats_in", "beats_out")},
        }

    def make_engines(self, config, mem_bytes, reads, writes):
        """The vector and the attention engine."""
        return (VectorEngine(config, mem_bytes, reads[0], reads[1], writes[0]),
            AttentionEngine(config, mem_bytes, reads[2], writes[1]))
