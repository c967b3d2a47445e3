# SPDX-License-Identifier: BSD-2-Clause
"""The array's sequencer: which weights meet which activations in which cycle, and a place for each group's sums.

Back-pressure of the results stops the weights before the array, so nothing is lost in it.
"""

from litex.gen import LiteXModule
from litex.soc.interconnect import stream
from migen import Cat, If, Signal, bits_for

from mixpe_gateware.contract.config import CHANNELS_PER_BLOCK
from mixpe_gateware.contract.widths import GROUP_SUM_BITS, log2
from mixpe_gateware.gemm.array import ArrayDatapath
from mixpe_gateware.gemm.ticket import ticket_layout
from mixpe_gateware.gemm.weights import WeightBuffer
from mixpe_gateware.stream.credits import Credits
from mixpe_gateware.stream.fanout import delayed, register_stage

FIELDS = ("skip", "double", "tiles_last", "last_rows", "kwords", "kwords_last", "group_words_last", "stream_words",
    "stream_words_last", "blocks_last")  # of a ticket


class ArraySequencer(LiteXModule):
    """Walk jobs over the array: for each channel, for each row tile, for each word of the channel's stream.

    Throughput a beat of weights a cycle while there are weights and places for results.

    Parameters
    ----------
    config : Config
    address_bits : int
        Width of a beat address.
    results_depth : int
        Vectors that `source` can hold behind the array.
    target : str
        FPGA family whose primitives the processing elements may use, or ``"portable"``.

    Attributes
    ----------
    sink : Endpoint(ticket_layout(config, address_bits, *FIELDS)), in
        Taken with the last word of the job.
    source : Endpoint([("sums", R·GROUP_SUM_BITS)]), out
        One vector of group sums: for each channel (padding included), tile and group of its stream.
    available : Signal(), in; take, release, rewind : Signal(), out; weights : Signal(port_bits), in
        Of a `WeightBuffer`.
    loaded : Signal(), in
        Strobe: the activations of a further job are on chip.
    buffer : Signal(), out; address : Signal(max=2·act_words), out; activations : list of R Signal, in
        Of an `ActivationMemory`.
    busy, wait_weights, wait_results : Signal(), out
        What the array does in this cycle: takes a beat, has none, waits for the results.
    """

    def __init__(self, config, *, address_bits, results_depth=16, target="portable"):
        self.sink   = sink = stream.Endpoint(ticket_layout(config, address_bits, *FIELDS))
        self.source = stream.Endpoint([("sums", config.rows*GROUP_SUM_BITS)])
        self.available = Signal()
        self.take      = Signal()
        self.release   = Signal()
        self.rewind    = Signal()
        self.loaded    = Signal()
        self.buffer    = Signal()
        self.address   = Signal(max=2*config.act_words)
        self.busy         = Signal()
        self.wait_weights = Signal()
        self.wait_results = Signal()

        # # #

        self.datapath    = datapath = ArrayDatapath(config, target=target)
        self.weights     = datapath.weights
        self.activations = datapath.activations
        results = self._add_results(config, results_depth)

        # Position -----------------------------------------------------------------------------------------------------
        word      = Signal.like(sink.stream_words)   # of the channel's stream
        act_word  = Signal.like(sink.kwords)         # of the activations: wraps between the planes of W8
        in_group  = Signal.like(sink.group_words_last)
        tile      = Signal.like(sink.tiles_last)
        tile_word = Signal.like(sink.kwords)
        channel   = Signal(bits_for(CHANNELS_PER_BLOCK - 1))
        block     = Signal.like(sink.blocks_last)
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
        self.credits = credits = Credits(results_depth)
        loaded  = Signal(max=3)  # jobs whose activations are on chip and that the array has not done
        running = Signal()
        self.comb += [
            running.eq(sink.valid & ~sink.skip & (loaded != 0)),
            step.eq(running & self.available & (~first | credits.room)),
            credits.take.eq(step & first),
            self.busy.eq(step),
            self.wait_weights.eq(running & ~self.available),
            self.wait_results.eq(running & self.available & ~step),
            sink.ready.eq(sink.skip | (step & end_job)),
        ]
        self.sync += [
            loaded.eq(loaded + self.loaded - (step & end_job)),
            credits.give.eq(results.source.valid & results.source.ready),
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
                If(end_job, block.eq(0), self.buffer.eq(self.buffer ^ ~sink.double)),
            ),
        ]

        # To the memories, and what goes with the weights through them to the datapath. --------------------------------
        self.comb += [
            self.take.eq(step),
            self.release.eq(last_tile),  # beat by beat, so that a channel may be longer than the buffer
            self.rewind.eq(end_tile & ~end_channel),
            self.address.eq(tile_word + act_word),
        ]
        used = [(sink.tiles_last != 0) | (sink.last_rows > row) for row in range(config.rows)]
        self.comb += Cat(datapath.valid, datapath.first, datapath.last, datapath.rows).eq(
            delayed(self, Cat(step, first, last, *used), WeightBuffer.READ_LATENCY))

    def _add_results(self, config, depth):
        """The FIFO of vectors behind the array."""
        layout = [("sums", config.rows*GROUP_SUM_BITS)]
        self.results = results = stream.SyncFIFO(layout, depth)
        self.comb += [
            results.sink.valid.eq(self.datapath.done),
            results.sink.sums.eq(Cat(*self.datapath.sums)),
        ]
        if config.is_shallow:
            self.comb += results.source.connect(self.source)
        else:
            # Rows are chosen from registers, not from the FIFO's memory.
            self.vector = vector = register_stage(layout)
            self.comb += [
                results.source.connect(vector.sink),
                vector.source.connect(self.source),
            ]
        return results


assert log2(CHANNELS_PER_BLOCK) == 3  # `channel` wraps by itself
