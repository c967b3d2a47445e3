# SPDX-License-Identifier: BSD-2-Clause
"""Words of a descriptor from the queue, one a cycle."""

from litex.gen import LiteXModule
from migen import Cat, If, Signal

from mixpe_gateware.contract.descriptor import SLOT_WORDS


class WordFetch(LiteXModule):
    """Read the first words of the oldest descriptor in order.

    Latency 2 cycles (memory, register) from `run` to the first word; a word a cycle.

    Parameters
    ----------
    words : int

    Attributes
    ----------
    run : Signal(), in
        High from the first request to `last`; low for a cycle at least between two descriptors.
    index : Signal(max=SLOT_WORDS), out; value : Signal(32), in
        Of the queue.
    valid : Signal(), out
        `word` is word `which` of the descriptor.
    which : Signal(max=SLOT_WORDS), out
    word : Signal(32), out
    last : Signal(), out
        With `valid`: it is the last one.
    """

    def __init__(self, words):
        self.run   = Signal()
        self.index = Signal(max=SLOT_WORDS)
        self.value = Signal(32)
        self.valid = Signal()
        self.which = Signal(max=SLOT_WORDS)
        self.word  = Signal(32)
        self.last  = Signal()

        # # #

        asked   = Signal.like(self.index)
        arrived = Signal(2)
        self.comb += [
            self.valid.eq(self.run & arrived[1]),
            self.last.eq(self.valid & (self.which == words - 1)),
        ]
        self.sync += [
            asked.eq(self.index),
            self.which.eq(asked),
            self.word.eq(self.value),
            If(self.run,
                self.index.eq(self.index + 1),
                arrived.eq(Cat(1, arrived[0])),
            ).Else(
                self.index.eq(0),
                arrived.eq(0),
            ),
        ]
