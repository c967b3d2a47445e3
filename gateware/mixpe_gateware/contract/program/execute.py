# SPDX-License-Identifier: BSD-2-Clause
"""RUN: a program's passes, record by record, on the bytes of a memory.

    descriptor ─► checks ─► header ─► checks ─► token ─► records ─► choice to memory ─► next token …

A record is taken from memory, held against its check word, patched, moved into the session's memory and given to its
engine; the next one begins when it has ended. A device overlaps records where their fences allow, and so after a
failure may have run some behind the one that failed; else its memory has the same bytes.
"""

from dataclasses import dataclass

import numpy as np

from mixpe_gateware.contract.descriptor import INDEX, Opcode
from mixpe_gateware.contract.jobs import Job, JobCode
from mixpe_gateware.contract.program import attention, vector
from mixpe_gateware.contract.program.memory import SessionMemory
from mixpe_gateware.contract.program.records import (
    CHECK,
    HEADER,
    MAGIC,
    OF_ROW,
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
    named_row,
    named_words,
)
from mixpe_gateware.contract.program.run import ROW_BYTES, ROW_WORDS, RUN_WORDS, tokens_bytes
from mixpe_gateware.contract.program.state import VectorState

WORD       = (1 << 32) - 1
RUN_OP     = OP.field("opcode").mask | OP.field("fence").mask  # bits of a RUN's first word
COUNT      = RUN_WORDS[7]
END_IDS    = ("end_0", "end_1", "end_2", "end_3")
OUT_BIT    = RELATIVE.index(INDEX["out_addr"])  # of `relative` and `own`


class Failed(Exception):
    """Ends a run with a code."""

    def __init__(self, code):
        super().__init__(code.name)
        self.code = code


def _require(good, code):
    if not good:
        raise Failed(code)


@dataclass
class Row:
    """A row of a batch: its next token, the position of its first one, and its session's first byte."""

    token: int
    position: int
    session: int


@dataclass(frozen=True)
class Turn:
    """What records are patched with.

    Attributes
    ----------
    position, token, row : int
        Of the token that is under way, and its row in the pass.
    rows : tuple of Row, optional
        Of a batch, with positions of this pass.
    """

    position: int
    token: int
    row: int
    rows: tuple = ()


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
        if index == PATCHES[0] and source == OF_ROW:
            continue
        if stride:
            if not 0 < place < CHECK or source not in factors:
                return None
            words[place] = words[place] + factors[source]*stride & WORD
    return words


