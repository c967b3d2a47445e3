# SPDX-License-Identifier: BSD-2-Clause
"""The accelerator: what connects queue, memories, array, scalers and writer.

    post ─► queue ─► checker ─► tickets ─┬─► activation memory ◄── DRAM port
                                         ├─► weight stream     ◄── DRAM ports
                                         ├─► array sequencer
                                         ├─► result sequencer ─► writer ──► DRAM port
                                         └─► result writer ─► ended jobs

Each stage takes its own tickets in order, so the activations and weights of a job arrive while the one before still
runs. Jobs that are posted together must not depend on each other's results.
"""

from litex.gen import LiteXModule
from litex.soc.interconnect import stream
from migen import FSM, If, NextState, NextValue, ResetInserter, Signal, bits_for

from mixpe.gateware.activations import ActivationMemory
from mixpe.gateware.array import ArraySequencer
from mixpe.gateware.counters import Counters
from mixpe.gateware.jobs import JobChecker, descriptor_layout, ticket_layout
from mixpe.gateware.results import ResultSequencer
from mixpe.gateware.spec.jobs import JobCode
from mixpe.gateware.weights import WeightStream
from mixpe.gateware.writer import ResultWriter

TICKETS_AHEAD = 4  # tickets that wait for a stage


class Datapath(LiteXModule):
    """Everything that a reset empties: checker, stages and what is between them.

    Attributes
    ----------
    sink : Endpoint(descriptor_layout()), in
    source : Endpoint([("code", 4), ("start", 32)]), out
        Jobs that ended, in order.
    now : Signal(32), in
    enable : Signal(), in
        Low stops reads and writes.
    quiet : Signal(), out
        Nothing is on its way from or to memory.
    """

    def __init__(self, config, mem_bytes, weight_ports, act_port, out_port, *, chunk_beats, target):
        self.sink   = stream.Endpoint(descriptor_layout())
        self.source = stream.Endpoint([("code", 4), ("start", 32)])
        self.now    = Signal(32)
        self.enable = Signal(reset=1)
        self.quiet  = Signal()

        # # #

        self.checker     = checker     = JobChecker(config, mem_bytes)
        self.activations = activations = ActivationMemory(config, act_port)
        self.weights     = weights     = WeightStream(config, weight_ports, chunk_beats=chunk_beats)
        self.array       = array       = ArraySequencer(config, weights.buffer, activations, target=target)
        self.results     = results     = ResultSequencer(config, array.source, activations, weights)
        self.writer      = writer      = ResultWriter(config, out_port)
        self.comb += [
            checker.now.eq(self.now),
            self.sink.connect(checker.sink),
            results.source.connect(writer.sink),
            writer.source.connect(self.source),
            activations.reader.enable.eq(self.enable),
            weights.reader.enable.eq(self.enable),
            writer.enable.eq(self.enable),
            self.quiet.eq(activations.reader.idle & weights.reader.idle & writer.idle),
        ]

        # A ticket is handed out when every stage has a place for it. --------------------------------------------------
        stages = [("activations", activations.sink), ("weights", weights.sink), ("array", array.sink),
            ("results", results.sink), ("writer", writer.jobs)]
        fifos = []
        for name, sink in stages:
            layout = ticket_layout(config)
            if name == "writer":
                layout = [("out_beat", 32), ("code", 4), ("start", 32)]
            else:
                # Stages see only what they use; synthesis removes the rest.
                layout = [field for field in layout if field[0] not in ("code", "start", "out_beat")]
            fifo = stream.SyncFIFO(layout, TICKETS_AHEAD)
            self.add_module(name=f"tickets_{name}", module=fifo)
            fields = {field[0] for field in layout}
            self.comb += [
                checker.source.connect(fifo.sink, keep=fields),
                fifo.source.connect(sink, keep=fields | {"valid", "ready"}),
            ]
            fifos.append(fifo)
        room = Signal()
        self.comb += room.eq(1)
        for fifo in fifos:
            self.comb += If(~fifo.sink.ready, room.eq(0))
        self.comb += [
            checker.source.ready.eq(room),
            *[fifo.sink.valid.eq(checker.source.valid & room) for fifo in fifos],
        ]


