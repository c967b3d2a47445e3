# SPDX-License-Identifier: BSD-2-Clause
"""The sequencer: the host's jobs pass, a RUN becomes the records of its program.

    queue ──┬───────────────────────────────────────────────► issue ─► engines
            └─► run ─► words ─► loader ─► patcher ─► slots ──►  │
                 ▲       ▲                                      │
                 │       └── program, tokens in memory          │
                 └──────────────── how records ended ◄──────────┘
"""

from litex.gen import LiteXModule
from litex.soc.interconnect import stream
from migen import If, Mux, Signal

from mixpe_gateware.contract.descriptor import INDEX, SLOT_WORDS, WORDS, Opcode
from mixpe_gateware.contract.program.records import RECORD_BYTES
from mixpe_gateware.contract.program.run import RUN_RECORD, RUN_TOKENS
from mixpe_gateware.contract.widths import log2
from mixpe_gateware.control.program.checks import COUNT
from mixpe_gateware.control.program.issue import Issuer
from mixpe_gateware.control.program.loader import RecordLoader
from mixpe_gateware.control.program.patcher import ENGINES, RecordPatcher, part
from mixpe_gateware.control.program.rows import RowTable
from mixpe_gateware.control.program.run import RunControl
from mixpe_gateware.control.program.slots import RecordSlots
from mixpe_gateware.control.program.tokens import WordWriter
from mixpe_gateware.control.program.words import WordReader

OP = INDEX["op"]


