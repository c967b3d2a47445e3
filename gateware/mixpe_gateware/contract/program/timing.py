# SPDX-License-Identifier: BSD-2-Clause
"""Cycles of a pass, from a program's records alone: when each is under way, and which engine's the cycles are.

    made ready ─► fences ─► GEMM: `contract.timing`; one behind another hides its start
                         ─► VECTOR, ATTENTION: one record after the other

A VECTOR record has phases, each bound by its elements, one a cycle, or by the memory that they come from. An ATTENTION
record has passes over key-value heads, each bound by its beats; sums of a pass are read while the next one's keys come.
Weights that are read before their GEMM's fence are taken to cost the records beside them what they save: both need the
memory.

Source of the constants: records in rows on the simulated SoC with LiteDRAM's timing, SDR and DDR3.
"""

from dataclasses import dataclass
from math import log

from mixpe_gateware.contract.descriptor import WORDS, Opcode
from mixpe_gateware.contract.jobs import Job
from mixpe_gateware.contract.layout import shift_pitch
from mixpe_gateware.contract.program.attention import AttentionRecord
from mixpe_gateware.contract.program.execute import patch_factors, patched
from mixpe_gateware.contract.program.records import COLUMNS, NARROW, OF_COLUMNS, OF_ROW, OP, PATCH, PATCHES, Function
from mixpe_gateware.contract.program.vector import VectorRecord
from mixpe_gateware.contract.timing import predict

RUN_CYCLES     = 200  # of a RUN, once: descriptor, header, end
PASS_CYCLES    = 90   # of each pass: token, first record, choice to memory
READY_CYCLES   = 19   # in which a record is made ready
PATCH_CYCLES   = 2    # of a patch, beside the bits of what it multiplies
ISSUE_CYCLES   = 15   # from a record to the next one: its words are read
SLOTS          = 2    # records that are ready before their fences allow
FOLLOW_CYCLES  = 100  # between two jobs of the array that follow each other

# VECTOR: cycles beside its elements: words, checks, pipeline, the first answer, the end of writing.
START = {
    Function.ADD: 95, Function.NORM: 130, Function.SILU: 140, Function.QUANT: 130, Function.ROTATE: 110,
    Function.APPEND: 150, Function.QUERY: 125, Function.SELECT: 75,
}
ELEMENT_CYCLES = 1.02  # of an element: refreshes
WRITE_WORDS    = 64    # of the memory that are written together; the last ones when the elements are done
TABLE_CYCLES   = 18    # QUANT: of a row of shifts, beside its entries
SHOW_CYCLES    = 3     # SELECT: of a pair that is written
COLUMN_CYCLES  = 1.35  # of a word among which one of columns is looked for, in those of a word that is read

# ATTENTION
RECORD_CYCLES  = 110  # of a record: words, checks, the first answer, the end of writing
PASS_START     = 95   # of a pass: between its kinds of beats
READ_CYCLES    = 30   # from the last value to the first sum that is read


@dataclass(frozen=True)
class Span:
    """A record that is under way, in cycles from the pass's begin."""

    record: int
    opcode: Opcode
    begin: float
    end: float


@dataclass(frozen=True)
class Timeline:
    """A pass.

    Attributes
    ----------
    spans : list of Span
        In the order of the records.
    cycles : float
        To the next pass's begin.
    array : float
        In which the array takes weights.
    """

    spans: list
    cycles: float
    array: float

    def busy(self, opcode):
        """Cycles in which an engine has a record."""
        total = last = 0.0
        for span in self.spans:
            if span.opcode == opcode:
                total += max(0.0, span.end - max(last, span.begin))
                last   = max(last, span.end)
        return total

    def shares(self, of):
        """Where the cycles go: each is of the oldest record that is under way.

        Parameters
        ----------
        of : callable
            Name of a Span, or of None: no record is.

        Returns
        -------
        dict of name → cycles
            `cycles` together.
        """
        found, last = {}, 0.0
        for span in self.spans:
            idle, work = max(0.0, span.begin - last), max(0.0, span.end - max(last, span.begin))
            for name, part in ((of(None), idle), (of(span), work)):
                found[name] = found.get(name, 0.0) + part
            last = max(last, span.end)
        found[of(None)] = found.get(of(None), 0.0) + self.cycles - last
        return found


