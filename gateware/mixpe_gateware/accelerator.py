# SPDX-License-Identifier: BSD-2-Clause
"""The accelerator: what connects queue, memories, array, scalers and writer.

    words ─► queue ─► checker ─► tickets ─┬─► activation memory ◄── DRAM port
                                          ├─► weight stream     ◄── DRAM ports
                                          ├─► array sequencer
                                          ├─► result sequencer ─► writer ──► DRAM port
                                          └─► result writer ─► ended jobs

Each stage takes its own tickets in order, so the activations and weights of a job arrive while the one before still
runs. Jobs that are posted together must not depend on each other's results.
"""

from functools import reduce
from operator import and_

from litex.gen import LiteXModule
from litex.soc.interconnect import stream
from migen import (
    FSM,
    Cat,
    ClockDomain,
    ClockDomainsRenamer,
    ClockSignal,
    If,
    Mux,
    NextState,
    NextValue,
    Signal,
    bits_for,
)

from mixpe_gateware.contract.descriptor import POST, SLOT_WORDS
from mixpe_gateware.contract.jobs import JobCode
from mixpe_gateware.contract.widths import log2
from mixpe_gateware.control.counters import Counters
from mixpe_gateware.control.queue import JobQueue
from mixpe_gateware.gemm.activations import ActivationMemory
from mixpe_gateware.gemm.array import ArraySequencer
from mixpe_gateware.gemm.checker import JobChecker
from mixpe_gateware.gemm.results import ResultSequencer
from mixpe_gateware.gemm.weights import WeightStream
from mixpe_gateware.stream.fanout import register_stage
from mixpe_gateware.stream.writer import ResultWriter

TICKETS_AHEAD = 4  # tickets that wait for a stage, besides the one in its register


class Datapath(LiteXModule):
    """Everything that a reset empties: checker, stages and what is between them.

    Attributes
    ----------
    checker : JobChecker
        Its `valid`, `index`, `value` and `pop` are for a queue.
    source : Endpoint([("code", 4), ("start", 32)]), out
        Jobs that ended, in order.
    now : Signal(32), in
    enable : Signal(), in
        Low stops reads and writes.
    quiet : Signal(), out
        Nothing is on its way from or to memory.
    """

    def __init__(self, config, mem_bytes, weight_ports, act_port, out_port, *, chunk_beats, target):
        self.source = stream.Endpoint([("code", 4), ("start", 32)])
        self.now    = Signal(32)
        self.enable = Signal(reset=1)
        self.quiet  = Signal()

        # # #

        address_bits = out_port.address_width - log2(config.words_per_beat)
        self.checker     = checker     = JobChecker(config, mem_bytes, address_bits)
        self.activations = activations = ActivationMemory(config, act_port)
        self.weights     = weights     = WeightStream(config, weight_ports, chunk_beats=chunk_beats)
        self.array       = array       = ArraySequencer(config, weights.buffer, activations, address_bits=address_bits,
            results_depth=2 if config.is_shallow else 16, target=target)
        self.results     = results     = ResultSequencer(config, array.source, activations, weights, address_bits)
        self.writer      = writer      = ResultWriter(config, out_port, fifo_depth=2 if config.is_shallow else 16)
        self.comb += [
            checker.now.eq(self.now),
            writer.source.connect(self.source),
            activations.reader.enable.eq(self.enable),
            weights.reader.enable.eq(self.enable),
            writer.enable.eq(self.enable),
            self.quiet.eq(activations.reader.idle & weights.reader.idle & writer.idle),
        ]

        if config.is_shallow:
            self.comb += results.source.connect(writer.sink)
        else:
            # A register for `ready`, which would come from the memory and go on to the array.
            self.beats = beats = stream.Buffer(results.source.description, pipe_valid=False, pipe_ready=True)
            self.comb += [
                results.source.connect(beats.sink),
                beats.source.connect(writer.sink),
            ]

        stages = {"activations": activations.sink, "weights": weights.sink, "array": array.sink,
            "results": results.sink, "writer": writer.jobs}
        if config.is_shallow:
            self._share_ticket(checker.source, stages)
        else:
            self._hand_out_tickets(checker.source, stages)

    def _share_ticket(self, source, stages):
        """One job at a time: all stages see the checker's registers until the last of them is done."""
        over = Signal()
        done = []
        for sink in stages.values():
            fields = {field for field, _ in sink.description.payload_layout}
            served = Signal()
            passed = Signal()
            self.comb += [
                source.connect(sink, keep=fields),
                sink.valid.eq(source.valid & ~served),
                passed.eq(served | sink.ready),
            ]
            self.sync += served.eq(source.valid & passed & ~over)
            done.append(passed)
        self.comb += [
            over.eq(reduce(and_, done)),
            source.ready.eq(over),
        ]

    def _hand_out_tickets(self, source, stages):
        """A ticket is handed out when every stage has a place for it."""
        fifos = []
        for name, sink in stages.items():
            # Stages see only what they use; synthesis removes the rest.
            layout = [(field, bits) for field, bits in source.description.payload_layout
                if (field in ("out_beat", "code", "start")) == (name == "writer")]
            fields = {field for field, _ in layout}
            # A register in front of each stage, so that no path begins in a FIFO's memory.
            fifo  = stream.SyncFIFO(layout, TICKETS_AHEAD)
            stage = register_stage(layout)
            self.add_module(name=f"tickets_{name}", module=fifo)
            self.add_module(name=f"ticket_{name}", module=stage)
            self.comb += [
                source.connect(fifo.sink, keep=fields),
                fifo.source.connect(stage.sink),
                stage.source.connect(sink, keep=fields | {"valid", "ready"}),
            ]
            fifos.append(fifo)
        self.comb += [
            source.ready.eq(reduce(and_, [fifo.sink.ready for fifo in fifos])),
            *[fifo.sink.valid.eq(source.valid & source.ready) for fifo in fifos],
        ]


