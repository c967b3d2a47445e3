# SPDX-License-Identifier: BSD-2-Clause
"""Runs of a batch on bytes: each row as its session alone, faults of a row, and what is left alone by them."""

import numpy as np
import pytest

from mixpe_gateware.contract.config import Config
from mixpe_gateware.contract.descriptor import Opcode
from mixpe_gateware.contract.errors import RangeError
from mixpe_gateware.contract.jobs import JobCode
from mixpe_gateware.contract.program import golden, vector
from mixpe_gateware.contract.program.execute import ProgramRunner
from mixpe_gateware.contract.program.records import NO_TOKEN, OF_ROW, ROWS_MAX, Function, Source, named_row
from mixpe_gateware.contract.program.run import ROW_BYTES, run_words, tokens_bytes
from mixpe_gateware.contract.program.words import record_words, sealed

CONFIG  = Config(rows=2, port_bits=128, k_max=512, decoder=True, context_max=128)
PROGRAM_AT, TOKENS = 0x6000, golden.SESSION + 0x2000
ROW     = 4*golden.D


class Batches:
    """A memory with the golden vectors' batch of two rows, or a change of it."""

    def __init__(self, change=lambda records: records):
        self.data = np.random.default_rng(2).integers(0, 256, golden.MEM_BYTES).astype(np.uint8)
        self.table = np.random.default_rng(1).normal(size=(golden.D, golden.D)).astype(np.float32)
        self.put(0, self.table)
        records = golden.batch_program()
        records[0][6] = NO_TOKEN
        self.put(PROGRAM_AT, np.array(sealed(change(records), golden.IDENTITY), np.uint32))
        self.runner = ProgramRunner(CONFIG, self.data, lambda job: JobCode.OK)

    def put(self, address, array):
        raw = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
        self.data[address:address + raw.size] = raw

    def run(self, *rows, **change):
        self.put(TOKENS, np.array([[*row, 0] for row in rows], "<u4"))
        return self.runner.run(run_words(**{"program_addr": PROGRAM_AT, "tokens_addr": TOKENS,
            "state_addr": golden.SESSION, "state_bytes": 0x1000, "token": 0, "position": 0, "count": 1,
            "identity": golden.IDENTITY, "prompt": False, "batch": True, "tag": 0} | change))

    def tokens(self, passes):
        at = TOKENS + 2*ROW_BYTES
        return self.data[at:at + 8*passes].view("<u4").reshape(passes, 2).tolist()

    def session(self, row, position):
        """What a row left at a position."""
        at = golden.SESSIONS[row] + ROW*position
        return self.data[at:at + ROW].view("<f4")

    def next(self, token):
        return int(self.table[token].argmax())


GOOD = (3, 0, golden.SESSIONS[0]), (7, 5, golden.SESSIONS[1])


def test_each_row_goes_its_own_way():
    runs = Batches()
    assert runs.run(*GOOD, count=4) == JobCode.OK and runs.runner.run_tokens == 4
    tokens = [[3, 7]]
    for _ in range(4):
        tokens.append([runs.next(token) for token in tokens[-1]])
    assert runs.tokens(4) == tokens[1:]
    for row, first in enumerate((0, 5)):
        for index in range(4):
            np.testing.assert_array_equal(runs.session(row, first + index), runs.table[tokens[index][row]])
    assert runs.runner.records == 4*(1 + 6)


@pytest.mark.parametrize("cut", [1, 3])
def test_two_runs_are_one(cut):
    whole, parts = Batches(), Batches()
    assert whole.run(*GOOD, count=4) == JobCode.OK
    assert parts.run(*GOOD, count=cut) == JobCode.OK
    rows = [(token, row[1], row[2]) for token, row in zip(parts.tokens(cut)[-1], GOOD, strict=True)]
    assert parts.run(*rows, count=4 - cut, position=cut) == JobCode.OK
    assert parts.tokens(4 - cut) == whole.tokens(4)[cut:]
    np.testing.assert_array_equal(parts.data[:TOKENS], whole.data[:TOKENS])


def test_rows_that_repeat_each_other():
    one, two = Batches(), Batches()
    assert one.run(GOOD[0], GOOD[0], count=3) == JobCode.OK
    assert two.run(*GOOD, count=3) == JobCode.OK
    assert [first for first, _ in two.tokens(3)] == [first for first, _ in one.tokens(3)]
    assert all(first == second for first, second in one.tokens(3))
    first, last = golden.SESSIONS
    np.testing.assert_array_equal(one.data[first:last], two.data[first:last])


def test_a_run_ends_behind_the_pass_in_which_a_row_ends():
    free = Batches()
    free.run(*GOOD, count=3)
    end = free.tokens(3)[1][1]
    assert end not in free.tokens(1)[0]
    for place in (6, 7, 9, 10):
        def ends(records, place=place):
            records[0][place] = end
            return records
        runs = Batches(ends)
        assert runs.run(*GOOD, count=3) == JobCode.OK and runs.runner.run_tokens == 2
        assert runs.tokens(2) == free.tokens(2)


