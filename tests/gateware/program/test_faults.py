# SPDX-License-Identifier: BSD-2-Clause
"""What is wrong with a run, program or record ends it with a code and the record's number; the next one is right."""

import numpy as np
import pytest

from mixpe_gateware.contract.descriptor import Opcode
from mixpe_gateware.contract.jobs import JobCode
from mixpe_gateware.contract.program.records import OP, PATCHES, RECORD_BYTES, Source

from .records import (
    CODE,
    ENGINES,
    HANG,
    LOG_ADDR,
    MEM_BYTES,
    NUMBER,
    PROGRAM_ADDR,
    STATE_ADDR,
    STATE_BYTES,
    TOKENS_ADDR,
    Program,
    expected,
    opcode_of,
    random_record,
    record,
    run_of,
    select,
)

MOST = 200_000  # cycles


def program_of(rng, size=8, **options):
    return Program([*[random_record(rng, number) for number in range(size)], select(99)], **options)


@pytest.fixture
def refused(run_and_compare, seeded):
    """A run ends with a code before its first record, changes nothing, and the next one is right."""

    def refused_(harness, code, words, run, *, seed=0, stall=0.0):
        harness.setup(seed=seed, stall=stall)
        harness.load(words, PROGRAM_ADDR)
        before = np.array(harness.memory)
        harness.post(run)
        assert harness.run(1, limit_cycles=MOST)[0][1] == code
        assert harness.registers() == {"run_tokens": 0, "run_record": 0}
        assert (harness.memory == before).all()
        run_and_compare(harness, program_of(seeded(seed), 3), seed=seed, stall=stall)

    return refused_


HIGH = 0xFFFFFFFF
RUNS = [
    (JobCode.ALIGN,    {"program_addr": PROGRAM_ADDR + 4}),
    (JobCode.ALIGN,    {"state_addr": STATE_ADDR + 8}),
    (JobCode.ALIGN,    {"tokens_addr": TOKENS_ADDR + 2}),
    (JobCode.MEMORY,   {"program_addr": MEM_BYTES}),
    (JobCode.MEMORY,   {"program_addr": 0x100000000 - RECORD_BYTES}),
    (JobCode.MEMORY,   {"state_addr": MEM_BYTES - STATE_BYTES + 16}),
    (JobCode.MEMORY,   {"state_bytes": HIGH}),
    (JobCode.MEMORY,   {"tokens_addr": MEM_BYTES}),
    (JobCode.MEMORY,   {"tokens_addr": MEM_BYTES - 8, "count": 2, "prompt": True}),
    (JobCode.POSITION, {"count": 0}),
    (JobCode.POSITION, {"position": 64}),
    (JobCode.POSITION, {"position": 62, "count": 3}),
    (JobCode.POSITION, {"position": HIGH}),
    (JobCode.PROGRAM,  {"identity": 1}),
    (JobCode.PROGRAM,  {"program_addr": PROGRAM_ADDR + 2*RECORD_BYTES}),
    (JobCode.MEMORY,   {"state_bytes": STATE_BYTES - 1}),
    (JobCode.PROGRAM,  {"token": 5000}),
]
HEADERS = [
    (JobCode.PROGRAM,  {"magic": 1}),
    (JobCode.PROGRAM,  {"identity": 2}),
    (JobCode.PROGRAM,  {"records": 0}),
    (JobCode.PROGRAM,  {"records": 4097}),
    (JobCode.PROGRAM,  {"records": HIGH}),
    (JobCode.PROGRAM,  {"prompt_records": 10 + 1}),
    (JobCode.PROGRAM,  {"rows": 0}),
    (JobCode.PROGRAM,  {"rows": 65}),
    (JobCode.PROGRAM,  {"token_records": 0}),
    (JobCode.PROGRAM,  {"token_records": 11}),
    (JobCode.MEMORY,   {"records": 4096}),
    (JobCode.MEMORY,   {"state_bytes": STATE_BYTES + 1}),
    (JobCode.MEMORY,   {"state_bytes": HIGH}),
    (JobCode.POSITION, {"context": 0}),
    (JobCode.PROGRAM,  {"vocabulary": 3}),
]


