# SPDX-License-Identifier: BSD-2-Clause
"""The array: R rows × D lanes of shift-add processing elements with one group accumulator a row.

    weight buffer ──► D weights ──┬──► dot product row 0   ──► Σ group ──┐
                                  ├──► …                                 ├──► group sums of R rows, one vector a group
    activations  ──► R×D INT8 ────┴──► dot product row R−1 ──► Σ group ──┘

The datapath never stalls. The sequencer starts a group only when the vector FIFO has a place for its sums (credits), so
back-pressure of the results stops the weights before the array and nothing is lost.
"""

from functools import reduce
from operator import or_

from litex.gen import LiteXModule
from litex.soc.interconnect import stream
from migen import Cat, CEInserter, If, Signal, bits_for

from mixpe_gateware.contract.config import CHANNELS_PER_BLOCK, K_LIMIT
from mixpe_gateware.contract.widths import GROUP_SUM_BITS, log2
from mixpe_gateware.gemm.activations import ActivationMemory
from mixpe_gateware.gemm.ticket import ticket_layout
from mixpe_gateware.gemm.weights import WeightBuffer
from mixpe_gateware.pe.element import element
from mixpe_gateware.stream.fanout import ROWS_PER_COPY, delayed, levels, register_stage, spread


class ArrayDatapath(LiteXModule):
    """R dot products of D lanes and R group accumulators.

    acc' = (first ? 0 : acc) + Σ_lanes q·x

    Latency `latency` cycles from `valid` to `done`; a beat a cycle; no back-pressure.

    Parameters
    ----------
    config : Config
    target : str
        See `element`.
    design : DotProduct, optional
        Of `config.lanes` lanes: any that `create_group` of `DotProduct` serves. That of `config.pe` if None.

    Attributes
    ----------
    weights : Signal(design.weights_bits), in
    activations : list of R Signal, in
        As the processing element takes them, `levels` cycles after the weights that they meet.
    valid, first, last : Signal(), in
        A beat, and whether it is the first or last of its group.
    rows : Signal(R), in
        Rows that the beat is for. The registers of the others stand still, which saves their toggling (and, in
        simulation, most of the time of decoding one token); their sums mean nothing.
    sums : list of R Signal, out
        Signed, of GROUP_SUM_BITS with the elements of `Config.pe`: as wide as the longest group needs.
    done : Signal(), out
        `sums` are those of a whole group.
    """

    def __init__(self, config, *, target="portable", design=None):
        design   = element(config, target) if design is None else design
        sum_bits = design.product_bits + log2(K_LIMIT//config.lanes)
        self.weights     = Signal(design.weights_bits)
        self.activations = [Signal(design.activation_bits) for _ in range(config.rows)]
        self.valid       = Signal()
        self.first       = Signal()
        self.last        = Signal()
        self.sums        = [
            Signal((sum_bits, True), name=f"sum_{row}", reset_less=True) for row in range(config.rows)]
        self.rows        = Signal(config.rows)
        self.done        = Signal()

        # # #

        latency = levels(config) + design.latency + 1
        self.latency = latency
        self.comb += self.done.eq(delayed(self, self.valid & self.last, latency))

        # What all rows need comes from registers of their own every few rows.
        weights = spread(self, self.weights, config)
        shared  = [design.create_shared() for _ in weights]
        for module, copy in zip(shared, weights, strict=True):
            if module is not None:
                self.submodules += module
                self.comb += module.weights.eq(copy)
        firsts  = [delayed(self, first, design.latency, reset_less=True) for first in spread(self, self.first, config)]
        for row in range(config.rows):
            # A row's stages move while one of them holds a beat for it, which a register says in advance.
            stages = [delayed(self, self.valid & self.rows[row], levels(config) - 1)]
            for _ in range(design.latency + bool(levels(config))):
                stages.append(delayed(self, stages[-1], 1))
            moving = reduce(or_, stages[:design.latency])
            move   = delayed(self, moving, 1) if levels(config) else moving
            copy = row//ROWS_PER_COPY
            unit = CEInserter()(design.create() if shared[copy] is None else design.create(shared[copy]))
            self.add_module(name=f"row_{row}", module=unit)
            total = self.sums[row]
            self.comb += unit.activations.eq(self.activations[row]), unit.ce.eq(move)
            if shared[copy] is None:
                self.comb += unit.weights.eq(weights[copy])
            self.sync += If(stages[-1],
                If(firsts[copy], total.eq(unit.product)).Else(total.eq(total + unit.product)),
            )


class ArraySequencer(LiteXModule):
    """Walk jobs over the array: for each channel, for each row tile, for each word of the channel's stream.

    Parameters
    ----------
    config : Config
    buffer : WeightBuffer
    activations : ActivationMemory
    address_bits : int
        Width of a beat address.
    results_depth : int
        Vectors that `source` can hold behind the array.
    target : str
        FPGA family whose primitives the processing elements may use, or ``"portable"``.

    Attributes
    ----------
    sink : Endpoint(ticket_layout(config, address_bits)), in
        Taken with the last word of the job.
    source : Endpoint([("sums", R·GROUP_SUM_BITS)]), out
        One vector of group sums: for each channel (padding included), tile and group of its stream.
    busy, wait_weights, wait_results : Signal(), out
        What the array does in this cycle: takes a beat, has none, waits for the results.
    """

    def __init__(self, config, buffer, activations, *, address_bits, results_depth=16, target="portable"):
        self.sink   = sink = stream.Endpoint(ticket_layout(config, address_bits))
        self.source = stream.Endpoint([("sums", config.rows*GROUP_SUM_BITS)])
        self.busy         = Signal()
        self.wait_weights = Signal()
        self.wait_results = Signal()

        # # #

        self.datapath = datapath = ArrayDatapath(config, target=target)
        self.results  = results  = stream.SyncFIFO([("sums", config.rows*GROUP_SUM_BITS)], results_depth)
        self.comb += [
            results.sink.valid.eq(datapath.done),
            results.sink.sums.eq(Cat(*datapath.sums)),
        ]

        if config.is_shallow:
            self.comb += results.source.connect(self.source)
        else:
            # Rows are chosen from registers, not from the FIFO's memory.
            self.vector = vector = register_stage([("sums", config.rows*GROUP_SUM_BITS)])
            self.comb += [
                results.source.connect(vector.sink),
                vector.source.connect(self.source),
            ]

        # Position -----------------------------------------------------------------------------------------------------
        word      = Signal.like(sink.stream_words)   # of the channel's stream
        act_word  = Signal.like(sink.kwords)         # of the activations: wraps between the planes of W8
        in_group  = Signal.like(sink.group_words_last)
        tile      = Signal.like(sink.tiles_last)
        tile_word = Signal.like(sink.kwords)
        channel   = Signal(bits_for(CHANNELS_PER_BLOCK - 1))
        block     = Signal.like(sink.blocks_last)
        half      = Signal()
        step, first, last = Signal(), Signal(), Signal()
        last_tile, end_channel, end_tile, end_block, end_job = (Signal() for _ in range(5))
        self.comb += [
            first.eq(in_group == 0),
            last.eq(in_group == sink.group_words_last),
            end_tile.eq(word == sink.stream_words_last),
            last_tile.eq(tile == sink.tiles_last),
            end_channel.eq(end_tile & last_tile),
            end_block.eq(end_channel & (channel == CHANNELS_PER_BLOCK - 1)),
            end_job.eq(end_block & (block == sink.blocks_last)),
        ]

        # A group needs a place for its sums when it starts. -----------------------------------------------------------
        credits = Signal(max=results_depth + 1, reset=results_depth)
        left    = Signal()       # a vector left its place
        loaded  = Signal(max=3)  # jobs whose activations are on chip and that the array has not done
        running = Signal()
        self.comb += [
            running.eq(sink.valid & ~sink.skip & (loaded != 0)),
            step.eq(running & buffer.available & (~first | (credits != 0))),
            self.busy.eq(step),
            self.wait_weights.eq(running & ~buffer.available),
            self.wait_results.eq(running & buffer.available & ~step),
            sink.ready.eq(sink.skip | (step & end_job)),
        ]
        self.sync += [
            loaded.eq(loaded + activations.finished - (step & end_job)),
            left.eq(results.source.valid & results.source.ready),
            credits.eq(credits - (step & first) + left),
            If(step,
                word.eq(word + 1),
                act_word.eq(act_word + 1),
                in_group.eq(in_group + 1),
                If(last, in_group.eq(0)),
                If(act_word == sink.kwords_last, act_word.eq(0)),
                If(end_tile,
                    word.eq(0),
                    act_word.eq(0),
                    tile.eq(tile + 1),
                    tile_word.eq(tile_word + sink.kwords),
                ),
                If(end_channel, tile.eq(0), tile_word.eq(0), channel.eq(channel + 1)),
                If(end_block, block.eq(block + 1)),
                If(end_job, block.eq(0), half.eq(half ^ ~sink.double)),
            ),
        ]

        # Memories to datapath -----------------------------------------------------------------------------------------
        self.comb += [
            buffer.take.eq(step),
            buffer.release.eq(last_tile),  # beat by beat, so that a channel may be longer than the buffer
            buffer.rewind.eq(end_tile & ~end_channel),
            datapath.weights.eq(buffer.data),
            activations.buffer.eq(half),
            activations.address.eq(tile_word + act_word),
        ]
        for row in range(config.rows):
            self.comb += datapath.activations[row].eq(activations.data[row])
        # The datapath takes all of this with the weights, and spreads it over its rows as the memory does the address.
        used = [(sink.tiles_last != 0) | (sink.last_rows > row) for row in range(config.rows)]
        self.comb += Cat(datapath.valid, datapath.first, datapath.last, datapath.rows).eq(
            delayed(self, Cat(step, first, last, *used), WeightBuffer.READ_LATENCY))


assert log2(CHANNELS_PER_BLOCK) == 3  # `channel` wraps by itself
assert ActivationMemory.READ_LATENCY == WeightBuffer.READ_LATENCY  # and as many levels: they meet in the datapath
