# SPDX-License-Identifier: BSD-2-Clause
"""What each beat is, and when the parts begin.

    queries ─► exponents ─► scales ─► keys ─► (scores are complete) ─► values ─┬─► next pass
                                                                              └─► read-out, beside the next pass
"""

from litex.gen import LiteXModule
from litex.soc.interconnect import stream
from migen import FSM, If, NextState, NextValue, Record, Signal, bits_for

from mixpe_gateware.attention.checker import task_layout
from mixpe_gateware.attention.requests import pass_layout


class PassControl(LiteXModule):
    """Hand beats on, pass after pass.

    A beat a cycle; a row of keys takes `active` cycles at least, since so many scores follow from it, a row of values
    waits for its weights.

    Parameters
    ----------
    config : Config
    address_bits, depth : int
        See `task_layout`.

    Attributes
    ----------
    start : Signal(), in; busy : Signal(), out
        Of a task, which holds until then.
    task : Record(task_layout), in
    passes : Endpoint(pass_layout(config)), in
    sink : Endpoint([("data", port_bits)]), in
    active : Signal(), out; skip : Signal(), out
        Of the pass.
    begin : Signal(), out
        Strobe: a pass begins.
    queries, exponents, key_scales, value_scales, keys, values : Signal(), out
        The beat is one of these, and is taken; `exponents` when `exponents_ready`.
    head, part, scale_beat, step : Signal(), out
        Place of the beat among those.
    first, last : Signal(), out
        See `Lanes`.
    exponents_ready, exponents_done : Signal(), in
    scored : Signal(), in
        Strobe: all scores of the pass are there.
    weigh : Signal(), out
        Strobe: weights begin.
    weighed : Signal(), in; next_weights : Signal(), out
        The weights of the next row are there, and are done with.
    read : Signal(), out
        Strobe: the last beat of values is taken.
    reading : Signal(), in
        They are read out.
    waits : Signal(), out
        No beat is there although one could be taken.
    """

    def __init__(self, config, address_bits, depth):
        heads = config.attention_heads
        self.start, self.busy = Signal(), Signal()
        self.task   = Record(task_layout(config, address_bits, depth))
        self.passes = stream.Endpoint(pass_layout(config))
        self.sink   = stream.Endpoint([("data", config.port_bits)])
        self.active = Signal(bits_for(heads))
        self.skip   = Signal(len(self.passes.skip))
        self.begin  = Signal()
        self.queries, self.exponents, self.key_scales, self.value_scales, self.keys, self.values = (Signal()
            for _ in range(6))
        self.head   = Signal(max=max(2, heads))
        self.part   = Signal(max=2*depth)
        self.step   = Signal(max=max(2, depth))
        self.scale_beat = Signal(max=config.context_max)
        self.first, self.last = Signal(), Signal()
        self.exponents_ready, self.exponents_done = Signal(), Signal()
        self.scored, self.weigh, self.weighed, self.next_weights, self.read, self.reading = (Signal()
            for _ in range(6))
        self.waits  = Signal()

        # # #

        self.last_pass = Signal()
        self.missing   = Signal(len(self.task.count))  # rows
        self.last_row  = Signal()
        self.comb += [
            self.last.eq(self.step == self.task.steps - 1),
            self.last_row.eq(self.missing == 1),
        ]

        self.fsm = fsm = FSM(reset_state="IDLE")
        self.comb += self.busy.eq(~fsm.ongoing("IDLE"))
        self._take_operands(fsm)
        self._take_keys(fsm)
        self._take_values(fsm)

    def _take_operands(self, fsm):
        """A pass begins: what it keeps."""
        task, sink = self.task, self.sink
        last_part, last_scale = Signal(), Signal()
        self.comb += [
            last_part.eq(self.part == (task.steps << 1) - 1),
            last_scale.eq(self.scale_beat == task.scale_beats - 1),
        ]
        fsm.act("IDLE",
            If(self.start, NextState("PASS")),
        )
        fsm.act("PASS",
            self.passes.ready.eq(1),
            NextValue(self.active, self.passes.active),
            NextValue(self.skip, self.passes.skip),
            NextValue(self.last_pass, self.passes.final),
            If(self.passes.valid, NextState("BEGIN")),
        )
        fsm.act("BEGIN",
            self.begin.eq(1),
            NextValue(self.head, 0),
            NextValue(self.part, 0),
            NextState("QUERIES"),
        )
        fsm.act("QUERIES",
            sink.ready.eq(1),
            self.queries.eq(sink.valid),
            If(sink.valid,
                NextValue(self.part, self.part + 1),
                If(last_part,
                    NextValue(self.part, 0),
                    NextValue(self.head, self.head + 1),
                    If(self.head == self.active - 1, NextState("EXPONENTS")),
                ),
            ),
        )
        fsm.act("EXPONENTS",
            sink.ready.eq(self.exponents_ready),
            self.exponents.eq(sink.valid),
            NextValue(self.scale_beat, 0),
            If(self.exponents_done, NextState("KEY_SCALES")),
        )
        for state, taken, following in (("KEY_SCALES", self.key_scales, "VALUE_SCALES"),
                ("VALUE_SCALES", self.value_scales, "KEYS")):
            fsm.act(state,
                sink.ready.eq(1),
                taken.eq(sink.valid),
                NextValue(self.step, 0),
                NextValue(self.missing, task.count),
                If(sink.valid,
                    NextValue(self.scale_beat, self.scale_beat + 1),
                    If(last_scale,
                        NextValue(self.scale_beat, 0),
                        NextState(following),
                    ),
                ),
            )

    def _next_row(self, *statements):
        """The beat is taken: the next one's place; `statements` at the end of a row."""
        return [
            NextValue(self.step, self.step + 1),
            If(self.last,
                NextValue(self.step, 0),
                NextValue(self.missing, self.missing - 1),
                *statements,
            ),
        ]

    def _take_keys(self, fsm):
        """Rows of keys, and until their scores are there."""
        sink  = self.sink
        pause = Signal(len(self.active))  # cycles before the next row may end
        self.sync += [
            If(pause != 0, pause.eq(pause - 1)),
            If(self.keys & self.last, pause.eq(self.active - 1)),
        ]
        fsm.act("KEYS",
            sink.ready.eq(~self.last | (pause == 0)),
            self.keys.eq(sink.valid & sink.ready),
            self.first.eq(self.step == 0),
            self.waits.eq(~sink.valid),
            If(self.keys, *self._next_row(If(self.last_row, NextState("SCORED")))),
        )
        fsm.act("SCORED",
            If(self.scored, NextState("SETTLE")),
        )

    def _take_values(self, fsm):
        """Rows of values, and after the last pass until its sums are read."""
        sink    = self.sink
        started = Signal()  # the first row is done
        fsm.act("SETTLE",
            # Sums of the pass before are still read.
            NextValue(self.missing, self.task.count),
            NextValue(started, 0),
            If(~self.reading,
                self.weigh.eq(1),
                NextState("VALUES"),
            ),
        )
        fsm.act("VALUES",
            sink.ready.eq(self.weighed),
            self.values.eq(sink.valid & self.weighed),
            self.first.eq(~started),
            self.waits.eq(~sink.valid),
            If(self.values, *self._next_row(
                self.next_weights.eq(1),
                NextValue(started, 1),
                If(self.last_row,
                    self.read.eq(1),
                    NextState("PASS"),
                    If(self.last_pass, NextState("DRAIN")),
                ),
            )),
        )
        fsm.act("DRAIN",
            If(~self.reading, NextState("IDLE")),
        )
