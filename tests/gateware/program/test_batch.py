# SPDX-License-Identifier: BSD-2-Clause
"""Batches in the sequencer: each row's token, position and session, all that a row may have wrong, every end."""

import numpy as np
import pytest

from mixpe_gateware.contract.descriptor import Opcode
from mixpe_gateware.contract.jobs import JobCode
from mixpe_gateware.contract.program.records import NO_TOKEN, OF_ROW, PATCHES, Source

from .records import (
    CODE,
    CONTEXT,
    MEM_BYTES,
    PROGRAM_ADDR,
    SESSION_BYTES,
    TOKENS_ADDR,
    Program,
    random_record,
    record,
    run_of,
    select,
)


def batch(rng, rows, *, records=6, token_records=3, **options):
    """A program whose rows choose tokens of their own positions."""
    found = [random_record(rng, number, fences=3) for number in range(token_records - 1)]
    found += [random_record(rng, 20 + number, fences=3, rows=rows) for number in range(records)]
    found += [select(90 + row, base=20 + 100*row, stride=5, row=row) for row in range(rows)]
    return Program(found, rows=rows, token_records=token_records, **options)


def table_of(rng, rows, positions=40):
    """Rows as they should be."""
    return [(int(rng.integers(5000)), int(rng.integers(positions)), 0x10000 + 0x1000*int(rng.integers(8)))
        for _ in range(rows)]


@pytest.mark.parametrize("memory_bits", [16, 32, 64, 128])
def test_random_batches(memory_bits, open_programs, run_and_compare, seeded):
    harness = open_programs(memory_bits)
    for seed in range(16):
        rng  = seeded(seed)
        rows = int(rng.choice([1, 2, 3, 4, 8]))
        outcome = run_and_compare(harness, batch(rng, rows, token_records=int(rng.integers(1, 4))), seed=seed, tag=seed,
            stall=float(rng.choice([0, 0.3, 0.8])), table=table_of(rng, rows), count=int(rng.integers(1, 4)),
            position=int(rng.integers(8)), listed=bool(seed % 2))
        assert outcome.code == JobCode.OK and len(outcome.tokens) == rows*outcome.run_tokens


def test_the_most_rows(open_programs, run_and_compare, seeded):
    rng = seeded(0)
    outcome = run_and_compare(open_programs(), batch(rng, 64, records=0, token_records=1), table=table_of(rng, 64),
        stall=0.3)
    assert outcome.run_tokens == 1 and len(outcome.tokens) == 64


def test_a_run_ends_with_any_row(open_programs, run_and_compare, seeded):
    """Behind its pass: the others' tokens of that pass are there."""
    harness, rng = open_programs(), seeded(0)
    for row in range(3):
        for place in range(4):
            ids = [NO_TOKEN]*4
            ids[place] = 20 + 100*row + 5*(7 + row + 2)
            table = [(1, 7 + each, 0x10000 + 0x1000*each) for each in range(3)]
            outcome = run_and_compare(harness, batch(rng, 3, end_ids=tuple(ids)), table=table, count=5, stall=0.3,
                seed=place)
            assert outcome.run_tokens == 3 and len(outcome.tokens) == 9


def test_rows_that_are_refused(open_programs, run_and_compare, seeded):
    harness, rng = open_programs(), seeded(0)
    last = CONTEXT - 3
    for row in range(3):
        for code, passes, wrong in ((JobCode.POSITION, 0, (3, last + 1, 0x11000)), (JobCode.OK, 3, (3, last, 0x11000)),
                (JobCode.POSITION, 0, (3, 0xFFFFFFFF, 0x11000)), (JobCode.ALIGN, 0, (3, 0, 0x11008)),
                (JobCode.MEMORY, 0, (3, 0, MEM_BYTES - SESSION_BYTES + 16)),
                (JobCode.OK, 3, (3, 0, MEM_BYTES - SESSION_BYTES)), (JobCode.MEMORY, 0, (3, 0, 0xFFFFFFF0)),
                (JobCode.PROGRAM, 0, (5000, 0, 0x11000))):
            table = table_of(rng, 3)
            table[row] = wrong
            outcome = run_and_compare(harness, batch(rng, 3), table=table, count=3, seed=row)
            assert (outcome.code, outcome.run_tokens) == (code, passes)


