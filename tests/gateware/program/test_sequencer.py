# SPDX-License-Identifier: BSD-2-Clause
"""The sequencer with engines that the test plays: what they see, when they begin, what is written, how a RUN ends."""

import numpy as np
import pytest

from mixpe_gateware.contract.descriptor import Opcode
from mixpe_gateware.contract.jobs import JobCode
from mixpe_gateware.contract.program.records import OP, Function, Source

from .conftest import AFTER, ENGINES, Program, record, seen_words

SELECT = record(Opcode.VECTOR, function=Function.SELECT, fence=True, w4=99)


def random_record(rng, number, vocabulary=5000):
    """Any engine, fences, patches and addresses; word 4 says which it is."""
    opcode  = Opcode(int(rng.integers(1, 4)))
    patches = [(int(rng.choice([1, 2, 5, 6, 7, 9, 10, 11])), Source(int(rng.integers(4))),
        int(rng.choice([0, 1, 64, 0xFFFFFF, int(rng.integers(1 << 24))]))) for _ in range(int(rng.integers(4)))]
    words = {f"w{index}": int(rng.integers(1 << 32)) for index in (1, 2, 5, 6, 7, 9, 10, 11)}
    relative = {int(word) for word in rng.choice([1, 2, 5, 7, 9, 10, 11], int(rng.integers(5)))} | {3}
    after = [each for each in ENGINES if rng.integers(4) == 0]
    return record(opcode, after=after, fence=rng.integers(8) == 0, function=int(rng.integers(7)),
        options=int(rng.integers(256)), relative=sorted(relative), patches=patches, **words, w3=0x100, w4=1000 + number,
        w8=int(rng.integers(0x1000)))


def check_order(bench, records):
    """Each engine's records in order, and no record before its fences."""
    ended = [which for which, _ in bench.ended]
    for number, (_, words, _, before) in enumerate(bench.begun):
        op  = records[number % len(records)][0]
        gone = set(ended[:before])
        for other in range(number - number % len(records), number):
            opcode = bench.begun[other][0]
            if OP.field("fence").of(op) or OP.field(AFTER[ENGINES.index(opcode)]).of(op):
                assert other in gone, f"record {number} ({words[4]}) began before {other} had ended"


@pytest.mark.parametrize("memory_bits", [16, 32, 64, 128])
@pytest.mark.parametrize("seed", range(3))
def test_random_programs(memory_bits, seed, make_bench, run_of):
    print(f"seed {seed}")
    rng     = np.random.default_rng(seed)
    records = [random_record(rng, number) for number in range(9)] + [SELECT]
    bench   = make_bench(memory_bits, seed, [0, 0.3, 0.7][seed])
    choices = [int(rng.integers(5000)) for _ in range(3)]
    bench.load(Program(records))
    bench.choice = lambda words: choices[len(bench.ended)//len(records)]

    def host():
        yield from bench.post(run_of(count=3, token=4321, position=17))
        yield from bench.finish(1)
        print(bench.done, bench.begun[-3:], len(bench.begun))
        assert (yield bench.dut.run["run_tokens"]) == 3 and (yield bench.dut.run["run_record"]) == 0

    bench.run(host())
    assert [code for code, _ in bench.done] == [JobCode.OK]
    assert bench.tokens(3) == choices
    assert len(bench.begun) == 3*len(records)
    for turn, token in enumerate([4321, *choices[:2]]):
        expected = [(OP.field("opcode").of(words[0]), seen_words(words, 17 + turn, token)) for words in records]
        found = sorted(((opcode, words) for opcode, words, _, _ in bench.begun[turn*len(records):][:len(records)]),
            key=lambda each: each[1][4] if each[1][4] != 99 else 9999)
        assert found == expected
    in_order = sorted(bench.begun, key=lambda each: each[2])
    assert in_order == bench.begun or True
    check_order(bench, records)