def test_runs_that_are_refused(open_programs, refused, seeded):
    harness = open_programs(watchdog_cycles=1 << 14)
    words = program_of(seeded(1)).words()
    for seed, (code, fields) in enumerate(RUNS):
        print(fields)
        refused(harness, code, words, run_of(**fields), seed=seed, stall=0.2*(seed % 2))
    for word, bit in ((0, 9), (0, 31), (7, 20), (7, 31)):
        run = run_of()
        run[word] |= 1 << bit
        refused(harness, JobCode.UNSUPPORTED, words, run)


def test_headers_that_are_refused(open_programs, refused, seeded):
    """Each of them with a check word that is right; `MEMORY` for 4096 records needs a program near the memory's end."""
    harness = open_programs()
    for seed, (code, header) in enumerate(HEADERS):
        print(header)
        words = program_of(seeded(1), header=header).words()
        if header == {"records": 4096}:
            harness.load(words, MEM_BYTES - 0x1000)
            refused(harness, code, words, run_of(program_addr=MEM_BYTES - 0x1000), seed=seed)
        else:
            refused(harness, code, words, run_of(), seed=seed, stall=0.3*(seed % 2))


@pytest.fixture
def damaged(run_and_compare, check_begun, seeded):
    """A program that lies otherwise in memory: it ends at `number` with a code, what is before has run."""

    def damaged_(harness, program, words, number, code, seed):
        harness.setup(seed=seed, stall=[0, 0.4][seed % 2], latency_cycles=1 + seed % 20)
        harness.load(words, PROGRAM_ADDR)
        before = np.array(harness.memory)
        harness.post(run_of(tag=seed))
        assert harness.run(1, limit_cycles=MOST)[0][:2] == (seed, code)
        assert harness.registers() == {"run_tokens": 0, "run_record": number}
        assert (harness.memory == before)[:LOG_ADDR].all()
        outcome = expected(program)
        outcome.begun = outcome.begun[:number - 1]
        check_begun(harness, outcome)
        run_and_compare(harness, program, seed=seed)

    return damaged_


@pytest.mark.parametrize("memory_bits", [16, 128])
def test_a_bit_of_any_record(memory_bits, open_programs, damaged, seeded):
    """Flipped in memory: nothing of that record is begun."""
    harness, rng = open_programs(memory_bits), seeded(0)
    program = program_of(rng)
    for seed in range(60):
        words  = program.words()
        number = int(rng.integers(1, len(words)))
        words[number, int(rng.integers(16))] ^= 1 << int(rng.integers(32))
        damaged(harness, program, words, number, JobCode.PROGRAM, seed)


def test_records_that_changed_places(open_programs, damaged, seeded):
    harness, rng = open_programs(), seeded(0)
    program = program_of(rng)
    for number in range(1, 8):
        words = program.words()
        words[[number, number + 1]] = words[[number + 1, number]]
        damaged(harness, program, words, number, JobCode.PROGRAM, number)


