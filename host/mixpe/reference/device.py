# SPDX-License-Identifier: BSD-2-Clause
"""The reference device: the accelerator's bus in numpy, registers and memory, without clock.

It answers the same register reads and writes as the hardware and runs each job when it is posted, so the driver above
it is the one that drives the hardware. Jobs, errors and beats are counted; cycles are those that `contract.timing`
predicts for this configuration, one job after the other, and the counters of waiting stay zero. Of a program's records
those of the array have cycles and beats, and all are counted.
"""

import zlib
from collections import deque

import numpy as np

from mixpe.link import Link
from mixpe.reference.execute import Executor
from mixpe_gateware.contract.config import Config
from mixpe_gateware.contract.descriptor import INDEX, WORDS, Opcode, fold_words
from mixpe_gateware.contract.errors import ConfigError, LinkError
from mixpe_gateware.contract.identity import identity_values
from mixpe_gateware.contract.jobs import Job, JobCode, in_inbox
from mixpe_gateware.contract.program.execute import ProgramRunner
from mixpe_gateware.contract.program.run import RUN_RECORD, RUN_TOKENS
from mixpe_gateware.contract.registers import (
    CONTROL_COUNTERS,
    CONTROL_LATCH,
    CONTROL_RESET,
    COUNTER_OFFSET,
    CSR_BANK,
    CSR_BASES,
    CSR_PAGE_BYTES,
    DONE,
    JOB,
    OFFSETS,
    STATUS,
    STATUS_ENDED,
    STATUS_OVERRUN,
    STATUS_POSTED,
    STATUS_READY,
    Effect,
    counters_of,
    registers_of,
)
from mixpe_gateware.contract.timing import memory_timing, predict

MEM_BASE     = 0x40000000
MEM_BYTES    = 256 << 20
MEM_LIMIT    = 0xB0000000  # up to the CSRs
INBOX_BASE   = 0x30000000
CLOCK_HZ     = 100_000_000
UNMAPPED     = 0xFFFFFFFF  # what a LiteX bus reads where nothing answers
ENDED        = [register.name for register in DONE if register.access == "ro"]  # tag, code, cycles


