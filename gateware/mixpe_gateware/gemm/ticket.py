# SPDX-License-Identifier: BSD-2-Clause
"""Ticket: a checked job with everything that the datapath needs derived from its shape."""

from migen import bits_for

from mixpe_gateware.contract.config import CHANNELS_PER_BLOCK, N_LIMIT
from mixpe_gateware.contract.descriptor import FORM


def ticket_layout(config, address_bits, *names):
    """Fields of a checked job, or those of these names, which a stage uses.

    Beat addresses count port words. `words` counts words of D weights or activations, `stream_*` what a channel's
    stream holds (twice the activations' for W8), `*_last` is one less than the count: the index of the last.
    """
    words  = bits_for(2*config.act_words)
    groups = bits_for(2*config.groups_max)
    fields = [
        ("skip",           1),
        ("code",           4),
        ("fused",          1),
        ("wide",           1),
        ("shift",          1),
        ("double",         1),   # the activations take both buffers
        ("act_beat",      address_bits + config.inbox_bits),
        ("weights_beat",  address_bits),
        ("out_beat",      address_bits),
        ("act_beats",     address_bits + 1),   # activations and shift table
        ("stream_beats",  address_bits + 1),   # whole weight stream
        ("m_last",        bits_for(config.k_max)),
        ("tiles_last",    words),
        ("last_rows",     bits_for(config.rows)),  # rows of the last tile
        ("kwords",        words),
        ("kwords_last",   words),
        ("group_words_last", words),
        ("groups",        groups),
        ("groups_last",   groups),
        ("stream_words",  words),
        ("stream_words_last",  words),
        ("stream_groups", groups),
        ("stream_groups_last", groups),
        ("n_last",        bits_for(N_LIMIT)),
        ("blocks_last",   bits_for(N_LIMIT//CHANNELS_PER_BLOCK)),
        ("start",         32),   # time stamp of the first check
        *([("form", FORM.width)] if config.minima else []),
    ]
    return [(name, bits) for name, bits in fields if not names or name in names]


def hand_on(source, sink):
    """Give the fields of a ticket that `sink` has to it: list of statements."""
    return [getattr(sink, name).eq(getattr(source, name)) for name, *_ in sink.layout]
