# SPDX-License-Identifier: BSD-2-Clause
"""Accelerators in Verilator whose engines say what they see."""

import numpy as np
import pytest

from mixpe_gateware.contract.config import Config
from mixpe_gateware.contract.program.records import OP

from .engines import BEGIN, ProgramHarness
from .records import (
    AFTER,
    ENGINES,
    LOG_ADDR,
    PROGRAM_ADDR,
    TOKENS_ADDR,
    WORDS,
    expected,
    expected_batch,
    opcode_of,
    run_of,
)

LIMIT_CYCLES = 200_000
WIDTHS       = {16: 32, 32: 32, 64: 128, 128: 128}  # of the memory's port, and of a beat


@pytest.fixture
def open_programs():
    """Open one for a width of the memory."""
    opened = []

    def open_(memory_bits=128, **options):
        config = Config(**{"rows": 1, "port_bits": WIDTHS[memory_bits], "memory_bits": memory_bits, "scalers": 1,
            "k_max": 512, "buffer_beats": 64, "queue_depth": 4, "decoder": True}, **{
            name: options.pop(name) for name in list(options) if name != "watchdog_cycles"})
        harness = ProgramHarness(config, **options)
        harness.memory[:] = np.random.default_rng(0).integers(0, 256, len(harness.memory), dtype=np.uint8)
        opened.append(harness)
        return harness

    yield open_
    for harness in opened:
        harness.close()


def skip_early(harness, words, last):
    """A GEMM behind a record that failed may have been with its engine: it begins when nothing else does."""
    found = harness.entry(0, 0)
    if tuple(found[:WORDS].tolist()) == words and found[BEGIN] > last:
        harness.log([1, 0, 0])


@pytest.fixture
def check_begun():
    """What engines saw is what they should have, in order and behind the fences."""

    def check(harness, outcome):
        begun  = [(opcode_of(words), words, seen) for words, seen in outcome.begun]
        counts = [sum(opcode == each for opcode, _, _ in begun) for each in ENGINES]
        logs   = harness.log(counts)
        done   = [0, 0, 0]  # records that each engine had before the one that is looked at
        start  = [0, 0, 0]  # before its pass
        last   = -1
        for number, (opcode, words, seen) in enumerate(begun):
            engine = ENGINES.index(opcode)
            found, begin, ended, _ = logs[engine][done[engine]]
            assert found == seen, f"record {number} of those that were begun"
            assert begin > last, "records begin in order"
            last = begin
            if outcome.begun[number][0] is outcome.begun[0][0]:
                start = list(done)
            fence = OP.field("fence").of(words[0])
            for other, name in enumerate(AFTER):
                least = done[other] if fence or OP.field(name).of(words[0]) else start[other]
                assert ended[other] >= least, f"record {number} began when only {ended} of {done} had ended"
            done[engine] += 1
        if outcome.behind:
            skip_early(harness, outcome.behind, last)

    return check


@pytest.fixture
def run_and_compare(check_begun):
    """Run a good program and compare everything with the plain Python."""

    def run_(harness, program, *, seed=0, stall=0.0, tag=0, prompt=None, table=None, **fields):
        harness.setup(seed=seed, stall=stall, latency_cycles=1 + seed % 30)
        known = [word for row in table for word in (*row, 0)] if table else prompt or []
        if known:
            harness.load(np.array(known, "<u4"), TOKENS_ADDR)
        harness.load(program.words(), PROGRAM_ADDR)
        if table:
            outcome = expected_batch(program, table, **fields)
        else:
            outcome = expected(program, prompt=prompt, **{name: value for name, value in fields.items()
                if name in ("count", "token", "position", "listed", "more")})
        before = np.array(harness.memory)
        harness.post(run_of(tag=tag, prompt=bool(prompt), batch=bool(table), **fields))
        (found, code, _), = harness.run(1, limit_cycles=LIMIT_CYCLES)
        assert (found, code) == (tag, outcome.code)
        assert harness.registers() == {"run_tokens": outcome.run_tokens, "run_record": outcome.run_record}
        first = TOKENS_ADDR + 4*len(known)
        before[first:first + 4*len(outcome.tokens)] = np.array(outcome.tokens, "<u4").view(np.uint8)
        wrong = np.flatnonzero(harness.memory[:LOG_ADDR] != before[:LOG_ADDR])
        assert not wrong.size, f"{wrong.size} bytes differ, the first at {wrong[0]:#x}"
        check_begun(harness, outcome)
        return outcome

    return run_


