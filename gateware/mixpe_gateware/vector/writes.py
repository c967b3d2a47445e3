# SPDX-License-Identifier: BSD-2-Clause
"""Where the words of a record's results go.

    words ─┬─────────────────────────────► with seeks ─► writer
           └─► low bytes of 64 codes wait ─┘

Side results (shifts, scales, exponents) and results come in turns, as the datapath makes them:

    rounds · [ side_times · side_words at side, side + side_step …
               main_times · main_words at main, main + main_step … ]

With `pairs` (A16) words are high bytes, low bytes, high … of a row; they go to two rows, in turns of 64 bytes.
"""

from litex.gen import LiteXModule
from litex.soc.interconnect import stream
from migen import FSM, Cat, If, Mux, NextState, NextValue, Signal

from mixpe_gateware.contract.program.records import ROWS_MAX
from mixpe_gateware.stream.bounded import WORD_LAYOUT
from mixpe_gateware.vector.words import COUNT_BITS

TURN = 16  # words of high bytes, then as many of low ones


class WriteOrder(LiteXModule):
    """Bring words to their places.

    A word a cycle; a cycle more for each seek, three at the end of a row of pairs.

    Attributes
    ----------
    start : Signal(), in; done : Signal(), out
        Strobes: begin with a record's words, whose numbers follow and stay; all of them are with the writer.
    side, main : Signal(32), in
        Byte offsets.
    side_step, main_step : Signal(32), in
    rounds, side_times, main_times : Signal(7), in
        `side_times` may be 0.
    side_words, main_words : Signal, in
    half : Signal(), in
        Side words are 16 bits, in both halves of a word; places are multiples of 2.
    pairs : Signal(), in
        `main_words` are those of both rows; `main_step` is the bytes of one.
    sink : Endpoint([("data", 32)]), in
    source : Endpoint(WORD_LAYOUT), out
        Of a `BoundedWriter`.
    """

    def __init__(self):
        self.start, self.done = Signal(), Signal()
        self.side,      self.main      = Signal(32), Signal(32)
        self.side_step, self.main_step = Signal(32), Signal(32)
        self.rounds, self.side_times, self.main_times = (Signal(ROWS_MAX.bit_length()) for _ in range(3))
        self.side_words, self.main_words = Signal(ROWS_MAX.bit_length() + 9), Signal(COUNT_BITS)
        self.half, self.pairs = Signal(), Signal()
        self.sink   = sink   = stream.Endpoint([("data", 32)])
        self.source = source = stream.Endpoint(WORD_LAYOUT)

        # # #

        self.wait = wait = stream.SyncFIFO([("data", 32)], TURN)  # low bytes
        self.at_side, self.at_main, self.at_low = Signal(32), Signal(32), Signal(32)  # offsets of what comes next
        self.rounds_left, self.times = Signal.like(self.rounds), Signal.like(self.rounds)
        self.left   = Signal(COUNT_BITS)
        self.final  = Signal()                # of a row or segment
        self.turn   = Signal(max=TURN + 1)
        self.is_low = Signal()                # the next word of a pair
        self.moved, self.step, self.here = Signal(32), Signal(32), Signal(32)
        self.comb += [
            self.moved.eq(self.here + self.step),
            self.final.eq(self.left == 1),
            source.data.eq(sink.data),
            source.halves.eq(3),
            wait.sink.data.eq(sink.data),
        ]
        self.fsm = fsm = FSM(reset_state="IDLE")
        fsm.act("IDLE",
            NextValue(self.at_side, self.side),
            NextValue(self.at_main, self.main),
            NextValue(self.rounds_left, self.rounds),
            If(self.start, NextState("BEGIN")),
        )
        fsm.act("BEGIN",
            self.here.eq(self.at_main),
            self.step.eq(self.main_step),
            NextValue(self.at_low, self.moved),
            NextState("ROUND"),
        )
        self._add_side()
        self._add_main()
        self._add_low()
        fsm.act("END",
            source.valid.eq(1),
            source.end.eq(1),
            If(source.ready,
                self.done.eq(1),
                NextState("IDLE"),
            ),
        )

    def _seek(self, pointer, state):
        source = self.source
        return [source.valid.eq(1), source.seek.eq(1), source.data.eq(Cat(0, 0, pointer[2:])),
            If(source.ready, NextState(state))]

    def _add(self, pointer, amount):
        """Move a pointer; the adder is the same for all."""
        return [self.here.eq(pointer), self.step.eq(amount), NextValue(pointer, self.moved)]

    def _add_side(self):
        """Side results of a round."""
        self.fsm.act("ROUND",
            NextValue(self.times, self.side_times),
            If(self.side_times == 0,
                NextValue(self.times, self.main_times),
                NextState("MAIN"),
            ).Else(
                NextState("SIDE"),
            ),
        )
        self.fsm.act("SIDE",
            NextValue(self.left, self.side_words),
            *self._seek(self.at_side, "SIDE_WORDS"),
        )
        self.fsm.act("SIDE_WORDS",
            self.source.valid.eq(self.sink.valid),
            self.sink.ready.eq(self.source.ready),
            If(self.half, self.source.halves.eq(Cat(~self.at_side[1], self.at_side[1]))),
            If(self.sink.valid & self.source.ready,
                NextValue(self.left, self.left - 1),
                If(self.final,
                    *self._add(self.at_side, self.side_step),
                    NextValue(self.times, self.times - 1),
                    NextState("SIDE"),
                    If(self.times == 1,
                        NextValue(self.times, self.main_times),
                        NextState("MAIN"),
                    ),
                ),
            ),
        )

    def _add_main(self):
        """Results of a round; of pairs up to a turn of high bytes, whose low ones wait."""
        self.fsm.act("MAIN",
            NextValue(self.left, self.main_words),
            NextValue(self.is_low, 0),
            NextValue(self.turn, 0),
            *self._seek(self.at_main, "MAIN_WORDS"),
        )
        self.fsm.act("MAIN_WORDS",
            self.source.valid.eq(self.sink.valid & ~self.is_low),
            self.wait.sink.valid.eq(self.sink.valid & self.is_low),
            self.sink.ready.eq(Mux(self.is_low, self.wait.sink.ready, self.source.ready)),
            If(self.sink.valid & self.sink.ready,
                NextValue(self.left, self.left - 1),
                NextValue(self.is_low, self.pairs & ~self.is_low),
                If(self.pairs,
                    If(~self.is_low, *self._add(self.at_main, 4)).Else(
                        NextValue(self.turn, self.turn + 1),
                        If(self.final | (self.turn == TURN - 1), NextState("LOW")),
                    ),
                ).Elif(self.final,
                    *self._add(self.at_main, self.main_step),
                    NextState("NEXT"),
                ),
            ),
        )
        self.fsm.act("NEXT",
            NextValue(self.times, self.times - 1),
            NextState("MAIN"),
            If(self.times == 1,
                NextValue(self.rounds_left, self.rounds_left - 1),
                NextState("ROUND"),
                If(self.rounds_left == 1, NextState("END")),
            ),
        )

    def _add_low(self):
        """Low bytes of a turn; behind the last one both rows are full, and the next ones lie behind the other one."""
        self.fsm.act("LOW",
            *self._seek(self.at_low, "LOW_WORDS"),
        )
        self.fsm.act("LOW_WORDS",
            self.source.valid.eq(self.wait.source.valid),
            self.source.data.eq(self.wait.source.data),
            self.wait.source.ready.eq(self.source.ready),
            If(self.wait.source.valid & self.source.ready, *self._add(self.at_low, 4)),
            If(~self.wait.source.valid,
                NextValue(self.turn, 0),
                NextState("MAIN_MORE"),
                If(self.left == 0, NextState("ROW_MAIN")),
            ),
        )
        self.fsm.act("MAIN_MORE",
            *self._seek(self.at_main, "MAIN_WORDS"),
        )
        self.fsm.act("ROW_MAIN",
            *self._add(self.at_main, self.main_step),
            NextState("ROW_LOW"),
        )
        self.fsm.act("ROW_LOW",
            *self._add(self.at_low, self.main_step),
            NextState("NEXT"),
        )
