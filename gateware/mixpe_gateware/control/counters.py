# SPDX-License-Identifier: BSD-2-Clause
"""64-bit event counters in one memory, with a copy for the host that is all of one cycle.

Each event has a counter of few bits; a walk over all of them adds these to 64-bit totals in the memory, every 64 cycles
(128 where there are more than eight):

    phase   0: read low   1: low + count   2: write low   3: copy low   4: high + carry   5: write high   6: copy high

As registers, totals and copies would be 1024 flip-flops.
"""

from litex.gen import LiteXModule
from migen import READ_FIRST, Array, Cat, If, Memory, Mux, Signal, bits_for

from mixpe_gateware.contract.registers import COUNTERS

PHASE_BITS = 3


class Counters(LiteXModule):
    """Count cycles in which events are high.

    Parameters
    ----------
    names : tuple of str
        Of the events.
    most : int
        How often one can happen in a cycle.

    Attributes
    ----------
    events : dict of name: Signal(max=most + 1), in
        How often the event happened in this cycle.
    dropped : Signal(), in
        A job was dropped by a full queue: counts as an error.
    clear : Signal(), in
        Strobe: everything before this cycle is forgotten.
    latch : Signal(), in
        Strobe: copy all totals, as of one cycle of the next walk, to the first half of `memory`.
    latching : Signal(), out
        The copy is not complete; neither strobe may be given.
    memory : Memory
        The copies, then the totals; of each counter low word, high word.
    """

    def __init__(self, names=COUNTERS, most=3):
        self.events   = {name: Signal(bits_for(most), name=f"event_{name}") for name in names}
        self.dropped  = Signal()
        self.clear    = Signal()
        self.latch    = Signal()
        self.latching = Signal()

        # # #

        event_bits = (len(names) - 1).bit_length()
        count_bits = bits_for(most << PHASE_BITS + event_bits)
        self.memory = memory = Memory(32, 4 << event_bits, name="counters")
        write = memory.get_port(write_capable=True)
        read  = memory.get_port(mode=READ_FIRST)
        self.specials += memory, write, read

        # Few bits of each event, taken all at once when a walk starts. ------------------------------------------------
        walk   = Signal(PHASE_BITS + event_bits, reset=(1 << PHASE_BITS + event_bits) - 1)
        phase  = walk[:PHASE_BITS]
        event  = walk[PHASE_BITS:]
        start  = Signal()  # of the next walk
        wanted = Signal()  # copies, by the next walk
        copy   = Signal()
        forget = Signal(reset=1)  # totals, in the next walk; also in the first one
        zero   = Signal()
        clear  = Signal()
        counts = [Signal(count_bits) for _ in names]
        taken  = [Signal(count_bits) for _ in names]
        self.comb += [
            start.eq(walk == (1 << len(walk)) - 1),
            self.latching.eq(wanted | copy),
        ]
        for name, count, snapshot in zip(names, counts, taken, strict=True):
            # A register: events come from all over the FPGA.
            now = Signal(bits_for(most))
            self.sync += [
                now.eq(self.events[name] + (self.dropped if name == "errors" else 0)),
                count.eq(Mux(start, 0, count) + now),
                If(start, snapshot.eq(count)),
                If(clear, count.eq(now)),
            ]
        self.sync += [
            clear.eq(self.clear),
            walk.eq(walk + 1),
            If(start, copy.eq(wanted), wanted.eq(0), zero.eq(forget), forget.eq(0)),
            If(self.latch, wanted.eq(1)),
            If(clear, forget.eq(1)),
        ]

        # The walk. ----------------------------------------------------------------------------------------------------
        value = Signal(33)
        high  = Signal()
        self.comb += [
            high.eq(phase >= 4),
            read.adr.eq(Cat(phase != 0, event, 1)),
            write.adr.eq(Cat(high, event, (phase == 2) | (phase == 5))),
            write.dat_w.eq(value[:32]),
            write.we.eq((phase == 2) | (phase == 5) | (copy & ((phase == 3) | (phase == 6)))),
        ]
        self.sync += [
            If((phase == 1) | (phase == 4),
                value.eq(Mux(zero, 0, read.dat_r) + Mux(high, value[32], Array(taken)[event])),
            ),
        ]
