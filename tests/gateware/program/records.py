# SPDX-License-Identifier: BSD-2-Clause
"""Programs for the sequencer's tests, and what a RUN of one does, in plain Python."""

from dataclasses import dataclass, field

import numpy as np

from mixpe_gateware.contract.descriptor import Opcode
from mixpe_gateware.contract.jobs import JobCode
from mixpe_gateware.contract.program.records import (
    CHECK,
    HEADER,
    MAGIC,
    NO_TOKEN,
    OF_ROW,
    OP,
    PATCH,
    PATCHES,
    RECORD_WORDS,
    RELATIVE,
    ROW,
    Function,
    Source,
    check_word,
)
from mixpe_gateware.contract.program.run import run_words

MEM_BYTES    = 1 << 18
LOG_ADDR     = 1 << 17   # engines of the tests write here what they see
LOG_BYTES    = 1 << 14   # each
PROGRAM_ADDR = 0x800
TOKENS_ADDR  = 0x84
STATE_ADDR   = 0x8000
STATE_BYTES  = 0x4000
SESSION_BYTES = 0x2000  # of a row's session
IDENTITY     = 0x1234ABCD
VOCABULARY   = 5000
CONTEXT      = 64
WORD_MASK    = 0xFFFFFFFF
ENGINES      = (Opcode.GEMM, Opcode.VECTOR, Opcode.ATTENTION)
AFTER        = ("after_gemm", "after_vector", "after_attention")
WORDS        = CHECK     # that an engine reads
NUMBER, CODE, CHOICE = 4, 6, 1  # words by which tests tell their engines apart what, how it ends, what it chooses
HANG         = 16        # in place of a code: it never ends


def record(opcode, *, after=(), fence=False, function=0, options=0, relative=(), patches=(), row=None, own=(), **words):
    """16 words of a record: `words` are w1 … w11, `patches` (word, source, stride); `own` are words of the row."""
    op = OP.field("opcode").put(opcode) | OP.field("fence").put(int(fence)) | OP.field("function").put(function)
    op |= OP.field("options").put(options) | OP.field("relative").put(
        sum(1 << RELATIVE.index(word) for word in relative))
    op |= sum(OP.field(AFTER[ENGINES.index(each)]).mask for each in after)
    found = [op] + [0]*(RECORD_WORDS - 1)
    for name, value in words.items():
        found[int(name[1:])] = value & WORD_MASK
    if row is not None:
        found[PATCHES[0]] = ROW.field("source").put(OF_ROW) | ROW.field("row").put(row) | ROW.field("own").put(
            sum(1 << RELATIVE.index(word) for word in own))
    for place, (word, source, stride) in zip(PATCHES[row is not None:], patches, strict=False):
        found[place] = PATCH.field("word").put(word) | PATCH.field("source").put(source) | PATCH.field(
            "stride").put(stride)
    return found


def select(number, base=100, stride=7, code=JobCode.OK, row=None):
    """A record that chooses token base + stride·position."""
    return record(Opcode.VECTOR, function=Function.SELECT, fence=True, patches=[(CHOICE, Source.POSITION, stride)],
        w1=base, w4=number, w6=code, row=row)


def random_record(rng, number, fences=4, rows=0):
    """Any engine, patches and addresses; one in `fences` of each fence; of a batch's rows most name one."""
    opcode  = ENGINES[int(rng.integers(3))]
    named   = {"row": int(rng.integers(rows)), "own": {int(word) for word in rng.choice([1, 2, 5, 7, 9, 10, 11], 3)}
        } if rows and rng.integers(4) else {}
    patches = [(int(rng.choice([1, 2, 5, 7, 9, 10, 11])), Source(int(rng.integers(len(Source)))),
        int(rng.choice([0, 1, 64, 0xFFFFFF, int(rng.integers(1 << 24))]))) for _ in range(int(rng.integers(4)))]
    words    = {f"w{index}": int(rng.integers(1 << 32)) for index in (1, 2, 5, 7, 9, 10, 11)}
    relative = {int(word) for word in rng.choice([1, 2, 5, 7, 9, 10, 11], int(rng.integers(5)))} | {3}
    after    = [each for each in ENGINES if rng.integers(fences) == 0]
    return record(opcode, after=after, fence=rng.integers(2*fences) == 0, function=int(rng.integers(Function.SELECT)),
        **named,
        options=int(rng.integers(256)), relative=sorted(relative), patches=patches, **words, w3=0x100, w4=number,
        w6=JobCode.OK, w8=int(rng.integers(0x1000)))


@dataclass
class Program:
    """Records, the header not among them, and what the header says."""

    records: list
    prompt_records: int = None
    rows: int = 1
    token_records: int = 1
    end_ids: tuple = (NO_TOKEN,)*4
    header: dict = field(default_factory=dict)  # words that are not as they should be

    def words(self, identity=IDENTITY):
        """What lies in memory: (records, 16) uint32."""
        count  = len(self.records) + 1
        values = {"magic": MAGIC, "identity": identity, "records": count,
            "prompt_records": self.prompt_records or count, "context": CONTEXT, "vocabulary": VOCABULARY,
            "state_bytes": STATE_BYTES, "session_bytes": SESSION_BYTES, "rows": self.rows,
            "token_records": self.token_records,
            **dict(zip(("end_0", "end_1", "end_2", "end_3"), self.end_ids, strict=True)),
            **self.header}
        header = [0]*RECORD_WORDS
        for place, (name, _) in HEADER.items():
            header[place] = values[name]
        words = [header, *[list(each) for each in self.records]]
        for index, each in enumerate(words):
            each[CHECK] = check_word(each, index, identity)
        return np.array(words, "<u4")