def _phases(record, config):
    """(elements, words read, words written) of each phase of a VECTOR record."""
    n, rows, total = record.n, record.rows, record.rows*record.n
    parts = max(1, config.memory_bits//32)  # what is only measured comes a memory word a cycle
    match record.function:
        case Function.QUANT:
            each  = 1 if record.has(NARROW) else 2
            table = each*shift_pitch(n//record.constant, config)
            return [(n/parts, n, 0), (table + each*TABLE_CYCLES, 0, table/4), (n, n, each*n/4)]*rows
        case Function.ROTATE:
            return [(n, n, 0), (total, 2*total, total)]
        case Function.APPEND:
            return [(total/parts, total, 0), (rows, 0, rows), (total, total, total/4)]
        case Function.QUERY:
            return [(total/parts, total, 0), (rows, 0, rows), (total, total, total/2)]
        case Function.SELECT:
            return [(n + _kept(n, record.constant), n, 0), (SHOW_CYCLES*record.constant, 0, 2*record.constant)]
    by_columns = record.has(COLUMNS) and record.function in OF_COLUMNS  # all are read for each row
    first  = COLUMN_CYCLES*rows*total if by_columns else total
    second = 0 if not record.b_size else first if record.function == Function.SILU else total
    return [(total, first + second, total)]


def _kept(n, most):
    """Cycles in which SELECT's list moves, for n numbers in no order: the i-th is among the largest by most/i."""
    most = min(most, n)
    return most*(most/4 + 2) + most*log(n/most)*most/2


def vector_cycles(record, config, memory):
    """Cycles of a VECTOR record from its begin to its last result in memory.

    Parameters
    ----------
    record : VectorRecord
    config : Config
    memory : MemoryTiming
    """
    total, word = START[Function(record.function)], 32/config.memory_bits
    for elements, read, written in _phases(record, config):
        behind = (written*word - 1) % WRITE_WORDS + 1 if written else 0
        total += max(ELEMENT_CYCLES*elements + behind, memory.sharing(read*4, written*4))
    return total


def attention_cycles(record, config, memory):
    """Cycles of an ATTENTION record from its begin to its last result in memory; parameters as `vector_cycles`."""
    def taking(size):
        """Cycles of so many bytes, by the memory and by the lanes."""
        return max(memory.sharing(size, 0), size/config.attention_lanes)

    c, group, d = record.shape
    seen    = min(record.positions, record.window) if record.window else record.positions
    now     = reading = RECORD_CYCLES
    results = 0.0  # of the pass before, which are written beside this one
    for _ in range(c):
        for first in range(0, group, config.attention_heads):
            active  = min(config.attention_heads, group - first)
            kept    = 2*active*d + 4*active + 2*config.attention_lanes + 2*2*seen
            keys    = max(taking(seen*d), seen*active)
            now     = max(now + PASS_START + taking(kept) + keys + results, reading)
            now    += taking(seen*d)
            results = memory.sharing(0, 4*active*d)
            reading = now + READ_CYCLES + active*d
    return max(reading, now + READ_CYCLES + results)


def _ready_cycles(words, factors):
    """Cycles in which a record is made ready: the more, the more bits what its patches multiply has."""
    total = READY_CYCLES
    for index in PATCHES:
        source = PATCH.field("source").of(words[index])
        if PATCH.field("stride").of(words[index]) and source != OF_ROW:
            total += PATCH_CYCLES + factors[source].bit_length()
    return total


class _Schedule:
    """Records one after the other, as the sequencer issues them."""

    def __init__(self, config, memory):
        self.config, self.memory = config, memory
        self.spans, self.taken   = [], [0.0]*SLOTS
        self.ends  = dict.fromkeys((Opcode.GEMM, Opcode.VECTOR, Opcode.ATTENTION), 0.0)
        self.ready = self.array = 0.0

    @property
    def end(self):
        """When all of them have ended."""
        return max(self.ends.values())

    def wait(self, cycles):
        """The next record is looked at so long after the end of all."""
        self.ready = self.end + cycles

    def add(self, index, words, position, token, listed, row):
        """A record."""
        opcode, fence, *after = (OP.field(name).of(words[0]) for name in
            ("opcode", "fence", "after_gemm", "after_vector", "after_attention"))
        self.ready = max(self.ready, self.taken[-SLOTS]) + _ready_cycles(words,
            patch_factors(position, token, listed, row))
        waits = [end for end, waited in zip(self.ends.values(), after, strict=True) if waited or fence]
        begin = max([self.ready, self.taken[-1] + ISSUE_CYCLES, *waits])
        self.taken.append(begin)
        words = patched(words, position, token, listed, row)
        if opcode == Opcode.GEMM:
            job   = Job.from_words([Opcode.GEMM, *words[1:len(WORDS)]])
            found = predict(job, self.config, self.memory)
            end   = max(begin + found.total, self.ends[opcode] + FOLLOW_CYCLES + found.total - found.start)
            self.array += found.array
        else:
            begin = max(begin, self.ends[opcode])
            end   = begin + (vector_cycles(VectorRecord.of(words), self.config, self.memory)
                if opcode == Opcode.VECTOR else attention_cycles(AttentionRecord.of(words), self.config, self.memory))
        self.ends[opcode] = end
        self.spans.append(Span(index, Opcode(opcode), begin, end))


def pass_timeline(records, config, memory, position=0, token=0, *, rows=1, token_records=0, listed=False,
                  batch=False):
    """When the records of a pass are under way.

    Parameters
    ----------
    records : list of 16 int
        Those that are run, without the header; good ones.
    config : Config
    memory : MemoryTiming
    position, token : int
        Of the pass's last token.
    rows, token_records : int
        Tokens of the pass, and the records that are run for each of them.
    listed, batch : bool
        Of the run; rows of a batch have the same position here.

    Returns
    -------
    Timeline
    """
    schedule = _Schedule(config, memory)
    for row in range(rows):
        last = row == rows - 1
        for index, words in enumerate(records if last else records[:token_records], 1):
            schedule.add(index, words, position - (0 if batch else rows - 1 - row), token, listed, row)
        if not last:
            schedule.wait(PASS_CYCLES)
    return Timeline(schedule.spans, schedule.end + PASS_CYCLES, schedule.array)
