# SPDX-License-Identifier: BSD-2-Clause
"""Words of a RUN from the queue, in registers."""

from litex.gen import LiteXModule
from migen import Case, If, Signal

from mixpe_gateware.contract.program.run import RUN_WORDS
from mixpe_gateware.control.fetch import WordFetch

WORDS_READ = len(RUN_WORDS) - 1  # the tag is the ledger's


class RunDescriptor(LiteXModule):
    """Registers of all words but the tag, by name.

    Attributes
    ----------
    run : Signal(), in; index : Signal(max=SLOT_WORDS), out; value : Signal(32), in; last : Signal(), out
        Of a `WordFetch`.
    words : dict of name: Signal(32), out
    advance : Signal(), in, with token : Signal(32), in
        Strobe: the next token and position.
    put_token : Signal(), in
        Strobe: `token` alone is taken.
    """

    def __init__(self):
        self.fetch = fetch = WordFetch(WORDS_READ)
        self.run, self.index, self.value, self.last = fetch.run, fetch.index, fetch.value, fetch.last
        self.words     = {word.name: Signal(32, name=f"run_{word.name}") for word in RUN_WORDS[:WORDS_READ]}
        self.advance   = Signal()
        self.put_token = Signal()
        self.token     = Signal(32)

        # # #

        self.sync += [
            If(fetch.valid, Case(fetch.which, {index: register.eq(fetch.word)
                for index, register in enumerate(self.words.values())})),
            If(self.advance | self.put_token, self.words["token"].eq(self.token)),
            If(self.advance, self.words["position"].eq(self.words["position"] + 1)),
        ]
