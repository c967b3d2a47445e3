# SPDX-License-Identifier: BSD-2-Clause
"""Records as they lie in memory: two on the chip, each with the verdict on its check word."""

from litex.gen import LiteXModule
from litex.soc.interconnect import stream
from migen import Cat, If, Memory, Mux, Signal

from mixpe_gateware.contract.program.records import CHECK, RECORD_WORDS, RECORDS_MAX
from mixpe_gateware.contract.widths import log2


class RecordLoader(LiteXModule):
    """Take words until there are two records; the next one may arrive while the first is worked on.

    A word a cycle. Latency 2 cycles from a record's last word to `valid`.

    Attributes
    ----------
    sink : Endpoint([("data", 32)]), in
        Words of records, from the first.
    identity : Signal(32), in
        Of the program.
    first : Signal(), in
        Strobe, while nothing is loaded and none is under way: the next record is number `number`.
    number : Signal(max=RECORDS_MAX + 1), in
    valid : Signal(), out
        There is a record.
    bad : Signal(), out
        Its check word is wrong.
    index : Signal(max=RECORDS_MAX + 1), out
        Its number.
    word : Signal(4), in; data : Signal(32), out
        A word of it, in the same cycle.
    write : Signal(), in; value : Signal(32), in
        Change that word.
    done : Signal(), in
        Strobe: the record is done with.
    """

    def __init__(self):
        self.sink     = sink = stream.Endpoint([("data", 32)])
        self.identity = Signal(32)
        self.first    = Signal()
        self.number   = Signal(max=RECORDS_MAX + 1)
        self.valid    = Signal()
        self.bad      = Signal()
        self.index    = Signal(max=RECORDS_MAX + 1)
        self.word     = Signal(log2(RECORD_WORDS))
        self.data     = Signal(32)
        self.write    = Signal()
        self.value    = Signal(32)
        self.done     = Signal()

        # # #

        self.memory = memory = Memory(32, 2*RECORD_WORDS, name="records")
        fill  = memory.get_port(write_capable=True)
        read  = memory.get_port(async_read=True)
        self.specials += memory, fill, read
        which = Signal()                   # the half that is worked on
        half  = Signal()                   # the half that is filled
        full  = Signal(2)
        wrong = Signal(2)

        # Words in. The patcher's writes go first; they are few. -------------------------------------------------------
        place  = Signal(log2(RECORD_WORDS))
        loaded = Signal(max=RECORDS_MAX + 1)  # number of the record that is filled
        fold   = Signal(32)
        base   = Signal(32)
        check  = Signal(32)
        take   = Signal()
        judge  = Signal()                     # the record is complete: its fold is in the register
        self.comb += [
            sink.ready.eq(~self.write & ~judge & ~Mux(half, full[1], full[0])),
            take.eq(sink.valid & sink.ready),
            base.eq(Mux(place == 0, self.identity ^ loaded, fold)),
            fill.adr.eq(Mux(self.write, Cat(self.word, which), Cat(place, half))),
            fill.dat_w.eq(Mux(self.write, self.value, sink.data)),
            fill.we.eq(self.write | take),
        ]
        self.sync += [
            judge.eq(take & (place == RECORD_WORDS - 1)),
            If(take,
                place.eq(place + 1),
                If(place == CHECK,
                    check.eq(sink.data),
                ).Else(
                    fold.eq(Cat(base[31], base[:31]) ^ sink.data),
                ),
            ),
            If(judge,
                half.eq(~half),
                loaded.eq(loaded + 1),
                If(half,
                    full[1].eq(1),
                    wrong[1].eq(fold != check),
                ).Else(
                    full[0].eq(1),
                    wrong[0].eq(fold != check),
                ),
            ),
        ]

        # Records out. -------------------------------------------------------------------------------------------------
        self.comb += [
            self.valid.eq(Mux(which, full[1], full[0])),
            self.bad.eq(Mux(which, wrong[1], wrong[0])),
            read.adr.eq(Cat(self.word, which)),
            self.data.eq(read.dat_r),
        ]
        self.sync += [
            If(self.done,
                which.eq(~which),
                self.index.eq(self.index + 1),
                If(which, full[1].eq(0)).Else(full[0].eq(0)),
            ),
            If(self.first,
                loaded.eq(self.number),
                self.index.eq(self.number),
            ),
        ]


assert RECORD_WORDS == 16  # `place` wraps by itself