def moved(words, state_addr, session=0, own=0):
    """A record's words with absolute addresses, those of `own` in a row's session: list of int."""
    relative = OP.field("relative").of(words[0])
    words = list(words)
    for bit, index in enumerate(RELATIVE):
        if relative >> bit & 1:
            words[index] = words[index] + (session if own >> bit & 1 else state_addr) & WORD
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
        self._chosen = []  # tokens, in this pass

    def run(self, words):
        """Run a RUN descriptor's ten words; returns its JobCode."""
        self.run_tokens = self.run_record = 0
        try:
            _require(not words[0] & ~RUN_OP and not words[7] & ~COUNT.mask, JobCode.UNSUPPORTED)
            run = {word.name: int(value) for word, value in zip(RUN_WORDS, words, strict=True)}
            run.update({field.name: field.of(run["count"]) for field in COUNT.fields})
            _require(not (run["batch"] and (run["prompt"] or run["more"])), JobCode.UNSUPPORTED)
            self._check_regions(run)
            header = self._header(run)
            memory = SessionMemory(self._data, run["state_addr"], run["state_bytes"], self._written)
            (self._batch if run["batch"] else self._passes)(run, header, memory)
        except Failed as failed:
            return failed.code
        return JobCode.OK

    def _check_regions(self, run):
        beat, size = self.config.beat_bytes, len(self._data)
        _require(not (run["program_addr"] | run["state_addr"]) % beat and not run["tokens_addr"] % 4, JobCode.ALIGN)
        _require(run["program_addr"] + RECORD_BYTES <= size, JobCode.MEMORY)
        _require(run["state_addr"] + run["state_bytes"] <= size, JobCode.MEMORY)
        needed = tokens_bytes(run["count"], run["prompt"], run["batch"])
        _require(run["tokens_addr"] + needed <= size, JobCode.MEMORY)
        _require(run["count"] > 0, JobCode.POSITION)

    def _words(self, address, count):
        return self._data[address:address + 4*count].view("<u4").tolist()

    def _record(self, run, index):
        words = self._words(run["program_addr"] + RECORD_BYTES*index, RECORD_WORDS)
        _require(words[CHECK] == check_word(words, index, run["identity"]), JobCode.PROGRAM)
        return words

    def _header(self, run):
        header = named_words(HEADER, self._record(run, 0))
        _require(header["magic"] == MAGIC and header["identity"] == run["identity"], JobCode.PROGRAM)
        _require(0 < header["records"] <= RECORDS_MAX, JobCode.PROGRAM)
        _require(0 < header["prompt_records"] <= header["records"], JobCode.PROGRAM)
        _require(0 < header["rows"] <= ROWS_MAX, JobCode.PROGRAM)
        _require(0 < header["token_records"] <= header["prompt_records"], JobCode.PROGRAM)
        _require(run["program_addr"] + RECORD_BYTES*header["records"] <= len(self._data), JobCode.MEMORY)
        _require(header["state_bytes"] <= run["state_bytes"], JobCode.MEMORY)
        _require(run["position"] + run["count"] <= header["context"], JobCode.POSITION)
        return header

    def _passes(self, run, header, memory):
        token, address, count, prompt = run["token"], run["tokens_addr"], run["count"], run["prompt"]
        for index in range(count):
            known = prompt and (run["more"] or index < count - 1)  # what follows
            row   = index % header["rows"]
            if prompt:
                token, = self._words(address, 1)
                address += 4
            records = header["prompt_records"] if known else header["records"]
            if row < header["rows"] - 1:
                records = header["token_records"]
            self._pass(run, header, records, Turn(run["position"] + index, token, row), memory)
            if not known:
                _require(self._chosen, JobCode.PROGRAM)
                token = self._chosen[-1]
                self._put_token(address, token)
                address += 4
            self.run_tokens += 1
            if not prompt and any(token == header[name] for name in END_IDS):
                return

    def _batch(self, run, header, memory):
        """Passes whose rows are sessions."""
        count, address = header["rows"], run["tokens_addr"]
        table   = np.array(self._words(address, len(ROW_WORDS)*count)).reshape(count, -1)
        rows    = [Row(*words) for words in table[:, :3].tolist()]
        address += ROW_BYTES*count
        for index in range(run["count"]):
            now  = run["position"] + index
            turn = tuple(Row(row.token, row.position + now, row.session) for row in rows)
            for place, row in enumerate(turn):
                self._check_row(run, header, row, run["count"] - index)
                records = header["records" if place == count - 1 else "token_records"]
                self._pass(run, header, records, Turn(row.position, row.token, place, turn), memory)
            _require(len(self._chosen) == count, JobCode.PROGRAM)
            for row, row.token in zip(rows, self._chosen, strict=True):
                self._put_token(address, row.token)
                address += 4
            self.run_tokens += 1
            if any(row.token == header[name] for row in rows for name in END_IDS):
                return

    def _check_row(self, run, header, row, passes):
        _require(row.position + passes <= header["context"], JobCode.POSITION)
        _require(not row.session % self.config.beat_bytes, JobCode.ALIGN)
        _require(row.session + header["session_bytes"] <= len(self._data), JobCode.MEMORY)

    def _put_token(self, address, token):
        self._data[address:address + 4].view("<u4")[0] = token
        if self._written is not None:
            self._written(address, 4)

    def _pass(self, run, header, records, turn, memory):
        _require(turn.token < header["vocabulary"], JobCode.PROGRAM)
        self._chosen = []
        for self.run_record in range(1, records):
            self._state.choice = None
            code = self._execute(self._record(run, self.run_record), run, header, turn, memory)
            _require(code == JobCode.OK, code)
            self.records += 1
            if self._state.choice is not None:
                self._chosen.append(self._state.choice)
        self.run_record = 0

    def _execute(self, words, run, header, turn, memory):
        opcode = OP.field("opcode").of(words[0])
        try:
            named = named_row(words)
        except ValueError:
            return JobCode.PROGRAM
        position, session, own = turn.position, 0, 0
        if named is not None:
            if named[0] >= len(turn.rows):
                return JobCode.PROGRAM
            row, own = turn.rows[named[0]], named[1]
            position, session = row.position, row.session
        words = patched(words, position, turn.token, run["listed"], turn.row)
        if opcode not in (Opcode.GEMM, Opcode.VECTOR, Opcode.ATTENTION) or words is None:
            return JobCode.PROGRAM
        words = moved(words, run["state_addr"], session, own)[:CHECK]
        if opcode == Opcode.VECTOR:
            if own >> OUT_BIT & 1:
                memory = SessionMemory(self._data, session, header["session_bytes"], self._written)
            return vector.execute(words, memory, self.config, self._state)
        if opcode == Opcode.ATTENTION:
            return attention.execute(words, memory, self.config)
        start = words[INDEX["out_addr"]] - run["state_addr"]
        if start < 0 or start + words[INDEX["out_bytes"]] > run["state_bytes"]:
            return JobCode.MEMORY
        job = Job.from_words([Opcode.GEMM, *words[1:len(RUN_WORDS)]])
        return JobCode.UNSUPPORTED if job is None else self._gemm(job)