class Accelerator(LiteXModule):
    """MixPE accelerator without registers: plain signals and memory ports.

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
    word : Signal(max=SLOT_WORDS), data : Signal(32), write : Signal(), in
        A word of the next job's descriptor; writing word `descriptor.POST` posts it.
    check : Signal(32), out
        `contract.descriptor.fold_words` of the words written since word 0.
    ready : Signal(), out
        A job would be taken: fewer than `queue_depth` jobs are posted and not collected.
    dropped : Signal(), out
        A job was posted and not taken.
    source : Endpoint([("tag", 32), ("code", 4), ("cycles", 32)]), out
        Ended jobs in the order of posting; taking one collects it.
    reset : Signal(), in
        Strobe: abort everything; each posted job ends with JobCode.ABORTED.
    busy : Signal(), out
        A job is posted and has not ended.
    posted, ended : Signal, out
        Jobs not collected, and those of them that have ended.
    counters : Counters
    cd_mixpe : ClockDomain
        The system clock with the datapath's reset; simulators that drive clocks themselves drive it too.
    """

    def __init__(self, config, mem_bytes, weight_ports, act_port, out_port, *, chunk_beats=128, target="portable"):
        self.config = config
        self.word    = Signal(max=SLOT_WORDS)
        self.data    = Signal(32)
        self.write   = Signal()
        self.check   = Signal(32)
        self.ready   = Signal()
        self.dropped = Signal()
        self.source = source = stream.Endpoint([("tag", 32), ("code", 4), ("cycles", 32)])
        self.reset  = Signal()
        self.busy   = Signal()
        depth       = config.queue_depth
        self.posted = posted = Signal(bits_for(depth))
        self.ended  = Signal(bits_for(depth))

        # # #

        self.counters = counters = Counters()
        # The datapath is reset by a register, with the SoC and by an abort. As a function of both resets the net to all
        # of its flip-flops was the longest path of a large array.
        self.cd_mixpe = ClockDomain("mixpe")
        clear = Signal()
        reset = Signal(reset=1)
        self.datapath = datapath = ClockDomainsRenamer("mixpe")(Datapath(config, mem_bytes, weight_ports, act_port,
            out_port, chunk_beats=chunk_beats, target=target))
        self.queue = queue = ClockDomainsRenamer("mixpe")(JobQueue(depth))
        # Not shallower than what synthesis puts into block RAM.
        self.tags  = tags  = stream.SyncFIFO([("tag", 32)], max(depth, 16), buffered=True)
        self.done  = done  = stream.SyncFIFO([("tag", 32), ("code", 4), ("cycles", 32)], max(depth, 16), buffered=True)
        ended    = Signal(bits_for(depth))
        now      = Signal(32)
        aborting = Signal()
        post     = Signal()
        finish   = Signal()
        collect  = Signal()
        self.comb += [
            datapath.now.eq(now),
            self.cd_mixpe.clk.eq(ClockSignal()),
            self.cd_mixpe.rst.eq(reset),
            # Posting: descriptor and tag go in together.
            self.ready.eq((posted != depth) & ~aborting),
            post.eq(self.write & (self.word == POST) & self.ready),
            self.dropped.eq(self.write & (self.word == POST) & ~self.ready),
            queue.word.eq(self.word),
            queue.data.eq(self.data),
            queue.write.eq(self.write),
            queue.post.eq(post),
            tags.sink.valid.eq(post),
            tags.sink.tag.eq(self.data),
            datapath.checker.valid.eq(queue.valid),
            datapath.checker.value.eq(queue.value),
            queue.index.eq(datapath.checker.index),
            queue.pop.eq(datapath.checker.pop),
            # Ended jobs meet their tags.
            done.source.connect(source),
            collect.eq(source.valid & source.ready),
            finish.eq(done.sink.valid),
            done.sink.tag.eq(tags.source.tag),
            tags.source.ready.eq(finish),
            self.busy.eq(posted != ended),
            # A job counts as ended for the host when its result is at the end of the FIFO.
            If(source.valid, self.ended.eq(ended)),
        ]
        self.sync += [
            If(self.write,
                self.check.eq(Mux(self.word == 0, 0, Cat(self.check[31], self.check[:31])) ^ self.data),
            ),
            reset.eq(clear),
            datapath.enable.eq(~aborting),
            now.eq(now + 1),
            posted.eq(posted + post - collect),
            ended.eq(ended + finish - collect),
        ]

        self.fsm = fsm = FSM(reset_state="RUN")
        wait = Signal(4)
        fsm.act("RUN",
            datapath.source.ready.eq(1),
            done.sink.valid.eq(datapath.source.valid),
            done.sink.code.eq(datapath.source.code),
            done.sink.cycles.eq(now - datapath.source.start),
            If(self.reset, NextState("DRAIN")),
        )
        fsm.act("DRAIN",
            # Answers that are on their way from memory are awaited and thrown away; writes under way end.
            aborting.eq(1),
            NextValue(wait, 0),
            If(datapath.quiet,
                NextValue(wait, wait + 1),
                If(wait == 15, NextState("CLEAR")),
            ),
        )
        fsm.act("CLEAR",
            aborting.eq(1),
            clear.eq(1),
            NextState("ABORT"),
        )
        fsm.act("ABORT",
            aborting.eq(1),
            done.sink.valid.eq(tags.source.valid & (posted != ended)),
            done.sink.code.eq(JobCode.ABORTED),
            If(posted == ended, NextState("RUN")),
        )

        self.comb += [
            counters.dropped.eq(self.dropped),
            counters.events["cycles"].eq(self.busy),
            counters.events["busy"].eq(datapath.array.busy),
            counters.events["wait_weights"].eq(datapath.array.wait_weights),
            counters.events["wait_results"].eq(datapath.array.wait_results),
            counters.events["beats_in"].eq(datapath.weights.beat + datapath.activations.beat),
            counters.events["beats_out"].eq(datapath.writer.beat),
            counters.events["jobs"].eq(finish),
            counters.events["errors"].eq(finish & (done.sink.code != JobCode.OK)),
        ]