@pytest.mark.parametrize("code, rows, change", [
    (JobCode.UNSUPPORTED, GOOD, {"prompt": True}), (JobCode.UNSUPPORTED, GOOD, {"more": True}),
    (JobCode.MEMORY, GOOD, {"tokens_addr": golden.MEM_BYTES - tokens_bytes(1, False, True) + 4}),
    (JobCode.POSITION, (GOOD[0], (7, golden.CONTEXT - 1, golden.SESSIONS[1])), {"count": 2}),
    (JobCode.POSITION, (GOOD[0], (7, golden.CONTEXT, golden.SESSIONS[1])), {}),
    (JobCode.POSITION, (GOOD[0], (7, 0xFFFFFFFF, golden.SESSIONS[1])), {}),
    (JobCode.POSITION, ((3, golden.CONTEXT - 3, golden.SESSIONS[0]), GOOD[1]), {"position": 3}),
    (JobCode.ALIGN, (GOOD[0], (7, 5, golden.SESSIONS[1] + 8)), {}),
    (JobCode.MEMORY, (GOOD[0], (7, 5, golden.MEM_BYTES - 0x400)), {}),
    (JobCode.PROGRAM, (GOOD[0], (golden.D, 5, golden.SESSIONS[1])), {}),
])
def test_a_row_that_is_refused_leaves_all_sessions_alone(code, rows, change):
    runs   = Batches()
    before = runs.data.copy()
    assert runs.run(*rows, **change) == code and runs.runner.run_tokens == runs.runner.run_record == 0
    at = golden.SESSION + 2*ROW  # the rows' embedding may be there
    np.testing.assert_array_equal(runs.data[at:TOKENS], before[at:TOKENS])
    assert runs.run(*GOOD) == JobCode.OK


def test_a_row_writes_to_its_session_alone():
    """At a position that the session's memory has not: what lies behind stays, and the others' too."""
    runs   = Batches()
    before = runs.data.copy()
    assert runs.run((3, golden.ROW_ROOM//ROW, golden.SESSIONS[0]), GOOD[1]) == JobCode.MEMORY
    assert runs.runner.run_record == 2
    first = golden.SESSIONS[0]
    np.testing.assert_array_equal(runs.data[first:TOKENS], before[first:TOKENS])


def test_a_number_out_of_range_in_one_row(monkeypatch):
    runs, ends = Batches(), vector._RESULTS[Function.SELECT]

    def fails(operands):
        if operands.record.a_addr == golden.SESSION + ROW and runs.runner.run_tokens == 2:
            raise RangeError("too large")
        return ends(operands)

    monkeypatch.setitem(vector._RESULTS, Function.SELECT, fails)
    assert runs.run(*GOOD, count=4) == JobCode.RANGE
    assert (runs.runner.run_tokens, runs.runner.run_record) == (2, 6)
    monkeypatch.undo()
    whole = Batches()
    assert whole.run(*GOOD, count=2) == JobCode.OK and runs.tokens(2) == whole.tokens(2)


@pytest.mark.parametrize("record, word, value", [
    (2, 13, 2 << 8 | OF_ROW << 4), (2, 13, OF_ROW << 4 | 1), (2, 14, OF_ROW << 4 | 1 << 8), (5, 0, 5)])
def test_records_of_no_row(record, word, value):
    def change(records):
        records[record][word] = value
        return records
    runs = Batches(change)
    assert runs.run(*GOOD) == JobCode.PROGRAM and runs.runner.run_tokens == 0
    assert runs.runner.run_record == record


@pytest.mark.parametrize("records", [[0, 1, 2, 3, 4, 5, 2], [0, 1, 2, 3, 5, 6, 6]])
def test_a_choice_too_few_or_too_many(records):
    runs = Batches(lambda found: [list(found[index]) for index in records])
    assert runs.run(*GOOD) == JobCode.PROGRAM
    assert (runs.runner.run_tokens, runs.runner.run_record) == (0, 0)


def test_no_row_is_named_but_in_a_batch():
    runs = Batches()
    assert runs.run(*GOOD, batch=False) == JobCode.PROGRAM and runs.runner.run_record == 0
    def alone(records):
        records[0][11], records[0][13] = 1, 1
        return records
    runs = Batches(alone)
    assert runs.run(*GOOD, batch=False) == JobCode.PROGRAM and runs.runner.run_record == 2


def test_words_of_a_row():
    words = record_words(Opcode.VECTOR, {}, relative=("a_addr", "out_addr"), row=5, own=("out_addr",),
        patches=(("out_addr", Source.POSITION, 7),))
    assert named_row(words) == (5, 4) and words[14] == 3 | 7 << 8 and words[15] == 0
    assert named_row(record_words(Opcode.VECTOR, {})) is None
    with pytest.raises(ValueError, match="zip"):
        record_words(Opcode.VECTOR, {}, row=0, patches=(("out_addr", Source.POSITION, 7),)*3)
    assert tokens_bytes(3, False, True) == ROWS_MAX*28 and tokens_bytes(3, True, False) == 16
