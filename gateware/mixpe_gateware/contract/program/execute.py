# SPDX-License-Identifier: BSD-2-Clause
"""RUN: a program's passes, record by record, on the bytes of a memory.

    descriptor ─► checks ─► header ─► checks ─► token ─► records ─► choice to memory ─► next token …

A record is taken from memory, held against its check word, patched, moved into the session's memory and given to its
engine; the next one begins when it has ended. A device overlaps records where their fences allow, and so after a
failure may have run some behind the one that failed; else its memory has the same bytes.
"""

from mixpe_gateware.contract.descriptor import INDEX, Opcode
from mixpe_gateware.contract.jobs import Job, JobCode
from mixpe_gateware.contract.program import attention, vector
from mixpe_gateware.contract.program.memory import SessionMemory
from mixpe_gateware.contract.program.records import (
    CHECK,
    HEADER,
    MAGIC,
    OP,
    PATCH,
    PATCHES,
    RECORD_BYTES,
    RECORD_WORDS,
    RECORDS_MAX,
    RELATIVE,
    ROWS_MAX,
    Source,
    check_word,
    named_words,
)
from mixpe_gateware.contract.program.run import RUN_WORDS
from mixpe_gateware.contract.program.state import VectorState

WORD       = (1 << 32) - 1
RUN_OP     = OP.field("opcode").mask | OP.field("fence").mask  # bits of a RUN's first word
COUNT      = RUN_WORDS[7]
END_IDS    = ("end_0", "end_1", "end_2", "end_3")


class Failed(Exception):
    """Ends a run with a code."""

    def __init__(self, code):
        super().__init__(code.name)
        self.code = code


def _require(good, code):
    if not good:
        raise Failed(code)


def patch_factors(position, token, listed, row):
    """What patches multiply, by their source: dict of Source → int."""
    return {Source.POSITION: position, Source.COUNT: position + 1, Source.TOKEN_BLOCK: token >> 3,
        Source.TOKEN_ROW: token & 7, Source.LISTED: int(listed), Source.ROW: row}


def patched(words, position, token, listed, row):
    """A record's words with its patches added, modulo 2^32: list of int; None where a patch means nothing."""
    factors = patch_factors(position, token, listed, row)
    words   = list(words)
    for index in PATCHES:
        place, source, stride = (PATCH.field(name).of(words[index]) for name in ("word", "source", "stride"))
        if stride:
            if not 0 < place < CHECK or source not in factors:
                return None
            words[place] = words[place] + factors[source]*stride & WORD
    return words


def moved(words, state_addr):
    """A record's words with absolute addresses: list of int."""
    relative = OP.field("relative").of(words[0])
    words = list(words)
    for bit, index in enumerate(RELATIVE):
        if relative >> bit & 1:
            words[index] = words[index] + state_addr & WORD
    return words