def test_a_token_that_a_row_chose_is_of_no_vocabulary(open_programs, run_and_compare):
    program = Program([select(1, row=0), select(2, base=4995, stride=3, row=1)], rows=2)
    table   = [(1, 0, 0x10000), (2, 0, 0x11000)]
    outcome = run_and_compare(open_programs(), program, table=table, count=4)
    assert (outcome.code, outcome.run_tokens) == (JobCode.PROGRAM, 3)


def test_choices_are_as_many_as_rows(open_programs, run_and_compare):
    harness = open_programs()
    table   = [(1, 0, 0x10000), (2, 4, 0x11000)]
    for choices in (0, 1, 3, 66):
        program = Program([record(Opcode.VECTOR, w4=1), *[select(2, row=0) for _ in range(choices)]], rows=2)
        outcome = run_and_compare(harness, program, table=table)
        assert (outcome.code, outcome.run_tokens) == (JobCode.PROGRAM, 0)
    program = Program([select(1), select(2, row=1), select(3, row=0)], rows=2, token_records=2)
    assert run_and_compare(harness, program, table=table).code == JobCode.PROGRAM  # the last row's pass has three


def run_alone(harness, program, begun, **fields):
    """Run without a model of it: code and registers; so many of its records begin, all VECTOR."""
    harness.load(np.array([1, 0, 0x10000, 0, 2, 4, 0x11000, 0], "<u4"), TOKENS_ADDR)
    harness.load(program.words(), PROGRAM_ADDR)
    harness.post(run_of(**fields))
    (_, code, _), = harness.run(1, limit_cycles=20_000)
    harness.log([0, begun, 0])
    return code, harness.registers()


def test_records_of_no_row(open_programs):
    """One that the batch has not, one by another word, one not in the first place, and any in another run."""
    harness, good = open_programs(), select(2, row=1)
    for place, value in ((0, OF_ROW << 4 | 2 << 8), (0, OF_ROW << 4 | 0xFF << 8), (0, OF_ROW << 4 | 1),
            (1, OF_ROW << 4 | 1 | 1 << 8)):
        wrong = list(good)
        wrong[PATCHES[place]] = value
        found = run_alone(harness, Program([select(1, row=0), wrong], rows=2), 1, batch=True)
        assert found == (JobCode.PROGRAM, {"run_tokens": 0, "run_record": 2})
    found = run_alone(harness, Program([select(1), good]), 1)
    assert found == (JobCode.PROGRAM, {"run_tokens": 0, "run_record": 2})
    found = run_alone(harness, Program([select(1, row=0), good], rows=2), 2, batch=True)
    assert found == (JobCode.OK, {"run_tokens": 1, "run_record": 0})


def test_a_prompt_is_no_batch(open_programs):
    harness, program = open_programs(), Program([select(1, row=0), select(2, row=1)], rows=2)
    for change in ({"prompt": True}, {"more": True}):
        found = run_alone(harness, program, 0, batch=True, **change)
        assert found == (JobCode.UNSUPPORTED, {"run_tokens": 0, "run_record": 0})


def test_a_record_that_fails_in_a_later_pass(open_programs, run_and_compare):
    """By its row's position; what was chosen before it counts for every row."""
    program = Program([select(1, row=0), select(2, row=1),
        record(Opcode.VECTOR, fence=True, w4=3, row=1, patches=[(CODE, Source.POSITION, 8)], w6=24)], rows=2)
    outcome = run_and_compare(open_programs(), program, table=[(1, 0, 0x10000), (2, 9, 0x11000)], count=5)
    assert (outcome.code, outcome.run_tokens, outcome.run_record) == (8, 1, 3) and len(outcome.tokens) == 2
