# SPDX-License-Identifier: BSD-2-Clause
"""Numbers of packets on a link that may lose, double and reorder them: what host and gate agree on.

The word of Etherbone's header that only pads it holds a packet's number, with `COUNTED` set. The gate knows which
number is due, lets that one pass and no other, and says in the same word of each answer which is due then. So packets
are carried out once and in the order of their numbers, and an answer tells how far that has come.

    not counted   passes always and counts for nothing: LiteX's own client, and a probe that only asks what is due
    counted       passes when its number is due
    a start       a counted probe: passes when its one word of payload is the word that the gate answers with, then the
                  number after its own is due. So a host begins a session, and what was sent in others, earlier or by
                  somebody else, is never due again: numbers begin anywhere
"""

NUMBER_BITS = 31
NUMBER_MASK = (1 << NUMBER_BITS) - 1
COUNTED     = 1 << NUMBER_BITS
NUMBER_WORD = 1  # of a packet, most significant byte first


def after(number):
    """The number that is due when one has passed."""
    return (number + 1) & NUMBER_MASK
