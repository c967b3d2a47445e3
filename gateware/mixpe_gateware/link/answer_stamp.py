# SPDX-License-Identifier: BSD-2-Clause
"""Writes into each answer of the Etherbone bridge which packet is due."""

from liteeth.common import eth_udp_user_description
from litex.gen import LiteXModule, reverse_bytes
from litex.soc.interconnect import stream
from migen import Cat, If, Signal

from mixpe_gateware.contract.packetnumbers import NUMBER_BITS


class AnswerStamp(LiteXModule):
    """Packets pass in the same cycle, with another word in the header's padding: `COUNTED` and the number that is due.

    It is the number of the cycle in which the packet's first word passes, so the word does not change while it waits.

    Attributes
    ----------
    due : Signal(31), in
    sink : stream.Endpoint(eth_udp_user_description(32)), in
    source : stream.Endpoint(eth_udp_user_description(32)), out
    """

    def __init__(self):
        self.due    = Signal(NUMBER_BITS)
        self.sink   = sink = stream.Endpoint(eth_udp_user_description(32))
        self.source = source = stream.Endpoint(eth_udp_user_description(32))

        # # #

        told  = Signal(NUMBER_BITS)
        first = Signal(reset=1)
        here  = Signal()  # the second word: NUMBER_WORD
        self.comb += [
            sink.connect(source),
            If(here, source.data.eq(reverse_bytes(Cat(told, 1)))),
        ]
        self.sync += If(sink.valid & source.ready,
            here.eq(first & ~sink.last),
            first.eq(sink.last),
            If(first, told.eq(self.due)),
        )
