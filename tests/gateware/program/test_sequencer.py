# SPDX-License-Identifier: BSD-2-Clause
"""Programs run as they should, in a memory of each width and under stalls: words, order, fences, tokens, registers."""

import pytest

from mixpe_gateware.contract.jobs import JobCode
from mixpe_gateware.contract.program.records import Source

from .records import ENGINES, PROGRAM_ADDR, STATE_ADDR, Program, random_record, record, run_of, select


@pytest.mark.parametrize("memory_bits", [16, 32, 64, 128])
def test_random_programs(memory_bits, open_programs, run_and_compare, seeded):
    harness = open_programs(memory_bits)
    for seed in range(30):
        rng     = seeded(seed)
        records = [random_record(rng, number, fences=int(rng.integers(1, 9)))
            for number in range(int(rng.integers(0, 30)))]
        program = Program([*records, select(99, base=int(rng.integers(4000)), stride=int(rng.integers(8)))])
        run_and_compare(harness, program, seed=seed, stall=float(rng.choice([0, 0.3, 0.8])), tag=seed,
            count=int(rng.integers(1, 4)), token=int(rng.integers(5000)), position=int(rng.integers(60)),
            listed=bool(seed % 2))


@pytest.mark.parametrize("memory_bits", [16, 128])
def test_a_fenced_record_begins_a_cycle_after_the_end_that_it_waits_for(memory_bits, open_programs, run_and_compare):
    """Its words are ready by then: they are read and patched while the ones before work."""
    harness = open_programs(memory_bits)
    patches = [(word, Source.POSITION, 64) for word in (1, 2, 5)]
    records = [record(ENGINES[number % 3], fence=True, w3=STATE_ADDR, w4=number, patches=patches)
        for number in range(30)]
    harness.setup(seed=0, stall=0, latency_cycles=20)
    harness.load(Program([*records, select(99)]).words(), PROGRAM_ADDR)
    harness.post(run_of(position=63))
    assert harness.run(1, limit_cycles=100_000)[0][1] == JobCode.OK
    gaps = [begin - last for log in harness.log([10, 11, 10]) for words, begin, _, last in log if words[4]]
    print(gaps)
    assert set(gaps) == {1}
