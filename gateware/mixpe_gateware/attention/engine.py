# SPDX-License-Identifier: BSD-2-Clause
"""The attention engine: a record after the other, INT8 cache × queries, results in F32.

    record ─► checker ─► task ─┬─► region walk ─► reader ◄── DRAM port          in beats of the lanes
                               │                    │
                               └─► pass control ◄───┘
                                    │ queries, exponents, scales ─► kept on the chip
                                    ├ keys   ─► lanes ─► scores ─► score memory
                                    └ values ─► lanes ◄─ weights ◄─┘
                                                  └─► read-out ─► writer ──► DRAM port

All that the parts say to each other is connected here.
"""

from dataclasses import replace

from migen import FSM, C, Cat, If, Mux, NextState, NextValue, Signal

from mixpe_gateware.attention.checker import RecordChecker
from mixpe_gateware.attention.control import PassControl
from mixpe_gateware.attention.lanes import WEIGHT_BITS, Lanes
from mixpe_gateware.attention.operands import Exponents, ScaleMemory
from mixpe_gateware.attention.parts import PartReader
from mixpe_gateware.attention.readout import Readout
from mixpe_gateware.attention.requests import RegionWalk
from mixpe_gateware.attention.scores import Scores
from mixpe_gateware.attention.weights import Weights
from mixpe_gateware.contract.decoder.tables import EXP2, INVERSE
from mixpe_gateware.contract.jobs import JobCode
from mixpe_gateware.contract.widths import log2
from mixpe_gateware.control.engine import Engine
from mixpe_gateware.stream.bounded import BoundedWriter
from mixpe_gateware.stream.reader import RegionReader
from mixpe_gateware.vector.tables import FunctionTables


