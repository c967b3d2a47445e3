# SPDX-License-Identifier: BSD-2-Clause
"""Passes: prompts, counts, ids that end a text, jobs of the host around a run."""

import pytest

from mixpe_gateware.contract.descriptor import Opcode
from mixpe_gateware.contract.jobs import Job, JobCode
from mixpe_gateware.contract.program.records import NO_TOKEN

from .records import NUMBER, PROGRAM_ADDR, Program, expected, random_record, record, run_of, select

MOST = 200_000  # cycles


def small_program(rng, **options):
    return Program([*[random_record(rng, number) for number in range(6)], select(99, base=20, stride=5)], **options)


@pytest.mark.parametrize("memory_bits", [16, 32, 64, 128])
def test_prompts(memory_bits, open_programs, run_and_compare, seeded):
    """Tokens at any place of the memory's word; passes but the last end early; the choice goes behind them."""
    harness = open_programs(memory_bits)
    rng = seeded(0)
    for size in (1, 2, 5, 9):
        program = small_program(rng, prompt_records=int(rng.integers(1, 8)))
        prompt  = [int(token) for token in rng.integers(0, 5000, size)]
        outcome = run_and_compare(harness, program, seed=size, stall=0.3, count=size, prompt=prompt, position=11)
        assert outcome.code == JobCode.OK and len(outcome.tokens) == 1


@pytest.mark.parametrize("memory_bits", [16, 128])
def test_passes_of_several_tokens(memory_bits, open_programs, run_and_compare, seeded):
    """Some records for each token, the others once a pass; a run that ends within one, or with nothing chosen."""
    harness, rng = open_programs(memory_bits), seeded(0)
    for seed, (rows, count, more) in enumerate(((1, 3, True), (2, 2, False), (2, 6, True), (4, 8, False), (3, 9, False),
            (64, 10, False), (64, 10, True), (2, 3, False), (3, 4, True), (5, 5, False))):
        program = small_program(rng, prompt_records=int(rng.integers(4, 8)), rows=rows,
            token_records=int(rng.integers(1, 5)))
        prompt  = [int(token) for token in rng.integers(0, 5000, count)]
        outcome = run_and_compare(harness, program, seed=seed, stall=0.3, count=count, prompt=prompt, position=7,
            more=more)
        whole = count % rows == 0
        assert outcome.code == (JobCode.OK if more or whole else JobCode.PROGRAM)
        assert len(outcome.tokens) == (not more and whole)
    outcome = run_and_compare(harness, small_program(rng, rows=2), count=2)
    assert (outcome.code, outcome.run_tokens) == (JobCode.PROGRAM, 0), "tokens of such a pass are known"


def test_ids_that_end_a_text(open_programs, run_and_compare, seeded):
    """Each of the four; a prompt goes on behind one."""
    harness, rng = open_programs(), seeded(0)
    for place in range(4):
        ids = [NO_TOKEN]*4
        ids[place] = 20 + 5*2  # what the third pass chooses
        outcome = run_and_compare(harness, small_program(rng, end_ids=tuple(ids)), seed=place, stall=0.3, count=9)
        assert outcome.tokens == [20, 25, 30] and outcome.run_tokens == 3
    outcome = run_and_compare(harness, small_program(rng, end_ids=(20, 25, 30, 35)), count=5,
        prompt=[20, 25, 30, 35, 20])
    assert outcome.run_tokens == 5 and outcome.tokens == [40]


def test_the_largest_run_of_a_context(open_programs, run_and_compare, seeded):
    """Its last position is the context's last one."""
    outcome = run_and_compare(open_programs(), small_program(seeded(0)), count=20, position=44)
    assert outcome.run_tokens == 20


def test_a_token_of_no_vocabulary(open_programs, run_and_compare, seeded):
    """The first one, one that a prompt has, and one that an engine chose."""
    harness, rng = open_programs(), seeded(0)
    last = run_and_compare(harness, small_program(rng), token=4999)
    assert last.code == JobCode.OK
    for fields in ({"token": 5000}, {"token": 0xFFFFFFFF}, {"count": 3, "prompt": [1, 5000, 2]}):
        outcome = run_and_compare(harness, small_program(rng), **fields)
        assert (outcome.code, outcome.run_tokens) == (JobCode.PROGRAM, int("prompt" in fields))
    outcome = run_and_compare(harness, Program([select(1, base=4990, stride=9)]), count=4)
    assert (outcome.code, outcome.run_tokens, outcome.tokens) == (JobCode.PROGRAM, 3, [4990, 4999, 5008])


def test_jobs_of_the_host_around_a_run(open_programs, check_begun, seeded):
    """They pass as they are, in order; VECTOR and ATTENTION go to the first engine, which refuses them."""
    harness, rng = open_programs(), seeded(0)
    program = small_program(rng)
    harness.load(program.words(), PROGRAM_ADDR)

    def job(number, opcode=Opcode.GEMM, **fields):
        return Job(weights_addr=number, act_addr=2, out_addr=3, n=number, k=5, m=JobCode.OK, group=7, out_bytes=9,
            tag=number, opcode=opcode, **fields)

    for seed in range(8):
        harness.setup(seed=seed, stall=[0, 0.5][seed % 2], latency_cycles=9)
        jobs = [job(1), job(2, fence=True), job(3, Opcode.VECTOR), job(4, Opcode.ATTENTION), job(6), job(7)]
        for each in jobs[:5]:
            harness.post(each.words())
        harness.post(run_of(tag=5))
        harness.post(jobs[5].words())
        ended = harness.run(7, limit_cycles=MOST)
        assert [(tag, code) for tag, code, _ in ended] == [(tag, JobCode.OK) for tag in (1, 2, 3, 4, 6, 5, 7)]
        (before, _, _) = harness.log([5, 0, 0])
        assert [words[:11] for words, *_ in before] == [(*each.words(), each.tag)[:10] + (words[10],)
            for each, (words, *_) in zip(jobs, before, strict=False)]
        assert before[1][2][0] == 1, "behind its fence the one before has ended"
        check_begun(harness, expected(program))
        (after, _, _) = harness.log([1, 0, 0])
        assert after[0][0][NUMBER] == 7 and after[0][2] == (0, 0, 0), "all records have ended"


def test_a_pass_without_a_choice(open_programs, run_and_compare, check_begun):
    harness = open_programs()
    for records in ([], [record(Opcode.GEMM, w3=0x8000, w4=1)]):
        harness.load(Program(records).words(), PROGRAM_ADDR)
        harness.post(run_of(tag=3))
        assert harness.run(1, limit_cycles=MOST)[0][:2] == (3, JobCode.PROGRAM)
        assert harness.registers() == {"run_tokens": 0, "run_record": 0}
        harness.log([len(records), 0, 0])
    run_and_compare(harness, Program([select(1)]), count=2)