class Sequencer(LiteXModule):
    """Between the queue and the engines, in builds with a decoder.

    A record begins a cycle after the last one that it waits for ended, if it was ready by then; records are made ready
    one in 19 cycles without patches, from a memory that answers at once, while the ones before run.

    Parameters
    ----------
    config : Config
    mem_bytes : int
    engines : list of Engine
        In the order of `patcher.ENGINES`.
    in_port, out_port : LiteDRAMNativePort
        For programs and for ids of tokens.

    Attributes
    ----------
    valid : Signal(), in; index : Signal(max=SLOT_WORDS), out; value : Signal(32), in; pop : Signal(), out
        Of a `JobQueue`.
    source : Endpoint([("code", 4), ("start", 32)]), out
        Jobs and runs that ended, in the order of posting.
    now : Signal(32), in
        Free-running time stamp in cycles.
    choice : Endpoint([("token", 32)]), in
        The vector engine chose this token; always taken, before the record's end.
    low_beat, high_beat : Signal, out
        The session's memory: first beat, and the one behind the last. They change only between runs.
    vector_low, vector_high : Signal, out
        What the vector engine may write: the same, or a row's session; of the record that it has read last.
    enable : Signal(), in
        Low stops new reads and writes.
    quiet : Signal(), out
        Nothing is on its way from or to memory.
    run : dict of name: Signal, out
        What the registers of those names say.
    ended, fenced, waiting : Signal(), out
        A record ended; the next one waits for those before it; none is ready and none works.
    """

    def __init__(self, config, mem_bytes, engines, in_port, out_port):
        self.valid  = Signal()
        self.index  = Signal(max=SLOT_WORDS)
        self.value  = Signal(32)
        self.pop    = Signal()
        self.source = source = stream.Endpoint([("code", 4), ("start", 32)])
        self.enable = Signal(reset=1)
        self.quiet  = Signal()
        self.ended, self.fenced, self.waiting = Signal(), Signal(), Signal()
        beat_log2   = log2(config.beat_bytes)
        self.low_beat, self.high_beat, self.vector_low, self.vector_high = (Signal(33 - beat_log2) for _ in range(4))

        # # #

        self.control = control = RunControl(config, mem_bytes)
        self.reader  = reader  = WordReader(in_port)
        self.loader  = loader  = RecordLoader()
        self.patcher = patcher = RecordPatcher()
        self.slots   = slots   = RecordSlots()
        self.issuer  = issuer  = Issuer(engines, config.queue_depth)
        self.writer  = writer  = WordWriter(out_port)
        self.rows    = rows    = RowTable()
        self.now, self.choice = control.now, control.choice
        self.run = {RUN_TOKENS: control.run_tokens, RUN_RECORD: control.run_record}
        self._connect_queue(control, issuer, slots)
        self._connect_memory(control, reader, loader)

        # Records on their way to the engines.
        self.comb += [
            *[getattr(patcher, name).eq(getattr(loader, name)) for name in ("valid", "bad", "index", "data")],
            *[getattr(loader, name).eq(getattr(patcher, name)) for name in ("write", "value")],
            loader.word.eq(Mux(~control.patching & patcher.idle, control.loader_word, patcher.word)),
            loader.done.eq(patcher.done | control.loader_done),
            loader.identity.eq(control.words["identity"]),
            loader.first.eq(control.loader_first),
            loader.number.eq(control.loader_number),
            control.loader_valid.eq(loader.valid),
            control.loader_bad.eq(loader.bad),
            control.loader_data.eq(loader.data),
            patcher.hold.eq(~control.patching),
            patcher.position.eq(control.words["position"]),
            patcher.token.eq(control.words["token"]),
            patcher.row.eq(control.row),
            patcher.listed.eq(control.words["count"][COUNT.field("listed").lsb]),
            patcher.state_addr.eq(control.words["state_addr"]),
            patcher.state_bytes.eq(control.words["state_bytes"]),
            patcher.room.eq(slots.room),
            control.patcher_idle.eq(patcher.idle),
            slots.put.eq(patcher.put),
            slots.place.eq(patcher.place),
            slots.value.eq(patcher.put_value),
            patcher.source.connect(slots.sink),
        ]

        # Rows of a batch.
        self.comb += [
            rows.put.eq(control.put_row),
            rows.place.eq(control.row_place),
            rows.value.eq(control.row_value),
            rows.row.eq(Mux(control.patching, patcher.read_row, control.read_row)),
            rows.word.eq(Mux(control.patching, patcher.read_word, control.read_word)),
            control.row_data.eq(rows.data),
            patcher.row_data.eq(rows.data),
            patcher.batch.eq(control.batch),
            patcher.rows.eq(control.checks.rows),
        ]
        record, size = slots.source, Signal(32)
        self.comb += size.eq(Mux(record.own, control.checks.session_bytes, control.words["state_bytes"]))
        self.sync += If(engines[ENGINES.index(Opcode.VECTOR)].pop,
            self.vector_low.eq(record.memory[beat_log2:]),
            self.vector_high.eq((record.memory + size)[beat_log2:]),
        )

        # How they ended.
        self.comb += [
            issuer.program.eq(control.busy),
            issuer.clear.eq(control.clear),
            control.at_rest.eq(issuer.idle),
            *[getattr(control, name).eq(getattr(issuer, name)) for name in ("failed", "code", "record", "oldest")],
            control.write.connect(writer.sink),
            self.low_beat.eq(control.words["state_addr"][beat_log2:]),
            self.ended.eq(issuer.ended & control.busy),
            self.fenced.eq(issuer.fenced & control.busy),
            self.waiting.eq(control.patching & issuer.idle & ~slots.source.valid),
            reader.enable.eq(self.enable),
            writer.enable.eq(self.enable),
            self.quiet.eq(reader.idle & writer.idle),
            If(control.busy, control.source.connect(source)).Else(issuer.source.connect(source)),
        ]
        self.sync += self.high_beat.eq((control.words["state_addr"] + control.words["state_bytes"])[beat_log2:])

    def _connect_queue(self, control, issuer, slots):
        """The queue's oldest descriptor: its op word is seen before anybody is told."""
        opcode, fence = (part(WORDS[OP].field(name), self.value) for name in ("opcode", "fence"))
        known  = Signal()                # the op word is there
        is_run = opcode == Opcode.RUN
        job    = Signal()                # it is a job, which an engine has to read
        fenced = Signal()
        self.comb += [
            control.start.eq(known & ~job & is_run & issuer.idle),
            control.value.eq(self.value),
            If(control.busy,
                self.index.eq(control.index),
                self.pop.eq(control.pop),
                slots.source.connect(issuer.sink, omit={"ready", "valid"}),
                issuer.sink.valid.eq(slots.source.valid & ~control.flush),
                issuer.value.eq(slots.word),
            ).Else(
                self.index.eq(OP),
                If(job,
                    self.index.eq(issuer.index),
                    self.pop.eq(issuer.sink.ready),
                ),
                issuer.sink.valid.eq(job),
                issuer.sink.fence.eq(fenced),
                issuer.value.eq(self.value),
            ),
            slots.index.eq(issuer.index),
            slots.source.ready.eq(control.busy & (issuer.sink.ready | (control.flush & ~issuer.reading))),
            control.taken.eq(slots.source.valid & slots.source.ready),
        ]
        self.sync += [
            known.eq(self.valid & ~self.pop),
            If(known & ~job & ~is_run & ~control.busy,
                job.eq(1),
                fenced.eq(fence),
            ),
            If(self.pop, job.eq(0)),
        ]

    def _connect_memory(self, control, reader, loader):
        """What is read goes to the loader, but the token that a pass begins with."""
        unit = reader.unit_bytes
        self.comb += [
            reader.sink.valid.eq(control.request.valid),
            reader.sink.start.eq(control.request.address[log2(unit):]),
            reader.sink.beats.eq(Mux(control.request.token, 1, RECORD_BYTES//unit)),
            control.request.ready.eq(reader.sink.ready),
            If(control.reads_token,
                reader.source.connect(control.token_sink),
            ).Else(
                reader.source.connect(loader.sink),
            ),
        ]