class AttentionEngine(Engine):
    """ATTENTION records of `contract.program.records`.

    Its parts work with beats of `attention_lanes` bytes, which it gathers from the memory's words or cuts from them.
    A key-value head takes these beats, one a cycle, and some 40 cycles; a position of keys at least as many cycles as
    heads are side by side. A record that ends with RANGE or MEMORY may have written results within the bounds.

    Parameters
    ----------
    config : Config
        `attention_heads` query heads of `head_max` elements are computed side by side; `context_max` positions have
        room.
    mem_bytes : int
        Size of the memory behind the ports; regions that are read are checked against it.
    in_port, out_port : LiteDRAMNativePort
        Of `config.memory_bits`.
    fifo_depth : int
        Requests in flight.

    Attributes
    ----------
    low_beat, high_beat : Signal(), in
        Nothing outside low_beat … high_beat − 1 is written.
    """

    def __init__(self, config, mem_bytes, in_port, out_port, *, fifo_depth=32):
        Engine.__init__(self)
        beat_bits      = in_port.address_width - log2(config.words_per_beat)
        self.low_beat  = Signal(beat_bits)
        self.high_beat = Signal(beat_bits + 1)
        self.writer    = BoundedWriter(config, out_port, seeks=2)
        self.in_port   = in_port

        # # #

        align  = config.beat_bytes
        bits   = 8*config.attention_lanes
        config = replace(config, port_bits=bits, memory_bits=min(bits, config.memory_bits))  # as the parts see it
        if bits < in_port.data_width:
            reader = PartReader(in_port, bits, fifo_depth=fifo_depth)
        else:
            reader = RegionReader([in_port], fifo_depth=fifo_depth, data_width=bits, buffered=True)
        self.reader  = reader
        address_bits = len(reader.sink.start)
        depth        = config.head_max//config.beat_bytes
        self.checker = checker = RecordChecker(config, mem_bytes, address_bits, depth, align)
        self.walk    = walk    = RegionWalk(config, address_bits, depth, address_bits + 1)
        self.lanes   = lanes   = Lanes(config, depth)
        self.control = control = PassControl(config, address_bits, depth)
        self.scores  = Scores(config)
        self.weights = Weights(config)
        self.readout = Readout(config, depth, lanes.row_latency)
        self.range   = Signal()  # a number left its width
        self.comb += [
            checker.valid.eq(self.valid),
            checker.value.eq(self.value),
            checker.now.eq(self.now),
            self.index.eq(checker.index),
            self.pop.eq(checker.pop),
            walk.task.eq(checker.source.payload),
            control.task.eq(checker.source.payload),
            walk.source.connect(reader.sink),
            walk.passes.connect(control.passes),
        ]
        self._connect_operands(config)
        self._connect_scores()
        self._connect_weights(config)
        self._connect_readout(config)
        self._connect_ends(config)

    def _connect_operands(self, config):
        """Beats that are kept."""
        reader, control, lanes = self.reader, self.control, self.lanes
        self.exponents    = exponents    = Exponents(config)
        self.key_scales   = key_scales   = ScaleMemory(config)
        self.value_scales = value_scales = ScaleMemory(config)
        self.comb += [
            reader.source.connect(control.sink),
            lanes.queries.write.eq(control.queries),
            lanes.queries.head.eq(control.head),
            lanes.queries.part.eq(control.part),
            lanes.queries.beat.eq(control.sink.data),
            exponents.start.eq(control.begin),
            exponents.skip.eq(control.skip),
            exponents.active.eq(control.active),
            exponents.sink.valid.eq(control.exponents),
            exponents.sink.data.eq(control.sink.data),
            control.exponents_ready.eq(exponents.sink.ready),
            control.exponents_done.eq(exponents.finished),
        ]
        for memory, taken in ((key_scales, control.key_scales), (value_scales, control.value_scales)):
            self.comb += [
                memory.write.eq(taken),
                memory.address.eq(control.scale_beat),
                memory.beat.eq(control.sink.data),
            ]

    def _connect_scores(self):
        """Keys to scores."""
        control, lanes, scores, task = self.control, self.lanes, self.scores, self.checker.source
        self.comb += [
            lanes.beat.eq(control.sink.data),
            lanes.step.eq(control.step),
            lanes.keys.eq(control.keys),
            lanes.values.eq(control.values),
            lanes.first.eq(control.first),
            lanes.last.eq(control.last),
            scores.start.eq(control.begin),
            scores.active.eq(control.active),
            scores.count.eq(task.count),
            scores.offset.eq(task.offset),
            scores.done.eq(lanes.done),
            *[sink.eq(source) for sink, source in zip(scores.totals, lanes.totals, strict=True)],
            *[sink.eq(source) for sink, source in zip(scores.exponents, self.exponents.values, strict=True)],
            self.key_scales.position.eq(scores.position),
            scores.key_scale.eq(self.key_scales.scale),
            scores.value_scale.eq(self.value_scales.scale),
            control.scored.eq(scores.finished),
        ]

    def _connect_weights(self, config):
        """Scores to weights of the values."""
        control, lanes, scores, weights = self.control, self.lanes, self.scores, self.weights
        task = self.checker.source
        weighing = Signal()  # the values' scales are read for weights, not for the largest exponent
        self.sync += If(control.begin, weighing.eq(0)).Elif(control.weigh, weighing.eq(1))
        self.comb += [
            weights.start.eq(control.weigh),
            weights.active.eq(control.active),
            weights.count.eq(task.count),
            weights.offset.eq(task.offset),
            weights.exponent.eq(scores.exponent),
            *[sink.eq(source) for sink, source in zip(weights.largest, scores.largest, strict=True)],
            scores.address.eq(weights.address),
            weights.score.eq(scores.score),
            self.value_scales.position.eq(Mux(weighing, weights.position, scores.position)),
            weights.scale.eq(self.value_scales.scale),
            control.weighed.eq(weights.source.valid),
            weights.source.ready.eq(control.next_weights),
            *[sink.eq(weights.source.weights[WEIGHT_BITS*head:WEIGHT_BITS*(head + 1)])
                for head, sink in enumerate(lanes.weights)],
        ]

    def _connect_readout(self, config):
        """Sums to results; the table serves weights and, between them, reciprocals."""
        control, lanes, readout, weights = self.control, self.lanes, self.readout, self.weights
        self.table = table = FunctionTables([EXP2, INVERSE])
        self.comb += [
            readout.start.eq(control.read),
            readout.active.eq(control.active),
            readout.exponent.eq(self.scores.exponent),
            readout.steps.eq(self.checker.source.steps),
            *[sink.eq(source) for sink, source in zip(readout.denominators, weights.denominators, strict=True)],
            *[sink.eq(source) for sink, source in zip(readout.sums, lanes.sums, strict=True)],
            lanes.row.eq(readout.row),
            lanes.reading.eq(readout.reading),
            control.reading.eq(readout.busy),
            table.which.eq(readout.busy),
            table.fraction.eq(Mux(readout.busy, readout.fraction, weights.fraction)),
            weights.value.eq(table.value),
            readout.value.eq(table.value),
        ]

    def _connect_ends(self, config):
        """Results to memory, ends of records, and what is counted."""
        checker, control, reader, readout, writer = self.checker, self.control, self.reader, self.readout, self.writer
        self.fsm = fsm = FSM(reset_state="IDLE")
        words    = Signal()  # results pass
        outside  = Signal()  # some of them were not to be written
        self.comb += [
            words.eq(fsm.ongoing("WORK")),
            If(words,
                writer.sink.valid.eq(readout.source.valid),
                writer.sink.data.eq(readout.source.data),
            ).Else(
                writer.sink.data.eq(Cat(C(0, log2(config.beat_bytes)), checker.source.out)),
            ),
            writer.sink.halves.eq(0b11),
            readout.source.ready.eq(words & writer.sink.ready),
            self.source.start.eq(checker.source.start),
            self.source.code.eq(checker.source.code),
            If(self.range, self.source.code.eq(JobCode.RANGE)).Elif(outside, self.source.code.eq(JobCode.MEMORY)),
            writer.low_beat.eq(self.low_beat),
            writer.high_beat.eq(self.high_beat),
        ]
        self.sync += [
            If(self.scores.wide | self.exponents.wrong | readout.overflow, self.range.eq(1)),
            If(fsm.ongoing("IDLE"), self.range.eq(0)),
        ]
        fsm.act("IDLE",
            NextValue(outside, 0),
            If(checker.source.valid,
                NextState("SEEK"),
                If(checker.source.code != JobCode.OK, NextState("REPORT")),
            ),
        )
        fsm.act("SEEK",
            writer.sink.seek.eq(1),
            writer.sink.valid.eq(1),
            If(writer.sink.ready,
                self.walk.start.eq(1),
                control.start.eq(1),
                NextState("WORK"),
            ),
        )
        fsm.act("WORK",
            # The last results are in the FIFO when control is done.
            If(~control.busy & ~readout.source.valid, NextState("END")),
        )
        fsm.act("END",
            writer.sink.end.eq(1),
            writer.sink.valid.eq(1),
            If(writer.sink.ready, NextState("ENDED")),
        )
        fsm.act("ENDED",
            writer.source.ready.eq(1),
            NextValue(outside, writer.source.outside),
            If(writer.source.valid, NextState("REPORT")),
        )
        fsm.act("REPORT",
            self.source.valid.eq(1),
            If(self.source.ready,
                checker.source.ready.eq(1),
                NextState("IDLE"),
            ),
        )
        self.comb += [
            reader.enable.eq(self.enable),
            writer.enable.eq(self.enable),
            self.quiet.eq(reader.idle & writer.idle),
            self.events["busy"].eq(control.busy),
            self.events["wait_weights"].eq(control.waits),
            self.events["beats_in"].eq(self.in_port.rdata.valid),
            self.events["beats_out"].eq(writer.beat),
        ]
