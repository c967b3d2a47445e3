# SPDX-License-Identifier: BSD-2-Clause
"""A sequencer between a queue, a memory and three engines that the test plays; and what a RUN does, in plain Python."""

from collections import deque
from dataclasses import dataclass, field

import numpy as np
import pytest
from litex.gen import LiteXModule
from migen import passive, run_simulation

from mixpe_gateware.contract.config import Config
from mixpe_gateware.contract.descriptor import INDEX, SLOT_WORDS, Opcode
from mixpe_gateware.contract.jobs import JobCode
from mixpe_gateware.contract.program.records import (
    CHECK,
    HEADER,
    MAGIC,
    NO_TOKEN,
    OP,
    PATCH,
    PATCHES,
    RECORD_BYTES,
    RECORD_WORDS,
    RELATIVE,
    Function,
    Source,
    check_word,
)
from mixpe_gateware.contract.program.run import run_words
from mixpe_gateware.control.engine import Engine
from mixpe_gateware.control.program.sequencer import Sequencer
from mixpe_gateware.control.queue import JobQueue
from mixpe_sim.ports import PortMemory

MEM_BYTES    = 1 << 16
PROGRAM_ADDR = 0x400
TOKENS_ADDR  = 0x84
STATE_ADDR   = 0x8000
STATE_BYTES  = 0x4000
IDENTITY     = 0x1234ABCD
LIMIT_CYCLES = 60_000
WORD_MASK    = 0xFFFFFFFF
ENGINES      = (Opcode.GEMM, Opcode.VECTOR, Opcode.ATTENTION)
AFTER        = ("after_gemm", "after_vector", "after_attention")
WORDS        = CHECK  # that an engine reads


@dataclass
class Program:
    """Records and header; `words()` are what lies in memory."""

    records: list                       # of 16 words, the header not among them; word 12 is put in
    prompt_records: int = None
    context: int = 64
    vocabulary: int = 5000
    end_ids: tuple = (NO_TOKEN,)*4
    identity: int = IDENTITY
    header: dict = field(default_factory=dict)  # words that are otherwise

    def words(self):
        count = len(self.records) + 1
        values = {"magic": MAGIC, "identity": self.identity, "records": count,
            "prompt_records": count if self.prompt_records is None else self.prompt_records, "context": self.context,
            "vocabulary": self.vocabulary, "state_bytes": STATE_BYTES,
            **dict(zip(("end_0", "end_1", "end_2", "end_3"), self.end_ids, strict=True)), **self.header}
        header = [0]*RECORD_WORDS
        for place, (name, _) in HEADER.items():
            header[place] = values[name]
        words = [header, *[list(record) for record in self.records]]
        for index, record in enumerate(words):
            record[CHECK] = check_word(record, index, self.identity)
        return np.array(words, "<u4")


def record(opcode, *, after=(), fence=False, function=0, options=0, relative=(), patches=(), **words):
    """16 words of a record: `words` are w1 … w11; `patches` are (word, source, stride)."""
    op = OP.field("opcode").put(opcode) | OP.field("fence").put(int(fence)) | OP.field("function").put(function)
    op |= OP.field("options").put(options) | OP.field("relative").put(
        sum(1 << RELATIVE.index(word) for word in relative))
    op |= sum(OP.field(AFTER[ENGINES.index(each)]).mask for each in after)
    found = [op] + [0]*(RECORD_WORDS - 1)
    for name, value in words.items():
        found[int(name[1:])] = value & WORD_MASK
    for place, (word, source, stride) in zip(PATCHES, patches, strict=False):
        found[place] = PATCH.field("word").put(word) | PATCH.field("source").put(source) | PATCH.field(
            "stride").put(stride)
    return found


def seen_words(words, position, token, state_addr=STATE_ADDR):
    """What an engine sees of a record: 12 words."""
    found = list(words)
    for place in PATCHES:
        word, source, stride = (PATCH.field(name).of(words[place]) for name in ("word", "source", "stride"))
        value = {Source.POSITION: position, Source.COUNT: position + 1, Source.TOKEN_BLOCK: token >> 3,
            Source.TOKEN_ROW: token & 7}[source] if stride else 0
        found[word] = found[word] + stride*value & WORD_MASK
    for bit, word in enumerate(RELATIVE):
        if OP.field("relative").of(words[0]) >> bit & 1:
            found[word] = found[word] + state_addr & WORD_MASK
    if OP.field("opcode").of(words[0]) == Opcode.GEMM:
        found[0] = int(Opcode.GEMM)
    return tuple(found[:WORDS])


