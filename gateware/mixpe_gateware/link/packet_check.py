# SPDX-License-Identifier: BSD-2-Clause
"""What decides about a packet on its way to the Etherbone bridge, known with its last word: its shape and its number.

LiteEth believes what a packet says. A record with fewer words than it names takes those of the next packet, a header
without payload takes the next packet's header for its record, and a probe with two words of payload is never done with:
each of these carries out what nobody sent, or ends the bridge. So only what is whole passes.
"""

from litex.gen import LiteXModule, reverse_bytes
from migen import If, Mux, Signal

from mixpe_gateware.contract.packetnumbers import NUMBER_BITS, NUMBER_WORD

PROBE_BIT    = 16  # of a packet's first word
RECORD_WORD  = 2   # the record's header, or a probe's payload
PROBE_WORDS  = 3
RECORD_WORDS = 4   # beside what it writes or reads: header, its padding, the record's header, an address


class PacketShape(LiteXModule):
    """Counts a packet's words, and says at its last one whether it is a whole record or a whole probe.

    A record either writes or reads, since LiteEth mixes up those that do both.

    Parameters
    ----------
    word : stream.Endpoint(eth_udp_user_description(32))
        Watched: a word in each cycle in which it is valid.

    Attributes
    ----------
    index : Signal(16), out
        Of the word in its packet; it stays where padding begins.
    wanted : Signal(14), out
        Words that the packet says it has.
    useful : Signal(), out
        The word is no padding.
    probe : Signal(), out
        From the second word on: the packet is a probe.
    whole : Signal(), out
        At the last word.
    """

    def __init__(self, word):
        self.index  = index = Signal(16)
        self.wanted = wanted = Signal(14)
        self.useful = Signal()
        self.probe  = probe = Signal()
        self.whole  = Signal()

        # # #

        writes, reads = word.data[16:24], word.data[24:32]
        record = Signal()  # a record of its length, at the record's header
        asks   = Signal()  # a probe of its length
        fit    = Signal()  # what those said, from the next word on
        bad    = Signal()
        wrong  = Signal()  # this word or one before
        self.comb += [
            wanted.eq(word.length[2:]),
            self.useful.eq(index < wanted),
            wrong.eq(bad | (word.error != 0)),
            record.eq(((writes == 0) ^ (reads == 0)) & (wanted == (writes | reads) + RECORD_WORDS)),
            asks.eq(probe & (wanted == PROBE_WORDS)),
            self.whole.eq(~wrong & Mux(index == RECORD_WORD, asks, fit) & (index + 1 >= wanted)
                          & (word.length[:2] == 0)),
        ]
        self.sync += If(word.valid,
            If(index == 0, probe.eq(word.data[PROBE_BIT])),
            If(index == RECORD_WORD, fit.eq(Mux(probe, asks, record))),
            If(self.useful, index.eq(index + 1)),
            bad.eq(wrong),
            If(word.last,
                index.eq(0),
                fit.eq(0),
                bad.eq(0),
            ),
        )


class PacketTurn(LiteXModule):
    """Says at a packet's last word whether it is its turn: `contract.packetnumbers`.

    Parameters
    ----------
    word : stream.Endpoint(eth_udp_user_description(32))
        Watched.
    index : Signal(16)
    probe : Signal()
        Both as in `PacketShape`.

    Attributes
    ----------
    passes : Signal(), in
        At the last word: the packet is taken.
    ours : Signal(), out
        At the last word: it is due, or not counted.
    due : Signal(31), out
    """

    def __init__(self, word, index, probe):
        self.passes = Signal()
        self.ours   = Signal()
        self.due    = due = Signal(NUMBER_BITS)

        # # #

        value   = Signal(32)
        number  = Signal(NUMBER_BITS)
        counted = Signal()
        same    = Signal()  # this word is what is due
        matched = Signal()  # the word that says so was
        start   = Signal()  # this is the word that says so in a start
        self.comb += [
            value.eq(reverse_bytes(word.data)),
            same.eq(value[:NUMBER_BITS] == due),
            start.eq(probe & (index == RECORD_WORD)),
            self.ours.eq(~counted | Mux(start, same, matched)),
        ]
        self.sync += If(word.valid,
            If(index == NUMBER_WORD,
                number.eq(value[:NUMBER_BITS]),
                counted.eq(value[NUMBER_BITS]),
            ),
            If((index == NUMBER_WORD) | start, matched.eq(same)),
            If(self.passes & counted, due.eq(number + 1)),
        )