class Accelerator(LiteXModule):
    """MixPE accelerator without registers: plain signals and memory ports.

    Parameters
    ----------
    config : Config
    mem_bytes : int
        Size of the memory behind the ports; jobs are checked against it.
    weight_ports, act_port, out_port : LiteDRAMNativePort
        `config.read_ports` ports for the weights and one each for activations and results, of `config.port_bits`.
    chunk_beats : int
        Beats of a DRAM row.
    target : str
        FPGA family for vendor primitives in the processing elements, or ``"portable"``.

    Attributes
    ----------
    sink : Endpoint(descriptor_layout()), in
        A job. Not taken while `queue_depth` jobs are posted and not collected.
    source : Endpoint([("tag", 32), ("code", 4), ("cycles", 32)]), out
        Ended jobs in the order of posting; taking one collects it.
    reset : Signal(), in
        Strobe: abort everything; each posted job ends with JobCode.ABORTED.
    busy : Signal(), out
        A job is posted and has not ended.
    posted, ended : Signal, out
        Jobs not collected, and those of them that have ended.
    counters : Counters
    """

    def __init__(self, config, mem_bytes, weight_ports, act_port, out_port, *, chunk_beats=128, target="portable"):
        self.config = config
        self.sink   = sink   = stream.Endpoint(descriptor_layout())
        self.source = source = stream.Endpoint([("tag", 32), ("code", 4), ("cycles", 32)])
        self.reset  = Signal()
        self.busy   = Signal()
        depth       = config.queue_depth
        self.posted = posted = Signal(bits_for(depth))
        self.ended  = ended  = Signal(bits_for(depth))

        # # #

        self.counters = counters = Counters()
        clear = Signal()
        self.datapath = datapath = ResetInserter()(Datapath(config, mem_bytes, weight_ports, act_port, out_port,
            chunk_beats=chunk_beats, target=target))
        self.queue = queue = ResetInserter()(stream.SyncFIFO(descriptor_layout(), depth))
        self.tags  = tags  = stream.SyncFIFO([("tag", 32)], depth)
        self.done  = done  = stream.SyncFIFO([("tag", 32), ("code", 4), ("cycles", 32)], depth)
        now      = Signal(32)
        aborting = Signal()
        post     = Signal()
        finish   = Signal()
        collect  = Signal()
        self.comb += [
            datapath.now.eq(now),
            datapath.enable.eq(~aborting),
            datapath.reset.eq(clear),
            queue.reset.eq(clear),
            # Posting: descriptor and tag go in together.
            sink.ready.eq((posted != depth) & ~aborting),
            post.eq(sink.valid & sink.ready),
            sink.connect(queue.sink, omit={"valid", "ready"}),
            queue.sink.valid.eq(post),
            tags.sink.valid.eq(post),
            tags.sink.tag.eq(sink.tag),
            queue.source.connect(datapath.sink),
            # Ended jobs meet their tags.
            done.source.connect(source),
            collect.eq(source.valid & source.ready),
            finish.eq(done.sink.valid),
            done.sink.tag.eq(tags.source.tag),
            tags.source.ready.eq(finish),
            self.busy.eq(posted != ended),
        ]
        self.sync += [
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
            done.sink.valid.eq(tags.source.valid),
            done.sink.code.eq(JobCode.ABORTED),
            If(~tags.source.valid, NextState("RUN")),
        )

        self.comb += [
            counters.events["cycles"].eq(self.busy),
            counters.events["busy"].eq(datapath.array.busy),
            counters.events["wait_weights"].eq(datapath.array.wait_weights),
            counters.events["wait_results"].eq(datapath.array.wait_results),
            counters.events["beats_in"].eq(datapath.weights.beat + datapath.activations.beat),
            counters.events["beats_out"].eq(datapath.writer.beat),
            counters.events["jobs"].eq(finish),
            counters.events["errors"].eq(finish & (done.sink.code != JobCode.OK)),
        ]