class Bench(LiteXModule):
    """Queue, sequencer, memory, and engines that the test plays."""

    def __init__(self, memory_bits, seed, stall, latency=5):
        port_bits    = max(32, memory_bits)
        self.config  = Config(rows=1, port_bits=port_bits, memory_bits=memory_bits, scalers=1, queue_depth=4,
            decoder=True)
        self.memory  = memory = PortMemory(memory_bits, MEM_BYTES, seed=seed, stall=stall, latency=latency)
        self.queue   = queue  = JobQueue(self.config.queue_depth)
        self.engines = [Engine() for _ in ENGINES]
        self.dut     = dut = Sequencer(self.config, MEM_BYTES, self.engines, memory.get_port("read"),
            memory.get_port("write"))
        for engine in self.engines:
            self.submodules += engine
        self.comb += [
            dut.valid.eq(queue.valid),
            dut.value.eq(queue.value),
            queue.index.eq(dut.index),
            queue.pop.eq(dut.pop),
        ]
        self.rng, self.stall = np.random.default_rng(seed), stall
        self.cycle   = 0
        self.begun   = []      # (opcode, words, cycle, records that had ended), as the engines read them
        self.ended   = []      # (position in `begun`, cycle)
        self.done    = []      # (code, start) of what the host posted
        self.answer  = lambda opcode, words: JobCode.OK
        self.choice  = lambda words: 7
        self.delay   = lambda opcode: int(self.rng.integers(0, 40))

    # The host.

    def load(self, program, addr=PROGRAM_ADDR):
        words = program.words()
        self.memory.bytes[addr:addr + words.nbytes] = words.reshape(-1).view(np.uint8)

    def put_tokens(self, tokens):
        raw = np.array(tokens, "<u4").view(np.uint8)
        self.memory.bytes[TOKENS_ADDR:TOKENS_ADDR + raw.size] = raw

    def tokens(self, count):
        return self.memory.bytes[TOKENS_ADDR:TOKENS_ADDR + 4*count].view("<u4").tolist()

    def post(self, words):
        for index, word in enumerate(words):
            yield self.queue.word.eq(index)
            yield self.queue.data.eq(word)
            yield self.queue.write.eq(1)
            yield self.queue.post.eq(index == len(words) - 1)
            yield
        yield self.queue.write.eq(0)
        yield self.queue.post.eq(0)

    def finish(self, count):
        """Until so many have ended, and a while longer."""
        while len(self.done) < count:
            yield
        for _ in range(60):
            yield

    def run(self, host, limit_cycles=LIMIT_CYCLES):
        """Simulate with a generator of the host."""
        @passive
        def limit():
            for _ in range(limit_cycles):
                self.cycle += 1
                yield
            raise AssertionError(f"not done after {limit_cycles} cycles: {self.done}")

        run_simulation(self, [host, limit(), self._collect(), *self.memory.generators(),
            *[self._work(*each) for each in zip(ENGINES, self.engines, strict=True)]])

    # The engines and the ledger.

    @passive
    def _collect(self):
        source = self.dut.source
        while True:
            ready = self.rng.random() >= self.stall
            yield source.ready.eq(int(ready))
            yield
            if ready and (yield source.valid):
                self.done.append((JobCode((yield source.code)), (yield source.start)))

    @passive
    def _work(self, opcode, engine):
        """Read a descriptor, and end it some cycles later; up to three at once."""
        waiting, left = deque(), 0
        while True:
            yield
            if (yield engine.valid) and len(waiting) < 3 and self.rng.random() >= self.stall:
                begin = self.cycle
                before = len(self.ended)
                words = []
                for index in range(WORDS):
                    yield engine.index.eq(index)
                    yield
                    yield
                    words.append((yield engine.value))
                self.begun.append((opcode, tuple(words), begin, before))
                waiting.append((len(self.begun) - 1, tuple(words)))
                yield engine.index.eq(0)
                yield engine.pop.eq(1)
                yield
                yield engine.pop.eq(0)
                left = left or self.delay(opcode)
            if waiting and left > 0:
                left -= 1
            elif waiting:
                which, words = waiting.popleft()
                if opcode == Opcode.VECTOR and OP.field("function").of(words[0]) == Function.SELECT:
                    yield self.dut.choice.eq(self.choice(words))
                    yield self.dut.choose.eq(1)
                    yield
                    yield self.dut.choose.eq(0)
                yield engine.source.code.eq(int(self.answer(opcode, words)))
                yield engine.source.start.eq(self.cycle)
                yield engine.source.valid.eq(1)
                yield
                while not (yield engine.source.ready):
                    yield
                self.ended.append((which, self.cycle))
                yield engine.source.valid.eq(0)
                left = self.delay(opcode)


@pytest.fixture
def make_bench():
    return Bench


@pytest.fixture
def run_of():
    """A RUN's words with the usual places."""
    def run_of_(**fields):
        return run_words(**{"program_addr": PROGRAM_ADDR, "tokens_addr": TOKENS_ADDR, "state_addr": STATE_ADDR,
            "state_bytes": STATE_BYTES, "token": 3, "position": 0, "identity": IDENTITY, "count": 1, "prompt": False,
            "tag": 0, **fields})

    return run_of_


assert INDEX["op"] == 0 and SLOT_WORDS == RECORD_WORDS
