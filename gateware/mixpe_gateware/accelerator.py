# SPDX-License-Identifier: BSD-2-Clause
"""The accelerator: what connects queue, engines and ended jobs.

    words ─┬─► queue ─► dispatcher ─► engines ◄─► memory ports
           │                             │
          tag                            ▼
           └─► ledger ◄─────────────  supervisor
                 └─► ended jobs

Jobs run ahead of each other as far as their engine can. One that uses the results of jobs before it has a fence.
"""

from functools import reduce
from operator import add, and_

from litex.gen import LiteXModule
from migen import Cat, ClockDomain, ClockDomainsRenamer, ClockSignal, If, Mux, Signal

from mixpe_gateware.contract.descriptor import POST, SLOT_WORDS, Opcode
from mixpe_gateware.contract.jobs import WATCHDOG_CYCLES, JobCode
from mixpe_gateware.contract.registers import counters_of
from mixpe_gateware.control.counters import Counters
from mixpe_gateware.control.dispatch import Dispatcher
from mixpe_gateware.control.engine import EVENTS, PROGRESS
from mixpe_gateware.control.ledger import Ledger
from mixpe_gateware.control.program.decoder import DECODER_PROGRESS, Decoder
from mixpe_gateware.control.queue import JobQueue
from mixpe_gateware.control.supervisor import Supervisor
from mixpe_gateware.gemm.datapath import GemmEngine
from mixpe_gateware.stream.fanout import register_stage


class Accelerator(LiteXModule):
    """MixPE accelerator without registers: plain signals and memory ports.

    Parameters
    ----------
    config : Config
    mem_bytes : int
        Size of the memory behind the ports; jobs are checked against it.
    weight_ports, act_port, out_port : LiteDRAMNativePort
        `config.read_ports` ports for the weights and one each for activations and results, of `config.memory_bits`.
    decoder_ports : (LiteDRAMNativePort, LiteDRAMNativePort)
        One to read and one to write, in builds with a decoder.
    chunk_beats : int
        Words of a DRAM row.
    target : str
        FPGA family for vendor primitives in the processing elements, or ``"portable"``.
    watchdog_cycles : int
        See `Supervisor`.

    Attributes
    ----------
    word : Signal(max=SLOT_WORDS), data : Signal(32), write : Signal(), in
        A word of the next job's descriptor; writing word `descriptor.POST`, the tag, posts
        it.
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
        The system clock with the engines' reset; simulators that drive clocks themselves drive it too.
    """

    def __init__(self, config, mem_bytes, weight_ports, act_port, out_port, *, decoder_ports=(), chunk_beats=128,
                 target="portable", watchdog_cycles=WATCHDOG_CYCLES):
        self.config  = config
        self.word    = Signal(max=SLOT_WORDS)
        self.data    = Signal(32)
        self.write   = Signal()
        self.check   = Signal(32)
        self.ready   = Signal()
        self.dropped = Signal()

        # # #

        further = self.make_further()
        most    = 5 if config.decoder else 3 + 3*len(further)
        self.cd_mixpe   = ClockDomain("mixpe")
        self.counters   = counters   = Counters(counters_of(config.parts), most)
        self.supervisor = supervisor = Supervisor(watchdog_cycles)
        self.ledger     = ledger     = Ledger(config.queue_depth)
        self.queue      = queue      = ClockDomainsRenamer("mixpe")(JobQueue(config.queue_depth))
        self.gemm       = engine     = ClockDomainsRenamer("mixpe")(self.make_gemm(config, mem_bytes, weight_ports,
            act_port, out_port, chunk_beats=chunk_beats, target=target))
        if config.decoder:
            self.decoder = decoder = dispatcher = ClockDomainsRenamer("mixpe")(self.make_decoder(config, mem_bytes,
                engine, *decoder_ports))
            self.run = decoder.run
            parts, progress = [engine, decoder], (*PROGRESS, *DECODER_PROGRESS)
        else:
            engines = {Opcode.GEMM: engine, **further}
            for each in further.values():
                self.submodules += ClockDomainsRenamer("mixpe")(each)
            self.dispatcher = dispatcher = ClockDomainsRenamer("mixpe")(Dispatcher(engines, config.queue_depth))
            parts, progress = [*engines.values()], PROGRESS
        self.source = ledger.source
        self.reset  = supervisor.reset
        self.busy   = ledger.busy
        self.posted = ledger.posted
        self.ended  = ledger.ended

        # Posting: descriptor and tag go in together. ------------------------------------------------------------------
        post = Signal()
        self.comb += [
            self.ready.eq((ledger.posted != config.queue_depth) & (~supervisor.aborting | supervisor.dead)),
            post.eq(self.write & (self.word == POST) & self.ready),
            self.dropped.eq(self.write & (self.word == POST) & ~self.ready),
            queue.word.eq(self.word),
            queue.data.eq(self.data),
            queue.write.eq(self.write),
            queue.post.eq(post),
            ledger.post.eq(post),
            ledger.tag.eq(self.data),
        ]
        self.sync += If(self.write,
            self.check.eq(Mux(self.word == 0, 0, Cat(self.check[31], self.check[:31])) ^ self.data),
        )

        # Working and ending. What says that a job ended comes from the writer's memory: it gets a register. -----------
        if config.is_shallow:
            ends = dispatcher.source
        else:
            self.ends = stage = ClockDomainsRenamer("mixpe")(register_stage(dispatcher.source.description))
            ends = stage.source
            self.comb += dispatcher.source.connect(stage.sink)
        self.comb += [
            dispatcher.valid.eq(queue.valid),
            dispatcher.value.eq(queue.value),
            queue.index.eq(dispatcher.index),
            queue.pop.eq(dispatcher.pop),
            ends.connect(supervisor.sink),
            *[part.now.eq(supervisor.now) for part in parts],
            supervisor.source.connect(ledger.sink),
        ]

        # Aborting. The engines are reset by a register, with the SoC and by an abort: as a function of both resets the
        # net to all of their flip-flops was the longest path of a large array. ----------------------------------------
        reset = Signal(reset=1)
        self.comb += [
            self.cd_mixpe.clk.eq(ClockSignal()),
            self.cd_mixpe.rst.eq(reset),
            supervisor.quiet.eq(reduce(and_, [part.quiet for part in parts])),
            supervisor.progress.eq(Cat(ledger.sink.valid, *[counters.events[name] for name in progress]) != 0),
            supervisor.busy.eq(ledger.busy),
            supervisor.known.eq(ledger.known),
        ]
        self.sync += [
            reset.eq(supervisor.clear),
            *[part.enable.eq(~supervisor.aborting) for part in parts],
        ]

        # Counting. ----------------------------------------------------------------------------------------------------
        self.comb += [
            counters.dropped.eq(self.dropped),
            counters.events["cycles"].eq(ledger.busy),
            counters.events["jobs"].eq(ledger.sink.valid),
            counters.events["errors"].eq(ledger.sink.valid & (ledger.sink.code != JobCode.OK)),
            *[counters.events[name].eq(reduce(add, [part.events[name] for part in parts if name in part.events]))
                for name in dict.fromkeys((*EVENTS, *[name for part in parts for name in part.events]))],
        ]

    def make_further(self):
        """Engines beside the GEMM engine that the dispatcher gives descriptors to: dict of opcode → Engine."""
        return {}

    # Tests of what is around the engines have other ones.

    def make_gemm(self, *args, **options):
        return GemmEngine(*args, **options)

    def make_decoder(self, *args):
        return Decoder(*args)
