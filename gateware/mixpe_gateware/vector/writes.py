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
        side, main, low = Signal(32), Signal(32), Signal(32)      # offsets of what comes next
        rounds, times = Signal.like(self.rounds), Signal.like(self.rounds)
        left  = Signal(COUNT_BITS)
        final = Signal()                # of a row or segment
        turn  = Signal(max=TURN + 1)
        is_low = Signal()               # the next word of a pair
        moved, step, here = Signal(32), Signal(32), Signal(32)
        self.comb += [
            moved.eq(here + step),
            final.eq(left == 1),
            source.data.eq(sink.data),
            source.halves.eq(3),
            wait.sink.data.eq(sink.data),
        ]
        self.fsm = fsm = FSM(reset_state="IDLE")

        def seek(pointer, state):
            return [source.valid.eq(1), source.seek.eq(1), source.data.eq(Cat(0, 0, pointer[2:])),
                If(source.ready, NextState(state))]

        def add(pointer, amount):
            """Move a pointer; the adder is the same for all."""
            return [here.eq(pointer), step.eq(amount), NextValue(pointer, moved)]

        fsm.act("IDLE",
            NextValue(side, self.side),
            NextValue(main, self.main),
            NextValue(rounds, self.rounds),
            If(self.start, NextState("BEGIN")),
        )
        fsm.act("BEGIN",
            here.eq(main),
            step.eq(self.main_step),
            NextValue(low, moved),
            NextState("ROUND"),
        )
        fsm.act("ROUND",
            NextValue(times, self.side_times),
            If(self.side_times == 0,
                NextValue(times, self.main_times),
                NextState("MAIN"),
            ).Else(
                NextState("SIDE"),
            ),
        )
        fsm.act("SIDE",
            NextValue(left, self.side_words),
            *seek(side, "SIDE_WORDS"),
        )
        fsm.act("SIDE_WORDS",
            source.valid.eq(sink.valid),
            sink.ready.eq(source.ready),
            If(self.half, source.halves.eq(Cat(~side[1], side[1]))),
            If(sink.valid & source.ready,
                NextValue(left, left - 1),
                If(final,
                    *add(side, self.side_step),
                    NextValue(times, times - 1),
                    NextState("SIDE"),
                    If(times == 1,
                        NextValue(times, self.main_times),
                        NextState("MAIN"),
                    ),
                ),
            ),
        )
        fsm.act("MAIN",
            NextValue(left, self.main_words),
            NextValue(is_low, 0),
            NextValue(turn, 0),
            *seek(main, "MAIN_WORDS"),
        )
        fsm.act("MAIN_WORDS",
            source.valid.eq(sink.valid & ~is_low),
            wait.sink.valid.eq(sink.valid & is_low),
            sink.ready.eq(Mux(is_low, wait.sink.ready, source.ready)),
            If(sink.valid & sink.ready,
                NextValue(left, left - 1),
                NextValue(is_low, self.pairs & ~is_low),
                If(self.pairs,
                    If(~is_low, *add(main, 4)).Else(
                        NextValue(turn, turn + 1),
                        If(final | (turn == TURN - 1), NextState("LOW")),
                    ),
                ).Elif(final,
                    *add(main, self.main_step),
                    NextState("NEXT"),
                ),
            ),
        )
        fsm.act("NEXT",
            NextValue(times, times - 1),
            NextState("MAIN"),
            If(times == 1,
                NextValue(rounds, rounds - 1),
                NextState("ROUND"),
                If(rounds == 1, NextState("END")),
            ),
        )
        fsm.act("LOW",
            *seek(low, "LOW_WORDS"),
        )
        fsm.act("LOW_WORDS",
            source.valid.eq(wait.source.valid),
            source.data.eq(wait.source.data),
            wait.source.ready.eq(source.ready),
            If(wait.source.valid & source.ready, *add(low, 4)),
            If(~wait.source.valid,
                NextValue(turn, 0),
                NextState("MAIN_MORE"),
                If(left == 0, NextState("ROW_MAIN")),
            ),
        )
        fsm.act("MAIN_MORE",
            *seek(main, "MAIN_WORDS"),
        )
        # Both rows are full: the next ones lie behind the other of the two.
        fsm.act("ROW_MAIN",
            *add(main, self.main_step),
            NextState("ROW_LOW"),
        )
        fsm.act("ROW_LOW",
            *add(low, self.main_step),
            NextState("NEXT"),
        )
        fsm.act("END",
            source.valid.eq(1),
            source.end.eq(1),
            If(source.ready,
                self.done.eq(1),
                NextState("IDLE"),
            ),
        )
