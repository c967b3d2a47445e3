# SPDX-License-Identifier: BSD-2-Clause
"""Checker: descriptors in, checked tickets out.

    queue ──► words ──► descriptor ──► shape ──► multiplier ──► regions ──► ticket ──► stages of the engine

The checker makes the checks of `contract.jobs.check_job`, and where several fail it finds the same one first; a job
that fails passes through as a ticket with `skip`, so that it ends in its turn with its code and touches nothing.
"""

from litex.gen import LiteXModule
from litex.soc.interconnect import stream
from migen import FSM, Case, If, Mux, NextState, NextValue, Signal, bits_for

from mixpe_gateware.contract.config import GROUP_MIN, N_LIMIT
from mixpe_gateware.contract.descriptor import SLOT_WORDS
from mixpe_gateware.contract.jobs import JobCode
from mixpe_gateware.contract.widths import log2
from mixpe_gateware.control.fetch import WordFetch
from mixpe_gateware.control.multiplier import Multiplier
from mixpe_gateware.control.regions import Overlap, RegionCheck
from mixpe_gateware.gemm.descriptor import WORDS_READ, Descriptor
from mixpe_gateware.gemm.shape import Shape
from mixpe_gateware.gemm.ticket import ticket_layout

# What the multiplier works out, in this order.
TILE_WORDS, ACT_BEATS, STREAM_BEATS, RESULT_VECTORS, RESULT_WORDS = range(5)


