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
from migen import FSM, WRITE_FIRST, Cat, If, Memory, Mux, NextState, NextValue, Signal

from mixpe_gateware.contract.program.records import ROWS_MAX
from mixpe_gateware.stream.bounded import WORD_LAYOUT
from mixpe_gateware.vector.words import COUNT_BITS

TURN = 16  # words of high bytes, then as many of low ones
SIDE, MAIN, LOW = range(3)  # pointers: where the next words of each kind go


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
        self.rounds_left, self.times = Signal.like(self.rounds), Signal.like(self.rounds)
        self.left   = Signal(COUNT_BITS)
        self.final  = Signal()                # of a row or segment
        self.turn   = Signal(max=TURN + 1)
        self.is_low = Signal()                # the next word of a pair
        self._add_pointers()
        self.comb += [
            self.final.eq(self.left == 1),
            source.data.eq(sink.data),
            source.halves.eq(3),
            wait.sink.data.eq(sink.data),
        ]
        self.fsm = fsm = FSM(reset_state="IDLE")
        fsm.act("IDLE",
            NextValue(self.rounds_left, self.rounds),
            If(self.start, NextState("LOAD_SIDE")),
        )
        for state, pointer, following in (("LOAD_SIDE", SIDE, "LOAD_MAIN"), ("LOAD_MAIN", MAIN, "BEGIN")):
            fsm.act(state,
                self.load.eq(1),
                self.put.eq(1),
                self.to.eq(pointer),
                NextState(following),
            )
        fsm.act("BEGIN",
            *self._add(MAIN, to=LOW),
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

    def _add_pointers(self):
        """The pointers are a memory, with one adder for all."""
        self.which, self.to = Signal(2), Signal(2)  # pointer that is read, and written
        self.put, self.load = Signal(), Signal()    # it is written, with where it begins
        self.by_word = Signal()                     # it moves by a word, not by its step
        self.here    = Signal(32)
        step   = Signal(32)
        memory = Memory(32, 4)
        read   = memory.get_port(async_read=True)
        write  = memory.get_port(write_capable=True, mode=WRITE_FIRST)
        self.specials += memory, read, write
        self.comb += [
            step.eq(Mux(self.which == SIDE, self.side_step, self.main_step)),
            If(self.by_word, step.eq(4)),
            read.adr.eq(self.which),
            self.here.eq(read.dat_r),
            write.adr.eq(self.to),
            write.we.eq(self.put),
            write.dat_w.eq(Mux(self.load, Mux(self.to == SIDE, self.side, self.main), self.here + step)),
        ]

    def _seek(self, pointer, state):
        source = self.source
        return [source.valid.eq(1), source.seek.eq(1), self.which.eq(pointer),
            source.data.eq(Cat(0, 0, self.here[2:])), If(source.ready, NextState(state))]

    def _add(self, pointer, *, to=None, word=False):
        """Move a pointer by its step or by a word."""
        return [self.which.eq(pointer), self.to.eq(pointer if to is None else to), self.by_word.eq(word),
            self.put.eq(1)]

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
            *self._seek(SIDE, "SIDE_WORDS"),
        )
        self.fsm.act("SIDE_WORDS",
            self.source.valid.eq(self.sink.valid),
            self.sink.ready.eq(self.source.ready),
            self.which.eq(SIDE),
            If(self.half, self.source.halves.eq(Cat(~self.here[1], self.here[1]))),
            If(self.sink.valid & self.source.ready,
                NextValue(self.left, self.left - 1),
                If(self.final,
                    *self._add(SIDE),
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
            *self._seek(MAIN, "MAIN_WORDS"),
        )
        self.fsm.act("MAIN_WORDS",
            self.source.valid.eq(self.sink.valid & ~self.is_low),
            self.wait.sink.valid.eq(self.sink.valid & self.is_low),
            self.sink.ready.eq(Mux(self.is_low, self.wait.sink.ready, self.source.ready)),
            If(self.sink.valid & self.sink.ready,
                NextValue(self.left, self.left - 1),
                NextValue(self.is_low, self.pairs & ~self.is_low),
                If(self.pairs,
                    If(~self.is_low, *self._add(MAIN, word=True)).Else(
                        NextValue(self.turn, self.turn + 1),
                        If(self.final | (self.turn == TURN - 1), NextState("LOW")),
                    ),
                ).Elif(self.final,
                    *self._add(MAIN),
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
            *self._seek(LOW, "LOW_WORDS"),
        )
        self.fsm.act("LOW_WORDS",
            self.source.valid.eq(self.wait.source.valid),
            self.source.data.eq(self.wait.source.data),
            self.wait.source.ready.eq(self.source.ready),
            If(self.wait.source.valid & self.source.ready, *self._add(LOW, word=True)),
            If(~self.wait.source.valid,
                NextValue(self.turn, 0),
                NextState("MAIN_MORE"),
                If(self.left == 0, NextState("ROW_MAIN")),
            ),
        )
        self.fsm.act("MAIN_MORE",
            *self._seek(MAIN, "MAIN_WORDS"),
        )
        self.fsm.act("ROW_MAIN",
            *self._add(MAIN),
            NextState("ROW_LOW"),
        )
        self.fsm.act("ROW_LOW",
            *self._add(LOW),
            NextState("NEXT"),
        )
