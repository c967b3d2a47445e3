# SPDX-License-Identifier: BSD-2-Clause
"""The reference device: the accelerator's bus in numpy, registers and memory, without clock.

It answers the same register reads and writes as the hardware and runs each job when it is posted, so the driver above
it is the one that drives the hardware. Jobs, errors and beats are counted; cycles are those that `contract.timing`
predicts for this configuration, one job after the other, and the counters of waiting stay zero.
"""

import zlib
from collections import deque

import numpy as np

from mixpe.link import Link
from mixpe.reference.execute import Executor
from mixpe_gateware.contract.config import Config
from mixpe_gateware.contract.errors import ConfigError, LinkError
from mixpe_gateware.contract.jobs import (
    FLAG_FUSED,
    FLAG_MASK,
    FLAG_PLANES,
    FLAG_SHIFT,
    FLAG_WIDE,
    GROUP_CODE_K,
    Job,
    JobCode,
    in_inbox,
)
from mixpe_gateware.contract.registers import (
    CONTROL_COUNTERS,
    CONTROL_LATCH,
    CONTROL_RESET,
    COUNTER_OFFSET,
    COUNTERS,
    CSR_BANK,
    CSR_BASES,
    CSR_PAGE_BYTES,
    JOB,
    REGISTERS,
    STATUS_DONE_LSB,
    STATUS_LEVEL_LSB,
    STATUS_OVERRUN,
    STATUS_READY,
    fold_words,
    identity_values,
)
from mixpe_gateware.contract.timing import memory_timing, predict

MEM_BASE     = 0x40000000
MEM_BYTES    = 256 << 20
MEM_LIMIT    = 0xB0000000  # up to the CSRs
INBOX_BASE   = 0x30000000
CLOCK_HZ     = 100_000_000
UNMAPPED     = 0xFFFFFFFF  # what a LiteX bus reads where nothing answers
NAMES        = [register.name for register in REGISTERS]
HIDDEN       = {register.name for register in REGISTERS if register.access == "wo"}
JOB_NAMES    = {register.name for register in JOB}
WRITABLE     = {register.name for register in REGISTERS if register.access == "rw"} | HIDDEN


def job_of_words(words):
    """Descriptor from the nine words of the job registers; None if its flags are no flags of this contract."""
    weights_addr, act_addr, out_addr, n, k, m, flags, out_bytes, tag = (int(word) for word in words)
    if flags & ~FLAG_MASK:
        return None
    return Job(weights_addr=weights_addr, act_addr=act_addr, out_addr=out_addr, n=n, k=k, m=m,
        group=flags & GROUP_CODE_K, out_bytes=out_bytes, fused=bool(flags & FLAG_FUSED), wide=bool(flags & FLAG_WIDE),
        shift=bool(flags & FLAG_SHIFT), planes=bool(flags & FLAG_PLANES), tag=tag)


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
        self.values   = dict.fromkeys(NAMES, 0)
        self.values.update(identity_values(config, clock_hz=clock_hz, mem_base=MEM_BASE, mem_bytes=mem_bytes,
            inbox_base=INBOX_BASE))
        self.bank     = CSR_BASES[0] + CSR_BANK*CSR_PAGE_BYTES
        self.counts   = dict.fromkeys(COUNTERS, 0)
        self.latched  = [0]*2*len(COUNTERS)
        self.done     = deque()
        self.folded   = []  # words of the descriptor that is being written
        self.overrun  = False
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

    def _name(self, addr):
        index, rest = divmod(addr - self.bank, 4)
        return NAMES[index] if rest == 0 and 0 <= index < len(NAMES) else None

    def _read(self, addr):
        name = self._name(addr)
        if name is None:
            index, rest = divmod(addr - self.bank - COUNTER_OFFSET, 4)
            return self.latched[index] if rest == 0 and 0 <= index < len(self.latched) else UNMAPPED
        if name in HIDDEN:
            return 0
        if name == "status":
            return (STATUS_READY | (STATUS_OVERRUN if self.overrun else 0) | len(self.done) << STATUS_LEVEL_LSB
                | len(self.done) << STATUS_DONE_LSB)
        if name.startswith("done_") and name != "done_collect":
            tag, code, cycles = self.done[0] if self.done else (0, 0, 0)
            return {"done_tag": tag, "done_code": int(code), "done_cycles": cycles}[name]
        return self.values[name]

    def _write(self, addr, value):
        name = self._name(addr)
        if name not in WRITABLE:
            return
        self.values[name] = value
        if name == "control":
            self._control(value)
        elif name == "done_collect":
            if self.done and self.done[0][0] == value:
                self.done.popleft()
        elif name in JOB_NAMES:
            self._fold(name, value)
        elif name == "checksum_bytes":
            start = self.values["checksum_addr"]
            region = self.memory[start:min(start + value, self.mem_bytes)]
            self.values["checksum_value"] = zlib.crc32(region) if len(region) == value else 0

    def _fold(self, name, value):
        if name == JOB[0].name:
            self.folded = []
        self.folded.append(value)
        self.values["job_check"] = fold_words(self.folded)
        if name == JOB[-1].name:
            self._post()

    def _control(self, value):
        # Jobs end when they are posted, so there is never one to abort.
        self.values["control"] = 0
        if value & CONTROL_RESET:
            self.overrun = False
        if value & CONTROL_COUNTERS:
            self.counts = dict.fromkeys(COUNTERS, 0)
        if value & CONTROL_LATCH:
            self.latched = [word for count in self.counts.values() for word in (count & 0xFFFFFFFF, count >> 32)]

    def _post(self):
        words = [self.values[register.name] for register in JOB]
        if len(self.done) >= self.config.queue_depth:
            self.overrun = True
            self.counts["errors"] += 1
            return
        job  = job_of_words(words)
        code = JobCode.UNSUPPORTED if job is None else self.executor.run(job)
        self.counts["jobs"] += 1
        cycles = 0
        if code == JobCode.OK:
            prediction = predict(job, self.config, self.timing, inbox=in_inbox(job, self.mem_bytes))
            cycles = round(prediction.total)
            self.counts["cycles"] += cycles
            self.counts["busy"]   += prediction.array
            beat = self.config.beat_bytes
            self.counts["beats_in"]  += (job.weight_bytes(self.config) + job.act_bytes(self.config))//beat
            self.counts["beats_out"] += job.result_bytes(self.config)//beat
        else:
            self.counts["errors"] += 1
        self.done.append((words[-1], code, cycles))