class JobChecker(LiteXModule):
    """Check descriptors and derive tickets.

    Latency about 150 cycles a job, mostly a bit-serial multiplier; it runs while earlier jobs do.

    Parameters
    ----------
    config : Config
    mem_bytes : int
        Size of the memory that addresses are checked against.
    address_bits : int
        Width of a beat address.

    Attributes
    ----------
    valid : Signal(), in; index : Signal(max=SLOT_WORDS), out; value : Signal(32), in; pop : Signal(), out
        Of a `JobQueue`.
    source : Endpoint(ticket_layout(config, address_bits)), out
    now : Signal(32), in
        Free-running time stamp in cycles.
    """

    def __init__(self, config, mem_bytes, address_bits):
        self.valid  = Signal()
        self.index  = Signal(max=SLOT_WORDS)
        self.value  = Signal(32)
        self.pop    = Signal()
        self.source = source = stream.Endpoint(ticket_layout(config, address_bits))
        self.now    = Signal(32)

        # # #

        self.config = config
        self.ticket = ticket = source.payload
        size_bits   = address_bits + 2                              # of a region's size or end in beats
        words_bits  = max(size_bits + 3, len(source.kwords) + 1)  # of the products; results are counted in words
        self.fetch      = fetch      = WordFetch(WORDS_READ)
        self.descriptor = descriptor = Descriptor(config, address_bits)
        self.shape      = Shape(config, descriptor, ticket)
        self.multiplier = Multiplier(words_bits, bits_for(N_LIMIT))
        self.region     = region = RegionCheck(config, mem_bytes, address_bits)
        self.step       = Signal(max=RESULT_WORDS + 1)
        self.outside    = Signal()  # a region leaves the memory
        self.act_end, self.weights_end = Signal(size_bits), Signal(size_bits)
        self.on_weights = on_weights = Overlap(size_bits)
        self.on_acts    = on_acts    = Overlap(size_bits)
        self.too_small  = Signal()
        self.comb += [
            self.index.eq(fetch.index),
            fetch.value.eq(self.value),
            descriptor.valid.eq(fetch.valid),
            descriptor.which.eq(fetch.which),
            descriptor.word.eq(fetch.word),
            ticket.weights_beat.eq(descriptor.weights_beat),
            ticket.act_beat.eq(descriptor.act_beat),
            ticket.out_beat.eq(descriptor.out_beat),
            on_weights.start_a.eq(ticket.weights_beat),
            on_weights.end_a.eq(self.weights_end),
            on_acts.start_a.eq(ticket.act_beat),
            on_acts.end_a.eq(self.act_end),
        ]
        for check in (on_weights, on_acts):
            self.comb += check.start_b.eq(ticket.out_beat), check.end_b.eq(region.end)
        self.sync += self.too_small.eq(descriptor.space < region.size)  # of the results, which are the last region

        self.fsm = fsm = FSM(reset_state="IDLE")
        fsm.act("IDLE",
            NextValue(ticket.start, self.now),
            NextValue(ticket.skip, 0),
            NextValue(ticket.code, JobCode.OK),
            descriptor.clear.eq(1),
            If(self.valid, NextState("FETCH")),
        )
        fsm.act("FETCH",
            fetch.run.eq(1),
            If(fetch.last, NextState("FLAGS")),
        )
        self._check_shape(fsm)
        self._check_regions(fsm, address_bits)
        fsm.act("SEND",
            source.valid.eq(1),
            If(source.ready,
                self.pop.eq(1),
                NextState("LEAVE"),
            ),
        )
        fsm.act("LEAVE",
            # The queue shows one cycle late that it was popped.
            NextState("IDLE"),
        )

    def _refuse(self, condition, job_code):
        """A check that fails: the job ends with this code."""
        return condition, [NextValue(self.ticket.skip, 1), NextValue(self.ticket.code, job_code), NextState("SEND")]

    @staticmethod
    def _checks(tests, *passed):
        """The first check whose condition holds, else what follows."""
        chain = If(tests[0][0], *tests[0][1])
        for condition, action in tests[1:]:
            chain = chain.Elif(condition, *action)
        return chain.Else(*passed)

    def _multiply(self, step, a, b):
        """Work out a product and go on with it in its step of USE."""
        return [self.multiplier.a.eq(a), self.multiplier.b.eq(b), self.multiplier.start.eq(1),
            NextValue(self.step, step), NextState("MULTIPLY")]

    def _check_shape(self, fsm):
        """States that follow from the descriptor alone."""
        config, descriptor, shape, ticket = self.config, self.descriptor, self.shape, self.ticket
        fsm.act("FLAGS",
            NextValue(self.outside, descriptor.outside),
            self._checks([
                self._refuse(descriptor.bad_op | descriptor.bad_flags | (shape.fused & (not config.fused))
                    | ((shape.wide | shape.shift) & ~shape.fused), JobCode.UNSUPPORTED),
                self._refuse(descriptor.bad_shape | (descriptor.k < GROUP_MIN)
                    | (shape.wide & (descriptor.m[0] | (config.rows % 2))), JobCode.SHAPE),
            ], NextState("SHAPE")),
        )
        fsm.act("SHAPE",
            self._checks([
                self._refuse(shape.bad_group, JobCode.GROUP),
                self._refuse(shape.bad_k, JobCode.SHAPE),
                self._refuse(ticket.stream_groups > config.groups_max, JobCode.GROUP),
            ], *self._multiply(TILE_WORDS, shape.tiles, ticket.kwords)),
        )

    def _check_regions(self, fsm, address_bits):
        """States that multiply sizes and hold each region against the memory and the others."""
        config, descriptor, shape, ticket = self.config, self.descriptor, self.shape, self.ticket
        region, multiplier, product = self.region, self.multiplier, self.multiplier.product
        result_beats = Signal(len(product) + 1)
        if config.port_bits <= 32:
            self.comb += result_beats.eq(product << log2(32//config.port_bits))
        else:
            words_log2 = log2(config.port_bits//32)
            self.comb += result_beats.eq((product + (1 << words_log2) - 1) >> words_log2)

        def take_in(start, beats):
            """See where a region ends."""
            return [NextValue(region.start, start), NextValue(region.size, beats),
                NextValue(self.outside, self.outside | multiplier.overflow | (beats >> address_bits + 1 != 0)),
                NextState("END")]

        fsm.act("MULTIPLY",
            If(~multiplier.busy, NextState("USE")),
        )
        fsm.act("USE", Case(self.step, {
            TILE_WORDS: [
                NextValue(ticket.double, product > config.act_words),
                self._checks([
                    self._refuse(multiplier.overflow | (product > 2*config.act_words), JobCode.ROWS),
                    self._refuse((shape.tiles > 1) & (ticket.stream_words > config.buffer_beats), JobCode.ROWS),
                    self._refuse(descriptor.misaligned, JobCode.ALIGN),
                ], *self._multiply(ACT_BEATS, shape.row_beats, descriptor.m)),
            ],
            ACT_BEATS:    [NextValue(ticket.act_beats, product), *take_in(ticket.act_beat, product)],
            STREAM_BEATS: [NextValue(ticket.stream_beats, product), *take_in(ticket.weights_beat, product)],
            RESULT_VECTORS: [
                NextValue(self.outside, self.outside | multiplier.overflow),
                *self._multiply(RESULT_WORDS, product, descriptor.n),
            ],
            RESULT_WORDS: take_in(ticket.out_beat, result_beats),
        }))
        fsm.act("END",
            NextState("SETTLE"),
        )
        fsm.act("SETTLE",
            NextState("REGION"),
        )
        fsm.act("REGION",
            self._checks([
                self._refuse(self.outside | ~(region.inside | (region.in_inbox & (self.step == ACT_BEATS))),
                    JobCode.MEMORY),
                (self.step == ACT_BEATS, [NextValue(self.act_end, region.end),
                    *self._multiply(STREAM_BEATS, shape.block_beats, shape.blocks)]),
                (self.step == STREAM_BEATS, [NextValue(self.weights_end, region.end),
                    *self._multiply(RESULT_VECTORS, Mux(shape.fused, 1, ticket.stream_groups),
                        Mux(shape.wide, descriptor.m >> 1, descriptor.m))]),
                self._refuse(self.on_weights.overlap | self.on_acts.overlap, JobCode.OVERLAP),
                self._refuse(self.too_small, JobCode.SPACE),
            ], NextState("SEND")),
        )
