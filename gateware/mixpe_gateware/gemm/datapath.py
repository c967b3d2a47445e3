# SPDX-License-Identifier: BSD-2-Clause
"""The GEMM engine: packed INT4 weights × INT8 or FP16 activations, dequantised after each group.

    descriptors ─► checker ─► tickets ─┬─► activation memory ◄── DRAM port
                                       ├─► weight stream     ◄── DRAM ports
                                       ├─► array sequencer ─► vectors of group sums
                                       ├─► result sequencer ─► beats ─► writer ──► DRAM port
                                       └─► result writer ─► ended jobs

Each stage takes its own tickets in order, so the activations and weights of a job arrive while the one before still
runs. All that stages say to each other is connected here.
"""

from litex.soc.interconnect import stream

from mixpe_gateware.contract.widths import log2
from mixpe_gateware.control.engine import Engine
from mixpe_gateware.gemm.activations import ActivationMemory
from mixpe_gateware.gemm.checker import JobChecker
from mixpe_gateware.gemm.gate import TicketGate
from mixpe_gateware.gemm.results import ResultSequencer
from mixpe_gateware.gemm.sequencer import ArraySequencer
from mixpe_gateware.gemm.tickets import TICKETS_AHEAD, TicketHandout
from mixpe_gateware.gemm.weights import WeightBuffer, WeightStream
from mixpe_gateware.stream.writer import ResultWriter


class GemmEngine(Engine):
    """Y = X·W of quantised weights, a job after the other.

    Parameters
    ----------
    config : Config
    mem_bytes : int
        Size of the memory behind the ports; jobs are checked against it.
    weight_ports, act_port, out_port : LiteDRAMNativePort
        `config.read_ports` ports for the weights and one each for activations and results, of `config.memory_bits`.
    chunk_beats : int
        Words of a DRAM row.
    target : str
        FPGA family for vendor primitives in the processing elements, or ``"portable"``.

    Attributes
    ----------
    let : Signal(), in
        In builds with a decoder, a strobe for each descriptor, not before it: its activations may be read and its
        results written. Its weights are read before.
    """

    def __init__(self, config, mem_bytes, weight_ports, act_port, out_port, *, chunk_beats=128, target="portable"):
        Engine.__init__(self)

        # # #

        address_bits = out_port.address_width - log2(config.words_per_beat)
        depth = 2 if config.is_shallow else 16
        self.checker     = checker     = JobChecker(config, mem_bytes, address_bits)
        self.activations = activations = ActivationMemory(config, act_port)
        self.weights     = weights     = WeightStream(config, weight_ports, chunk_beats=chunk_beats)
        self.array       = array       = ArraySequencer(config, address_bits=address_bits, results_depth=depth,
            target=target)
        self.results     = results     = ResultSequencer(config, address_bits)
        self.writer      = writer      = ResultWriter(config, out_port, fifo_depth=depth)
        first = activations.sink
        if config.decoder:
            self.gate = gate = TicketGate(first.description, config.queue_depth + TICKETS_AHEAD)
            self.let, first = gate.let, gate.sink
            self.comb += gate.source.connect(activations.sink)
        self.tickets     = TicketHandout(config, checker.source, {"activations": first,
            "weights": weights.sink, "array": array.sink, "results": results.sink, "writer": writer.jobs})

        # Queue and ended jobs.
        self.comb += [
            checker.valid.eq(self.valid),
            checker.value.eq(self.value),
            checker.now.eq(self.now),
            self.index.eq(checker.index),
            self.pop.eq(checker.pop),
            writer.source.connect(self.source),
        ]

        # Weights and activations meet in the array.
        self.comb += [
            array.available.eq(weights.buffer.available),
            weights.buffer.take.eq(array.take),
            weights.buffer.release.eq(array.release),
            weights.buffer.rewind.eq(array.rewind),
            array.weights.eq(weights.buffer.data),
            array.loaded.eq(activations.finished),
            activations.buffer.eq(array.buffer),
            activations.address.eq(array.address),
            *[sink.eq(source) for sink, source in zip(array.activations, activations.data, strict=True)],
        ]

        # Group sums become results, which set free what they were made of.
        self.comb += [
            array.source.connect(results.vectors),
            weights.block_done.eq(results.block_done),
            activations.release.eq(results.release),
            activations.release_both.eq(results.release_both),
        ]
        if config.fused:
            self._connect_lookup(config, results.lookup, activations.groups, weights)
        if config.is_shallow:
            self.comb += results.source.connect(writer.sink)
        else:
            # A register for `ready`, which would come from the memory and go on to the array.
            self.beats = beats = stream.Buffer(results.source.description, pipe_valid=False, pipe_ready=True)
            self.comb += [
                results.source.connect(beats.sink),
                beats.source.connect(writer.sink),
            ]

        # An abort, and what is counted.
        self.comb += [
            *[part.enable.eq(self.enable) for part in (activations.reader, weights.reader, writer)],
            self.quiet.eq(activations.reader.idle & weights.reader.idle & writer.idle),
            self.events["busy"].eq(array.busy),
            self.events["wait_weights"].eq(array.wait_weights),
            self.events["wait_results"].eq(array.wait_results),
            self.events["beats_in"].eq(weights.beat + activations.beat),
            self.events["beats_out"].eq(writer.beat),
        ]

    def _connect_lookup(self, config, lookup, groups, weights):
        """What the scalers look up."""
        self.comb += [
            groups.buffer.eq(lookup.sum_buffer),
            groups.address.eq(lookup.sum_address),
            *[sink.eq(source) for sink, source in zip(lookup.row_sums, groups.sums, strict=True)],
            *[sink.eq(source) for sink, source in zip(lookup.shifts, groups.shifts, strict=True)],
        ]
        memories = [(weights.scales, lookup.scale_address, lookup.scale),
            (weights.zeros, lookup.scale_address, lookup.zero)]
        if config.minima:
            memories[0] = weights.scales, lookup.coarse_address, lookup.scale
            memories += [(weights.fine, lookup.scale_address, lookup.fine),
                (weights.coarse, lookup.coarse_address, lookup.coarse)]
        for memory, address, value in memories:
            self.comb += [
                memory.buffer.eq(lookup.scale_buffer),
                memory.entry.eq(address),
                value.eq(memory.value),
            ]


assert ActivationMemory.READ_LATENCY == WeightBuffer.READ_LATENCY  # and as many levels: they meet in the array