def run_of(**fields):
    """Words of a RUN with the usual places."""
    return run_words(**{"program_addr": PROGRAM_ADDR, "tokens_addr": TOKENS_ADDR, "state_addr": STATE_ADDR,
        "state_bytes": STATE_BYTES, "token": 3, "position": 0, "identity": IDENTITY, "count": 1, "prompt": False,
        "tag": 0, **fields})


def is_select(words):
    return opcode_of(words) == Opcode.VECTOR and OP.field("function").of(words[0]) == Function.SELECT


def opcode_of(words):
    return Opcode(OP.field("opcode").of(words[0]))


def seen_words(words, position, token, listed=False, row=0, rows=()):
    """What an engine sees of a record: 12 words. `rows` are positions and sessions of a batch."""
    found, own, session = list(words), 0, None
    if ROW.field("source").of(words[PATCHES[0]]) == OF_ROW:
        position, session = rows[ROW.field("row").of(words[PATCHES[0]])]
        own = ROW.field("own").of(words[PATCHES[0]])
        found[PATCHES[0]] = 0
    values = {Source.POSITION: position, Source.COUNT: position + 1, Source.TOKEN_BLOCK: token >> 3,
        Source.TOKEN_ROW: token & 7, Source.LISTED: int(listed),
        Source.ROW: row}
    for place in PATCHES:
        word, source, stride = (PATCH.field(name).of(found[place]) for name in ("word", "source", "stride"))
        if stride:
            found[word] = found[word] + stride*values[source] & WORD_MASK
    for bit, word in enumerate(RELATIVE):
        if OP.field("relative").of(words[0]) >> bit & 1:
            found[word] = found[word] + (session if own >> bit & 1 else STATE_ADDR) & WORD_MASK
    if opcode_of(words) == Opcode.GEMM:
        found[0] = int(Opcode.GEMM)
    return tuple(found[:WORDS])


def is_good_row(position, session, left, mem_bytes=MEM_BYTES):
    """The code of a batch's row that is looked at."""
    if position + left > CONTEXT:
        return JobCode.POSITION
    if session % 16:
        return JobCode.ALIGN
    return JobCode.MEMORY if session + SESSION_BYTES > mem_bytes else JobCode.OK


@dataclass
class Outcome:
    """What a RUN does with engines that end as their records say."""

    code: JobCode = JobCode.OK
    tokens: list = field(default_factory=list)   # that were chosen
    begun: list = field(default_factory=list)    # (record's words, what its engine sees), in the program's order
    run_tokens: int = 0
    run_record: int = 0
    behind: tuple = ()                           # what its engine would see of the record behind one that failed


def expected(program, *, count=1, token=3, position=0, prompt=None, listed=False, more=False):
    """Run a good program without a machine; `prompt` are tokens in memory.

    Returns
    -------
    Outcome
    """
    found = Outcome()
    for turn in range(count):
        token = prompt[turn] if prompt else token
        if token >= VOCABULARY:
            found.code = JobCode.PROGRAM
            return found
        known = prompt and (more or turn < count - 1)
        row   = turn % program.rows
        ends  = known and program.prompt_records
        if row < program.rows - 1:
            ends = program.token_records
        records = program.records[:ends - 1 if ends else None]
        chosen  = None
        for index, words in enumerate(records, 1):
            seen   = seen_words(words, position, token, listed, row)
            chosen = seen[CHOICE] if is_select(words) else chosen
            found.begun.append((words, seen))
            if seen[CODE] & 15:
                found.code, found.run_record = JobCode(seen[CODE] & 15), index
                if index < len(records):
                    found.behind = seen_words(records[index], position, token, listed, row)
                return found
        if not known and chosen is None:
            found.code = JobCode.PROGRAM
            return found
        found.run_tokens += 1
        position += 1
        if not known:
            token = chosen
            found.tokens.append(token)
            if not prompt and token in program.end_ids:
                return found
    return found


def expected_batch(program, table, *, count=1, position=0, listed=False):
    """Run a good program of a batch without a machine; `table` are (token, position, session) of its rows.

    Returns
    -------
    Outcome
    """
    found, tokens = Outcome(), [token for token, *_ in table]
    for turn in range(count):
        rows = [(first + position + turn, session) for _, first, session in table]
        for row, (token, (here, session)) in enumerate(zip(tokens, rows, strict=True)):
            found.code = is_good_row(here, session, count - turn)
            if found.code == JobCode.OK and token >= VOCABULARY:
                found.code = JobCode.PROGRAM
            if found.code != JobCode.OK:
                return found
            records = program.records[:None if row == len(table) - 1 else program.token_records - 1]
            chosen  = []
            for index, words in enumerate(records, 1):
                seen    = seen_words(words, here, token, listed, row, rows)
                chosen += [seen[CHOICE]] if is_select(words) else []
                found.begun.append((words, seen))
                if seen[CODE] & 15:
                    found.code, found.run_record = JobCode(seen[CODE] & 15), index
                    return found
        if len(chosen) != len(table):
            found.code = JobCode.PROGRAM
            return found
        tokens = chosen
        found.tokens += tokens
        found.run_tokens += 1
        if set(tokens) & set(program.end_ids):
            return found
    return found