def test_records_that_no_engine_may_have(open_programs, damaged, seeded):
    """Opcodes, patches and places of results, each right but for that."""
    harness, rng = open_programs(), seeded(0)
    gemm = record(Opcode.GEMM, relative=(3,), w3=STATE_BYTES - 256, w8=256)
    bad  = []
    for opcode in (0, Opcode.RUN, 5, 255):
        bad.append((JobCode.PROGRAM, [OP.field("opcode").put(opcode), *gemm[1:]]))
    for place in PATCHES:
        for word, source in ((0, 0), (12, 0), (13, 1), (15, 2), (1, 6), (1, 15)):
            words = list(gemm)
            words[place] = word | source << 4 | 1 << 8
            bad.append((JobCode.PROGRAM, words))
    for w3, w8 in ((STATE_BYTES - 255, 256), (STATE_BYTES + 1, 0), (-1, 1), (-1, 0), (0, STATE_BYTES + 1), (0, -1),
            (STATE_BYTES - 256, 0x100000000 - 16)):
        bad.append((JobCode.MEMORY, record(Opcode.GEMM, relative=(3,), w3=w3, w8=w8)))
    bad.append((JobCode.MEMORY, record(Opcode.GEMM, w3=STATE_ADDR - 1, w8=1)))
    bad.append((JobCode.MEMORY, record(Opcode.GEMM, relative=(3,), patches=[(3, Source.COUNT, 1)], w3=STATE_BYTES - 256,
        w8=256)))
    bad.append((JobCode.MEMORY, record(Opcode.GEMM, relative=(3,), patches=[(8, Source.COUNT, 1)], w3=STATE_BYTES - 256,
        w8=256)))
    for seed, (code, words) in enumerate(bad):
        records = [random_record(rng, number) for number in range(6)]
        number  = int(rng.integers(6))
        program = Program([*records[:number], words, *records[number:], select(99)])
        good    = Program([*records[:number], gemm, *records[number:], select(99)])
        damaged(harness, good, program.words(), number + 1, code, seed)


def test_patches_without_a_stride_add_nothing(open_programs, run_and_compare, seeded):
    """Whatever word and source they name."""
    rng = seeded(0)
    program = program_of(rng)
    for words in program.records[:-1]:
        for place in PATCHES:
            words[place] = int(rng.integers(256))
    run_and_compare(open_programs(), program, position=5)


@pytest.mark.parametrize("memory_bits", [32, 128])
def test_a_record_that_fails(memory_bits, open_programs, run_and_compare, seeded):
    """Any of them, with any code; all are behind fences, so that nothing behind it begins."""
    harness, rng = open_programs(memory_bits), seeded(0)
    for seed in range(40):
        program = program_of(rng)
        for words in program.records:
            words[0] |= OP.field("fence").mask
        number, code = int(rng.integers(len(program.records))), int(rng.integers(1, 14))
        program.records[number][CODE] = code
        outcome = run_and_compare(harness, program, seed=seed, stall=[0, 0.4][seed % 2], count=2)
        assert (outcome.code, outcome.run_record, outcome.run_tokens) == (code, number + 1, 0)


def test_the_first_in_the_program_counts(open_programs, seeded, run_and_compare):
    """Several fail while they overlap, in whatever order: the code is the first one's of the program."""
    harness, rng = open_programs(), seeded(0)
    for seed in range(60):
        records = [record(ENGINES[int(rng.integers(3))], w3=STATE_ADDR, w4=number) for number in range(6)]
        failing = sorted(int(number) for number in rng.choice(6, int(rng.integers(2, 4)), replace=False))
        for number in failing:
            records[number][CODE] = int(rng.integers(1, 14))
        harness.setup(seed=seed, stall=[0, 0.3][seed % 2])
        harness.load(Program([*records, select(99)]).words(), PROGRAM_ADDR)
        harness.post(run_of(tag=seed))
        assert harness.run(1, limit_cycles=MOST)[0][:2] == (seed, records[failing[0]][CODE])
        assert harness.registers() == {"run_tokens": 0, "run_record": failing[0] + 1}
        harness.reset()  # how many had begun is not known
        harness.forget()
        harness.idle(100)
        run_and_compare(harness, program_of(rng, 3), seed=seed)


def test_a_failure_in_a_later_pass(open_programs, run_and_compare, seeded):
    """Tokens before it are in memory and counted."""
    harness, rng = open_programs(), seeded(0)
    for seed in range(10):
        program = program_of(rng, 4)
        failing = program.records[2]
        failing[0] |= OP.field("fence").mask
        failing[PATCHES[0]:] = [CODE | Source.POSITION << 4 | 3 << 8, 0, 0]  # code 3·position: OK at 0
        program.records[3][0] |= OP.field("fence").mask
        outcome = run_and_compare(harness, program, seed=seed, stall=0.2, count=3)
        assert (outcome.code, outcome.run_tokens, outcome.run_record) == (JobCode.ROWS, 1, 3)


