# SPDX-License-Identifier: BSD-2-Clause
"""Streams lose, double and reorder nothing: the n-th word that comes out is the n-th that went in, for every n."""

from migen import If, Signal

from mixpe_sim.proofs.claim import Claim

COUNT_BITS = 6  # of words in a run, more than its cycles bring


class InOrder(Claim):
    """A word of any number is followed through a block: it leaves once, in its place, and is not kept for ever.

    The words before and after it are any, so it stands for all of them (data independence, Wolper 1986).

    Parameters
    ----------
    block : Module
    sink, source : Endpoint
    sink_data, source_data : list of Signal
        Words of an entry, the first first, all of one width.
    settle_cycles : int
        After so many cycles in which nothing new comes and everything is taken, all that came has left.
    seen_words : int
        So many are to leave.
    """

    def __init__(self, block, sink, source, sink_data, source_data, *, settle_cycles, seen_words):
        Claim.__init__(self)
        self.block = block
        self.feed(sink)
        self.drain(source)

        # # #

        number = self.symbol(COUNT_BITS, "number")
        kept   = Signal(len(sink_data[0]))
        taken, left = Signal(COUNT_BITS), Signal(COUNT_BITS)  # words so far
        come, go    = Signal(), Signal()
        self.comb += [
            come.eq(sink.valid & sink.ready),
            go.eq(source.valid & source.ready),
        ]
        self.sync += [
            If(come, taken.eq(taken + len(sink_data))),
            If(go, left.eq(left + len(source_data))),
        ]
        behind = Signal(COUNT_BITS)  # words that were offered: a block may pass some of an entry before it takes it
        self.comb += behind.eq(taken + sink.valid*len(sink_data))
        now = Signal.like(kept)      # the followed word, if it was offered
        self.comb += now.eq(kept)
        for place, word in enumerate(sink_data):
            hit = Signal()
            self.comb += [
                hit.eq(sink.valid & (taken + place == number)),
                If(hit, now.eq(word)),
            ]
        self.sync += kept.eq(now)
        for place, word in enumerate(source_data):
            self.check(~go | (left + place != number) | (word == now))
        self.check(~go | (left + len(source_data) <= behind))

        still = Signal(max=settle_cycles + 1)
        whole = max(len(sink_data), len(source_data))
        self.sync += If(sink.valid | ~source.ready, still.eq(0)).Elif(still != settle_cycles, still.eq(still + 1))
        self.check((still != settle_cycles) | (taken < left + whole))
        self.assume(taken <= (1 << COUNT_BITS) - 2*whole)
        self.comb += self.seen.eq(left >= seen_words)
