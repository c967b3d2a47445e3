# SPDX-License-Identifier: BSD-2-Clause
"""Engines that write what they see to memory and end as the record says, in an accelerator otherwise as it is."""

from pathlib import Path

from litex.soc.interconnect import stream
from migen import FSM, Cat, If, Memory, NextState, NextValue, Signal

from mixpe_gateware.accelerator import Accelerator
from mixpe_gateware.contract.program.records import Function
from mixpe_gateware.control.engine import Engine
from mixpe_gateware.control.fetch import WordFetch
from mixpe_gateware.control.program.decoder import Decoder
from mixpe_gateware.control.program.tokens import WordWriter
from mixpe_sim.harness import Harness
from mixpe_sim.harness.build import build_library
from mixpe_sim.harness.top import HarnessTop, accelerator_header
from mixpe_sim.harness.verilog import write_module

from .records import CHOICE, CODE, HANG, LOG_ADDR, LOG_BYTES, MEM_BYTES, WORDS

LOG_ENTRIES = LOG_BYTES//64
ENTRY_WORDS = 16     # of the log: the record's words, then these
BEGIN, ENDED, LAST = 12, 13, 14
COUNT_BITS  = 10     # of how many records each engine had ended when this one began


class LoggingEngine(Engine):
    """Read a record, log it, end it up to 63 cycles later; three may be under way."""

    def __init__(self, port, number):
        Engine.__init__(self)
        self.low_beat, self.high_beat = Signal(32), Signal(32)
        self.choice    = stream.Endpoint([("token", 32)])
        self.counts    = Signal(3*COUNT_BITS)  # in: of all engines
        self.ended     = Signal(COUNT_BITS)    # out
        self.last      = Signal(32)            # in: when one of them did
        self.let       = Signal()              # in: one more record may begin; the first engine's

        # # #

        self.writer = writer = WordWriter(port)
        self.fetch  = fetch  = WordFetch(WORDS)
        self.fifo   = fifo   = stream.SyncFIFO([("code", 5), ("choice", 32), ("select", 1), ("start", 32)], 3)
        self.memory = memory = Memory(32, ENTRY_WORDS)
        write, read = memory.get_port(write_capable=True), memory.get_port(async_read=True)
        self.specials += memory, write, read
        entries, place = Signal(max=LOG_ENTRIES), Signal(max=ENTRY_WORDS)
        lfsr = Signal(16, reset=0xACE1 + 77*number)
        kept = {word: Signal(32) for word in (0, CHOICE, CODE)}
        begin, counts, last = Signal(32), Signal(3*COUNT_BITS), Signal(32)
        allowed = Signal(4)
        self.sync += [
            lfsr.eq(Cat(lfsr[1:], lfsr[0] ^ lfsr[2] ^ lfsr[3] ^ lfsr[5])),
            *[If(fetch.valid & (fetch.which == word), register.eq(fetch.word)) for word, register in kept.items()],
        ]
        self.comb += [
            self.index.eq(fetch.index),
            fetch.value.eq(self.value),
            write.adr.eq(fetch.which),
            write.dat_w.eq(fetch.word),
            write.we.eq(fetch.valid),
            read.adr.eq(place),
            writer.enable.eq(self.enable),
            self.quiet.eq(writer.idle),
            writer.sink.address.eq(LOG_ADDR + number*LOG_BYTES + Cat(0, 0, place, entries)),
            writer.sink.data.eq(read.dat_r),
            If(place == BEGIN, writer.sink.data.eq(begin)),
            If(place == ENDED, writer.sink.data.eq(counts)),
            If(place == LAST, writer.sink.data.eq(last)),
            fifo.sink.code.eq(kept[CODE]),
            fifo.sink.choice.eq(kept[CHOICE]),
            fifo.sink.select.eq(kept[0][12:16] == Function.SELECT),
            fifo.sink.start.eq(begin),
        ]
        self.fsm = fsm = FSM(reset_state="IDLE")
        fsm.act("IDLE",
            NextValue(place, 0),
            NextValue(begin, self.now),
            NextValue(counts, self.counts),
            NextValue(last, self.last),
            If(self.valid, NextState("FETCH")),
        )
        fsm.act("FETCH",
            fetch.run.eq(1),
            If(fetch.last, NextState("LET" if number == 0 else "LOG")),
        )
        fsm.act("LET",
            If(allowed != 0, NextState("LOG")),
        )
        if number == 0:  # it has the record earlier than it may begin
            self.sync += If((fsm.ongoing("FETCH") | fsm.ongoing("LET")) & (allowed == 0),
                begin.eq(self.now), counts.eq(self.counts), last.eq(self.last))
        self.sync += allowed.eq(allowed + self.let - (fsm.ongoing("LET") & (allowed != 0)))
        fsm.act("LOG",
            writer.sink.valid.eq(1),
            self.events["busy"].eq(writer.sink.ready),
            If(writer.sink.ready,
                NextValue(place, place + 1),
                If(place == ENTRY_WORDS - 1,
                    NextValue(entries, entries + 1),
                    NextState("PUSH"),
                ),
            ),
        )
        fsm.act("PUSH",
            fifo.sink.valid.eq(1),
            If(fifo.sink.ready,
                self.pop.eq(1),
                NextState("LEAVE"),
            ),
        )
        fsm.act("LEAVE", NextState("IDLE"))

        left = Signal(6)
        self.sync += If(fifo.source.valid & (left != 0), left.eq(left - 1))
        self.comb += [
            self.source.valid.eq(fifo.source.valid & (left == 0) & ((fifo.source.code & HANG) == 0)),
            self.source.code.eq(fifo.source.code),
            self.source.start.eq(fifo.source.start),
            fifo.source.ready.eq(self.source.valid & self.source.ready),
            self.choice.token.eq(fifo.source.choice),
            self.choice.valid.eq(fifo.source.ready & fifo.source.select & (fifo.source.code == 0)),
        ]
        self.sync += If(fifo.source.ready, left.eq(lfsr[4:10]), self.ended.eq(self.ended + 1))