def wait_for_begin(harness, records, number):
    """Run until the engine of a record of the program has logged it."""
    opcode = opcode_of(records[number])
    entry  = harness.entry(ENGINES.index(opcode), sum(opcode_of(words) == opcode for words in records[:number]))
    entry[:] = 0xFFFFFFFF
    for _ in range(4000):
        harness.idle(3)
        if entry[NUMBER] == records[number][NUMBER] and entry[-1] != 0xFFFFFFFF:
            return
    raise AssertionError(f"record {number + 1} was not begun")


@pytest.mark.parametrize("by", ["abort", "watchdog"])
def test_an_end_at_any_record(by, open_programs, run_and_compare, seeded):
    """One that hangs: an abort or the watchdog ends the run, registers say where, a cleared device is as new."""
    harness, rng = open_programs(watchdog_cycles=1024), seeded(0)
    for seed in range(24):
        program = program_of(rng, 7)
        number  = seed % 8
        hanging = program.records[number]
        hanging[0] |= OP.field("fence").mask
        if number + 1 < len(program.records):
            program.records[number + 1][0] |= OP.field("fence").mask
        hanging[CODE] = HANG
        harness.setup(seed=seed, stall=[0, 0.3][seed % 2])
        harness.load(program.words(), PROGRAM_ADDR)
        before = np.array(harness.memory)
        harness.post(run_of(tag=7))
        wait_for_begin(harness, program.records, number)
        harness.idle(20)
        if by == "abort":
            harness.reset()
        (tag, code, _), = harness.run(1, limit_cycles=5000)
        assert (tag, code) == (7, JobCode.ABORTED if by == "abort" else JobCode.WATCHDOG)
        assert harness.registers() == {"run_tokens": 0, "run_record": number + 1}
        assert (harness.memory == before)[:LOG_ADDR].all()
        harness.forget()
        run_and_compare(harness, program_of(rng, 3), seed=seed, stall=0.2, count=2)


def test_an_abort_at_any_time(open_programs, run_and_compare, seeded):
    """Also while the header is read, between passes, while an id is written: what is in memory is what is counted."""
    harness, rng = open_programs(), seeded(0)
    aborted = 0
    for seed in range(150):
        program = program_of(rng, 3)
        harness.setup(seed=seed, stall=[0, 0.4][seed % 2], latency_cycles=1 + seed % 25)
        harness.load(program.words(), PROGRAM_ADDR)
        tokens = harness.memory[TOKENS_ADDR:TOKENS_ADDR + 24].view("<u4")
        tokens[:] = 0xEEEEEEEE
        before = np.array(harness.memory)
        harness.post(run_of(tag=7, count=6))
        harness.idle(int(rng.integers(4000)))
        harness.reset()
        (tag, code, _), = harness.run(1, limit_cycles=5000)
        assert tag == 7 and code in (JobCode.OK, JobCode.ABORTED)
        aborted += code == JobCode.ABORTED
        found = harness.registers()
        assert found["run_record"] <= 4 and found["run_tokens"] <= 6
        chosen = [100 + 7*turn for turn in range(6)]
        count  = int((tokens != 0xEEEEEEEE).sum())
        assert tokens[:count].tolist() == chosen[:count] and count - found["run_tokens"] in (0, 1)
        before[TOKENS_ADDR:TOKENS_ADDR + 24] = harness.memory[TOKENS_ADDR:TOKENS_ADDR + 24]
        assert (harness.memory == before)[:LOG_ADDR].all()
        harness.forget()
        harness.idle(100)  # until the engines are reset, also where nothing was to be ended
        run_and_compare(harness, program_of(rng, 3), seed=seed, stall=0.2, count=2)
    assert aborted > 75
