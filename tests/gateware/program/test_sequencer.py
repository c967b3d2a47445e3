# SPDX-License-Identifier: BSD-2-Clause
"""Programs run as they should, in a memory of each width and under stalls: words, order, fences, tokens, registers."""

import pytest

from .records import Program, random_record, select


@pytest.mark.parametrize("memory_bits", [16, 32, 64, 128])
def test_random_programs(memory_bits, open_programs, run_and_compare, seeded):
    harness = open_programs(memory_bits)
    for seed in range(30):
        rng     = seeded(seed)
        records = [random_record(rng, number, fences=int(rng.integers(1, 9)))
            for number in range(int(rng.integers(0, 30)))]
        program = Program([*records, select(99, base=int(rng.integers(4000)), stride=int(rng.integers(8)))])
        run_and_compare(harness, program, seed=seed, stall=float(rng.choice([0, 0.3, 0.8])), tag=seed,
            count=int(rng.integers(1, 4)), token=int(rng.integers(5000)), position=int(rng.integers(60)))