class ReferenceLink(Link):
    """A link whose far end is computed.

    Parameters
    ----------
    config : Config
    mem_bytes : int
        Size of the memory; pages are taken from the system when they are first written.
    clock_hz : int
        What the identity registers say.
    timing : MemoryTiming, optional
        Of the memory, for the jobs' cycles; as simulated when left out.
    """

    url = "reference"

    def __init__(self, config=None, *, mem_bytes=MEM_BYTES, clock_hz=CLOCK_HZ, timing=None):
        super().__init__()
        self.config = config = Config() if config is None else config
        self.timing = memory_timing(config) if timing is None else timing
        if not isinstance(mem_bytes, int) or not 4096 <= mem_bytes <= MEM_LIMIT or mem_bytes % 4096:
            raise ConfigError(f"mem_bytes must be a multiple of 4096 from 4096 to {MEM_LIMIT}, not {mem_bytes!r}")
        self.mem_bytes = mem_bytes
        self.memory   = np.zeros(mem_bytes + config.inbox_bytes, np.uint8)  # the inbox follows the memory
        self.executor = Executor(config, self.memory)
        self.runner   = None
        if config.decoder:
            self.runner = ProgramRunner(config, self.memory[:mem_bytes], self._run_job, self.executor.written)
        self.by_offset = {OFFSETS[register.name]: register for register in registers_of(config.parts)}
        self.values   = dict.fromkeys(OFFSETS, 0)  # of registers, as last written or computed
        self.values.update(identity_values(config, clock_hz=clock_hz, mem_base=MEM_BASE, mem_bytes=mem_bytes,
            inbox_base=INBOX_BASE))
        self.bank     = CSR_BASES[0] + CSR_BANK*CSR_PAGE_BYTES
        self.counts   = dict.fromkeys(counters_of(self.config.parts), 0)
        self.latched  = [0]*2*len(self.counts)
        self.done     = deque()
        self.folded   = []  # words of the descriptor that is being written
        self.overrun  = False
        self.effects  = {Effect.STROBE: self._strobe, Effect.WORD: self._word, Effect.POST: self._post,
            Effect.COLLECT: self._collect, Effect.CHECK: self._check}
        self.closed   = False

    def read_words(self, addr, n, *, increment=True, retry=True):
        """As `Link.read_words`; an address where nothing is reads as on a LiteX bus, all ones."""
        self._check_open()
        self._count_read(4*n)
        offset = self._offset(addr, 4*n)
        if increment and offset is not None:
            return self.memory[offset:offset + 4*n].view("<u4").copy()
        return np.array([self._read(addr + 4*index*increment) for index in range(n)], np.uint32)

    def write_words(self, addr, words, *, increment=True):
        """As `Link.write_words`."""
        self._check_open()
        words = np.atleast_1d(np.asarray(words, np.uint32))
        if increment and self._offset(addr, words.nbytes) is not None:
            self.write_bytes(addr, words)
            return
        self._count_written(words.nbytes)
        for index, word in enumerate(words.tolist()):
            self._write(addr + 4*index*increment, word)

    def read_bytes(self, addr, n, *, progress=None):
        """As `Link.read_bytes`."""
        self._check_open()
        self._count_read(n)
        offset = self._offset(addr, n)
        if offset is None:
            raise LinkError(f"no memory at 0x{addr:08x} … 0x{addr + n:08x}")
        return self.memory[offset:offset + n].copy()

    def write_bytes(self, addr, data, *, progress=None):
        """As `Link.write_bytes`."""
        self._check_open()
        array = np.ascontiguousarray(data) if isinstance(data, np.ndarray) else np.frombuffer(data, np.uint8)
        raw = array.reshape(-1).view(np.uint8)
        self._count_written(raw.size)
        offset = self._offset(addr, raw.size)
        if offset is None:
            raise LinkError(f"no memory at 0x{addr:08x} … 0x{addr + raw.size:08x}")
        self.memory[offset:offset + raw.size] = raw
        self.executor.written(offset, raw.size)

    def flush(self):
        """As `Link.flush`: everything arrives at once."""

    def close(self):
        """As `Link.close`."""
        self.closed = True

    def _count_read(self, size):
        self.counters.received_bytes += size
        self.counters.read_bytes += size

    def _count_written(self, size):
        self.counters.sent_bytes += size
        self.counters.written_bytes += size

    def _check_open(self):
        if self.closed:
            raise LinkError("the link is closed")

    def _offset(self, addr, size):
        """Where a bus region lies in `memory`; None if it is neither in the memory nor in the inbox."""
        for base, first, length in ((MEM_BASE, 0, self.mem_bytes),
                (INBOX_BASE, self.mem_bytes, self.config.inbox_bytes)):
            if base <= addr and addr + size <= base + length:
                return first + addr - base
        return None

    def _read(self, addr):
        register = self.by_offset.get(addr - self.bank)
        if register is None:
            index, rest = divmod(addr - self.bank - COUNTER_OFFSET, 4)
            return self.latched[index] if rest == 0 and 0 <= index < len(self.latched) else UNMAPPED
        if register.access == "wo":
            return 0
        if register is STATUS:
            count = len(self.done)
            return (STATUS_READY | (STATUS_OVERRUN if self.overrun else 0) | STATUS_POSTED.put(count)
                | STATUS_ENDED.put(count))
        if register.name in ENDED:
            return int(self.done[0][ENDED.index(register.name)]) if self.done else 0
        return self.values[register.name]

    def _write(self, addr, value):
        register = self.by_offset.get(addr - self.bank)
        if register is None or register.access == "ro":
            return
        self.values[register.name] = value
        if register.effect in self.effects:
            self.effects[register.effect](register, value)

    def _strobe(self, _register, value):
        # Jobs end when they are posted, so there is never one to abort.
        if value & CONTROL_RESET:
            self.overrun = False
        if value & CONTROL_COUNTERS:
            self.counts = dict.fromkeys(counters_of(self.config.parts), 0)
        if value & CONTROL_LATCH:
            self.latched = [word for count in self.counts.values() for word in (count & 0xFFFFFFFF, count >> 32)]

    def _collect(self, _register, value):
        if self.done and self.done[0][0] == value:
            self.done.popleft()

    def _check(self, _register, value):
        start  = self.values["checksum_addr"]
        region = self.memory[start:min(start + value, self.mem_bytes)]
        self.values["checksum_value"] = zlib.crc32(region) if len(region) == value else 0

    def _word(self, register, value):
        if register is JOB[0]:
            self.folded = []
        self.folded.append(value)
        self.values["job_check"] = fold_words(self.folded)

    def _post(self, register, value):
        self._word(register, value)
        words = [self.values[register.name] for register in JOB]
        if len(self.done) >= self.config.queue_depth:
            self.overrun = True
            self.counts["errors"] += 1
            return
        before = self.counts["cycles"]
        if self.runner is not None and WORDS[INDEX["op"]].field("opcode").of(words[0]) == Opcode.RUN:
            code = self._run_program(words)
        else:
            job  = Job.from_words(words)
            code = JobCode.UNSUPPORTED if job is None else self._run_job(job)
        self.counts["jobs"]   += 1
        self.counts["errors"] += code != JobCode.OK
        self.done.append((value, code, self.counts["cycles"] - before))

    def _run_job(self, job):
        code = self.executor.run(job)
        if code == JobCode.OK:
            prediction = predict(job, self.config, self.timing, inbox=in_inbox(job, self.mem_bytes))
            self.counts["cycles"] += round(prediction.total)
            self.counts["busy"]   += prediction.array
            beat = self.config.beat_bytes
            self.counts["beats_in"]  += (job.weight_bytes(self.config) + job.act_bytes(self.config))//beat
            self.counts["beats_out"] += job.result_bytes(self.config)//beat
        return code

    def _run_program(self, words):
        before = self.runner.records
        code   = self.runner.run(words)
        self.values[RUN_TOKENS], self.values[RUN_RECORD] = self.runner.run_tokens, self.runner.run_record
        self.counts["records"] += self.runner.records - before
        return code