class ProgramRunner:
    """Runs programs on a memory.

    Parameters
    ----------
    config : Config
        With a decoder.
    data : (mem_bytes,) uint8
    gemm : callable
        Job → JobCode: checks and runs a job on the same memory.
    written : callable, optional
        Called with offset and size of what records other than GEMM write.

    Attributes
    ----------
    run_tokens, run_record : int
        Of the last run: passes that were completed, and which record of the next one failed, or 0.
    records : int
        Records that ended in all runs.
    """

    def __init__(self, config, data, gemm, written=None):
        self.config  = config
        self.run_tokens = self.run_record = 0
        self.records = 0
        self._data, self._gemm, self._written = data, gemm, written
        self._state  = VectorState()

    def run(self, words):
        """Run a RUN descriptor's ten words; returns its JobCode."""
        self.run_tokens = self.run_record = 0
        try:
            _require(not words[0] & ~RUN_OP and not words[7] & ~COUNT.mask, JobCode.UNSUPPORTED)
            run    = {word.name: int(value) for word, value in zip(RUN_WORDS, words, strict=True)}
            count, prompt, run["listed"], more = (COUNT.field(name).of(run["count"]) for name in
                ("count", "prompt", "listed", "more"))
            self._check_regions(run, count, prompt)
            header = self._header(run, count)
            memory = SessionMemory(self._data, run["state_addr"], run["state_bytes"], self._written)
            self._passes(run, count, prompt, more, header, memory)
        except Failed as failed:
            return failed.code
        return JobCode.OK

    def _check_regions(self, run, count, prompt):
        beat, size = self.config.beat_bytes, len(self._data)
        _require(not (run["program_addr"] | run["state_addr"]) % beat and not run["tokens_addr"] % 4, JobCode.ALIGN)
        _require(run["program_addr"] + RECORD_BYTES <= size, JobCode.MEMORY)
        _require(run["state_addr"] + run["state_bytes"] <= size, JobCode.MEMORY)
        _require(run["tokens_addr"] + 4*(count + prompt) <= size, JobCode.MEMORY)
        _require(count > 0, JobCode.POSITION)

    def _words(self, address, count):
        return self._data[address:address + 4*count].view("<u4").tolist()

    def _record(self, run, index):
        words = self._words(run["program_addr"] + RECORD_BYTES*index, RECORD_WORDS)
        _require(words[CHECK] == check_word(words, index, run["identity"]), JobCode.PROGRAM)
        return words

    def _header(self, run, count):
        header = named_words(HEADER, self._record(run, 0))
        _require(header["magic"] == MAGIC and header["identity"] == run["identity"], JobCode.PROGRAM)
        _require(0 < header["records"] <= RECORDS_MAX, JobCode.PROGRAM)
        _require(0 < header["prompt_records"] <= header["records"], JobCode.PROGRAM)
        _require(0 < header["rows"] <= ROWS_MAX, JobCode.PROGRAM)
        _require(0 < header["token_records"] <= header["prompt_records"], JobCode.PROGRAM)
        _require(run["program_addr"] + RECORD_BYTES*header["records"] <= len(self._data), JobCode.MEMORY)
        _require(header["state_bytes"] <= run["state_bytes"], JobCode.MEMORY)
        _require(run["position"] + count <= header["context"], JobCode.POSITION)
        return header

    def _passes(self, run, count, prompt, more, header, memory):
        token, address = run["token"], run["tokens_addr"]
        for index in range(count):
            known = prompt and (more or index < count - 1)  # what follows
            row   = index % header["rows"]
            if prompt:
                token, = self._words(address, 1)
                address += 4
            _require(token < header["vocabulary"], JobCode.PROGRAM)
            records = header["prompt_records"] if known else header["records"]
            if row < header["rows"] - 1:
                records = header["token_records"]
            self._pass(run, records, run["position"] + index, token, row, memory)
            if not known:
                _require(self._state.choice is not None, JobCode.PROGRAM)
                token = self._state.choice
                self._data[address:address + 4].view("<u4")[0] = token
                if self._written is not None:
                    self._written(address, 4)
                address += 4
            self.run_tokens += 1
            if not prompt and any(token == header[name] for name in END_IDS):
                return

    def _pass(self, run, records, position, token, row, memory):
        self._state.choice = None
        for self.run_record in range(1, records):
            code = self._execute(self._record(run, self.run_record), run, position, token, row, memory)
            _require(code == JobCode.OK, code)
            self.records += 1
        self.run_record = 0

    def _execute(self, words, run, position, token, row, memory):
        opcode = OP.field("opcode").of(words[0])
        words  = patched(words, position, token, run["listed"], row)
        if opcode not in (Opcode.GEMM, Opcode.VECTOR, Opcode.ATTENTION) or words is None:
            return JobCode.PROGRAM
        words = moved(words, run["state_addr"])[:CHECK]
        if opcode == Opcode.VECTOR:
            return vector.execute(words, memory, self.config, self._state)
        if opcode == Opcode.ATTENTION:
            return attention.execute(words, memory, self.config)
        start = words[INDEX["out_addr"]] - run["state_addr"]
        if start < 0 or start + words[INDEX["out_bytes"]] > run["state_bytes"]:
            return JobCode.MEMORY
        job = Job.from_words([Opcode.GEMM, *words[1:len(RUN_WORDS)]])
        return JobCode.UNSUPPORTED if job is None else self._gemm(job)
