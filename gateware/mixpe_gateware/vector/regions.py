# SPDX-License-Identifier: BSD-2-Clause
"""Which words a record reads, and in which order."""

from litex.gen import LiteXModule
from litex.soc.interconnect import stream
from migen import FSM, If, Mux, NextState, NextValue, Signal

from mixpe_gateware.contract.program.records import ROWS_MAX
from mixpe_gateware.vector.words import COUNT_BITS, PLACE_BITS, REGION_LAYOUT, STEP_BITS

PLAN_LAYOUT = [("place", PLACE_BITS), ("words", COUNT_BITS), ("times", ROWS_MAX.bit_length()),
    ("chunks", ROWS_MAX.bit_length()), ("swap", 1), ("columns", 1), ("total", COUNT_BITS), ("measures", 1)]


class Regions(LiteXModule):
    """Chunks that follow each other, each read some times; with `swap` pairs of chunks, the second one first; with
    `columns` one chunk of `total` words, from which each time one of `times` columns is taken; with
    `measures` a chunk's first time is for its largest magnitudes, of which a memory word has one.

    A region in three cycles at most.

    Parameters
    ----------
    parts_log2 : int
        Exponent of the words of a memory word.

    Attributes
    ----------
    sink : Endpoint(PLAN_LAYOUT), in
        `times` and `chunks` are one or more; with `swap` `chunks` counts pairs. Taken with the last region.
    source : Endpoint(REGION_LAYOUT), out
        Of a `WordReader`.
    """

    def __init__(self, parts_log2):
        self.sink   = sink   = stream.Endpoint(PLAN_LAYOUT)
        self.source = source = stream.Endpoint(REGION_LAYOUT)

        # # #

        place  = Signal(PLACE_BITS)
        behind = Signal(PLACE_BITS)
        first  = Signal(PLACE_BITS)  # chunk of a pair
        second = Signal()            # of a pair has been read
        times  = Signal.like(sink.times)
        chunks = Signal.like(sink.chunks)
        column = Signal(STEP_BITS)
        again, final = Signal(), Signal()
        self.comb += [
            behind.eq(place + sink.words),
            again.eq(Mux(sink.swap, ~second, times != 1)),
            final.eq(~again & (chunks == 1)),
            source.place.eq(Mux(second, first, place)),
            source.words.eq(sink.words),
            source.span.eq(sink.words),
            source.most.eq(sink.measures & (times == sink.times)),
            If(source.most, source.words.eq(sink.words >> parts_log2)),
            If(sink.columns,
                source.span.eq(sink.total - times + 1),  # up to the column's last word
                source.skip.eq(column),
            ),
        ]
        self.fsm = fsm = FSM(reset_state="IDLE")
        fsm.act("IDLE",
            NextValue(place, sink.place),
            NextValue(first, sink.place),
            NextValue(second, 0),
            NextValue(times, sink.times),
            NextValue(column, 0),
            NextValue(chunks, sink.chunks),
            If(sink.valid, If(sink.swap, NextState("SWAP")).Else(NextState("READ"))),
        )
        fsm.act("SWAP",
            NextValue(place, behind),
            NextState("READ"),
        )
        fsm.act("READ",
            source.valid.eq(1),
            If(source.ready,
                NextValue(second, sink.swap & ~second),
                NextValue(times, times - 1),
                NextValue(column, column + 1),
                If(~again,
                    NextValue(place, behind),
                    NextValue(first, behind),
                    NextValue(times, sink.times),
                    NextValue(chunks, chunks - 1),
                    If(sink.swap, NextState("SWAP")),
                ),
                If(final,
                    sink.ready.eq(1),
                    NextState("IDLE"),
                ),
            ),
        )
