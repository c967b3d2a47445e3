# SPDX-License-Identifier: BSD-2-Clause
"""Which regions a record reads, in order: for each pass over a key-value head

    queries, exponents, scales of keys, scales of values, keys, values

Requests run ahead as far as the reader has room, also from a pass into the next one.
"""

from litex.gen import LiteXModule
from litex.soc.interconnect import stream
from migen import FSM, Case, Cat, If, Mux, NextState, NextValue, Record, Signal, bits_for

from mixpe_gateware.attention.checker import task_layout
from mixpe_gateware.contract.widths import log2

PASSES_AHEAD = 4
QUERIES, EXPONENTS, KEY_SCALES, VALUE_SCALES, KEYS, VALUES = range(6)
RING = (KEY_SCALES, VALUE_SCALES, KEYS, VALUES)  # regions whose addresses go round


def pass_layout(config):
    """A pass: its heads, the words in front of its exponents, and whether it is the last one of the record."""
    return [("active", bits_for(config.attention_heads)), ("skip", max(1, log2(config.port_bits//16))), ("final", 1)]


class RegionWalk(LiteXModule):
    """Regions of all passes of a task.

    A region every two cycles. The task holds until the last pass has left.

    Parameters
    ----------
    config : Config
    address_bits, depth : int
        See `task_layout`.
    beat_bits : int
        Width of a region's size.

    Attributes
    ----------
    start : Signal(), in
    task : Record(task_layout), in
    passes : Endpoint(pass_layout(config)), out
    source : Endpoint([("start", address_bits), ("beats", beat_bits)]), out
        For a `RegionReader`.
    """

    def __init__(self, config, address_bits, depth, beat_bits):
        self.start  = Signal()
        self.task   = task = Record(task_layout(config, address_bits, depth))
        self.source = source = stream.Endpoint([("start", address_bits), ("beats", beat_bits)])

        # # #

        self.fifo   = fifo = stream.SyncFIFO(pass_layout(config), PASSES_AHEAD)
        self.passes = fifo.source
        heads     = config.attention_heads
        queries   = Signal(address_bits)
        ring      = [Signal(address_bits) for _ in RING]
        head      = Signal(16)      # first one of the pass
        of_group  = Signal(8)       # heads of the group that no pass has had
        kv_heads  = Signal(8)       # key-value heads after this one
        active    = Signal(bits_for(heads))
        region    = Signal(max=VALUES + 1)
        group_end = Signal()        # no further pass over this key-value head
        # Beats of `active` heads' codes, two beats a row; of their exponents.
        query_beats = Signal(bits_for(2*depth*heads))
        word_log2   = log2(config.port_bits//16) - 1     # of exponents in a beat; -1: two beats each
        words       = 1 << max(0, word_log2)
        skip        = head[:word_log2] if word_log2 > 0 else 0
        self.comb += [
            active.eq(Mux(of_group > heads, heads, of_group)),
            group_end.eq(of_group <= heads),
            query_beats.eq(sum((Mux(active[bit], task.steps << bit + 1, 0) for bit in range(len(active))), start=0)),
            fifo.sink.active.eq(active),
            fifo.sink.skip.eq(skip),
            fifo.sink.final.eq(group_end & (kv_heads == 0)),
        ]
        exponent_start = task.exponents + (head << 1 if word_log2 < 0 else head >> word_log2)
        exponent_beats = active << 1 if word_log2 < 0 else skip + active + words - 1 >> word_log2

        self.fsm = fsm = FSM(reset_state="IDLE")
        fsm.act("IDLE",
            NextValue(queries, task.queries),
            NextValue(head, 0),
            NextValue(of_group, task.group),
            NextValue(kv_heads, task.kv_heads - 1),
            NextValue(Cat(*ring), Cat(task.key_scales, task.value_scales, task.keys, task.values)),
            NextValue(region, QUERIES),
            If(self.start, NextState("PASS")),
        )
        fsm.act("PASS",
            fifo.sink.valid.eq(1),
            If(fifo.sink.ready, NextState("REGION")),
        )
        fsm.act("REGION",
            Case(region, {
                QUERIES:   [NextValue(source.start, queries), NextValue(source.beats, query_beats)],
                EXPONENTS: [NextValue(source.start, exponent_start), NextValue(source.beats, exponent_beats)],
                "default": [NextValue(source.start, ring[0]),
                    NextValue(source.beats, Mux(region <= VALUE_SCALES, task.scale_beats, task.row_beats))],
            }),
            NextState("OFFER"),
        )
        stride = Mux(region <= VALUE_SCALES, task.scale_stride, task.row_stride)
        fsm.act("OFFER",
            source.valid.eq(1),
            If(source.ready,
                NextValue(region, region + 1),
                NextState("REGION"),
                If(region == QUERIES, NextValue(queries, queries + query_beats)),
                If(region > EXPONENTS,
                    NextValue(Cat(*ring), Cat(*ring[1:], (ring[0] + Mux(group_end, stride, 0))[:address_bits])),
                ),
                If(region == VALUES,
                    NextValue(region, QUERIES),
                    NextValue(head, head + active),
                    NextValue(of_group, of_group - active),
                    NextState("PASS"),
                    If(group_end,
                        NextValue(of_group, task.group),
                        NextValue(kv_heads, kv_heads - 1),
                        If(kv_heads == 0, NextState("IDLE")),
                    ),
                ),
            ),
        )