class LoggingGemm(LoggingEngine):
    def __init__(self, config, mem_bytes, weight_ports, act_port, out_port, **options):
        LoggingEngine.__init__(self, out_port, 0)


class LoggingDecoder(Decoder):
    def __init__(self, config, mem_bytes, gemm, *ports):
        self.gemm = gemm
        Decoder.__init__(self, config, mem_bytes, gemm, *ports)

    def make_engines(self, config, mem_bytes, reads, writes):
        engines = [LoggingEngine(writes[number], number + 1) for number in range(2)]
        everyone = [self.gemm, *engines]
        last = Signal(32)
        self.comb += [each.counts.eq(Cat(*[other.ended for other in everyone])) for each in everyone]
        self.comb += [each.last.eq(last) for each in everyone]
        self.sync += If(Cat(*[each.source.valid & each.source.ready for each in everyone]) != 0, last.eq(self.now))
        return engines


class LoggingAccelerator(Accelerator):
    def make_gemm(self, *args, **options):
        return LoggingGemm(*args, **options)

    def make_decoder(self, *args):
        return LoggingDecoder(*args)


class ProgramHarness(Harness):
    """The accelerator with such engines in Verilator; jobs are posted as lists of words."""

    def __init__(self, config, *, watchdog_cycles=1 << 20):
        def write_verilog(path):
            top = HarnessTop(config, MEM_BYTES, kind=LoggingAccelerator, watchdog_cycles=watchdog_cycles)
            write_module(top, top.ios, path)

        mine = [path.read_text() for path in sorted(Path(__file__).parent.glob("*s.py"))]
        self._open(build_library(f"program-{config.name}", [config.to_dict(), watchdog_cycles, mine],
            ["mixpe_sim.harness.top"], write_verilog, accelerator_header(config)), config, MEM_BYTES)
        self.setup(seed=0, stall=0.0)
        self._read = [0]*3

    def post(self, words):
        self._post(words)

    def load(self, words, addr):
        """Put an array to memory."""
        raw = words.reshape(-1).view("u1")
        self.memory[addr:addr + raw.size] = raw

    def forget(self):
        """The engines were reset: their logs start anew."""
        self._read = [0]*3

    def entry(self, number, index):
        """An entry of an engine's log behind those that were read: (ENTRY_WORDS,) uint32, of the memory."""
        start = LOG_ADDR + number*LOG_BYTES + 4*ENTRY_WORDS*((self._read[number] + index) % LOG_ENTRIES)
        return self.memory[start:start + 4*ENTRY_WORDS].view("<u4")

    def log(self, counts):
        """The next entries of each engine.

        Parameters
        ----------
        counts : (3,) int
            Of entries.

        Returns
        -------
        list of list of (words, begin, how many records each engine had ended since the last call, last end)
        """
        before, found = tuple(self._read), []
        for number, count in enumerate(counts):
            entries = [self.entry(number, index).tolist() for index in range(count)]
            found.append([(tuple(each[:WORDS]), each[BEGIN], tuple((each[ENDED] >> COUNT_BITS*bit) - before[bit]
                & (1 << COUNT_BITS) - 1 for bit in range(3)), each[LAST]) for each in entries])
            self._read[number] += count
        return found


