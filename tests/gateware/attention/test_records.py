# SPDX-License-Identifier: BSD-2-Clause
"""Records that are refused, writes out of bounds, aborts: a code each, nothing else changed, the next record right."""

import numpy as np
import pytest

from mixpe_gateware.contract.jobs import JobCode
from mixpe_gateware.contract.program.records import HEADS
from mixpe_sim.harness.run import HarnessError

PORTS = [{"port_bits": 16}, {"port_bits": 64, "memory_bits": 32}, {"port_bits": 128},
    {"port_bits": 128, "attention_lanes": 4}]


@pytest.fixture(params=PORTS, ids=lambda options: "-".join(map(str, options.values())))
def harness(request, open_engine):
    return open_engine(**request.param)


@pytest.fixture
def case(harness, make_case, seeded):
    return make_case(harness.config, seeded(1), d=32, kv_heads=2, group=3, positions=9, context=128).with_scores_of(3.0)


def heads(d=32, kv_heads=2, group=3):
    return sum(HEADS.field(name).put(value) for name, value in
        (("head_dim", d), ("kv_heads", kv_heads), ("group", group)))


@pytest.mark.parametrize("words", [
    {"positions": 0}, {"positions": 65}, {"positions": 1 << 31}, {"positions": 64, "context": 0}, {"context": 96},
    {"context": 1 << 16}, {"context": 0xFFFFFFC0}, {"heads": heads(d=0)}, {"heads": heads(d=33)},
    {"heads": heads(d=16)}, {"heads": heads(d=160)}, {"heads": heads(d=4064)}, {"heads": heads(kv_heads=0)},
    {"heads": heads(group=0)}, {"heads": heads() | 1 << 28}, {"heads": heads() | 1 << 31},
    {"positions": 0, "a_addr": 1},
], ids=str)
def test_shapes_that_are_refused(words, harness, case, compare):
    case.words |= words
    compare(harness, case, code=JobCode.PROGRAM)


@pytest.mark.parametrize("name", ("keys_addr", "a_addr", "out_addr", "scales_addr", "exponents_addr", "values_addr"))
def test_addresses_that_are_refused(name, harness, case, compare):
    """Not on a beat; a region that ends a beat behind the memory; the last one that does not."""
    size, end, beat = sizes(case)[name], len(harness.memory), harness.config.beat_bytes
    right = case.words[name]
    for wrong in (1, beat//2):
        case.words[name] = right + wrong
        compare_words(harness, case, JobCode.ALIGN)
    case.words[name] = end - size
    compare_words(harness, case, JobCode.OK)
    if name != "out_addr":
        for address in (end - size + beat, end, end + beat, 0x80000000, 0x100000000 - beat):
            case.words[name] = address
            compare_words(harness, case, JobCode.MEMORY)
    case.words[name] = right
    compare(harness, case)


def sizes(case):
    beat = case.config.beat_bytes
    return {"keys_addr": case.keys.size, "a_addr": case.codes.nbytes, "out_addr": 4*case.codes.size,
        "scales_addr": case.scales.nbytes, "exponents_addr": -(-case.exponents.nbytes//beat)*beat,
        "values_addr": case.values.size}


def compare_words(harness, case, code, **bounds):
    """Run a record on whatever is in memory; nothing but its results may change. With exponents that give no RANGE."""
    harness.memory[:] = 0
    before = np.array(harness.memory)
    harness.post(case.record(), **bounds)
    (_, found, _), = harness.run(1, limit_cycles=100_000)
    assert found == code
    assert (harness.memory == before).all()


def test_results_over_operands(harness, case):
    """A beat of either end is enough."""
    space = case.words["out_bytes"]
    for name, size in sizes(case).items():
        if name != "out_addr":
            beat = harness.config.beat_bytes
            for address in (case.words[name] + size - beat, case.words[name] - space + beat):
                if address >= 0:
                    case.words["out_addr"] = address
                    compare_words(harness, case, JobCode.OVERLAP)


def test_too_little_space(harness, case, compare):
    space = case.words["out_bytes"]
    for out_bytes, code in ((0, JobCode.SPACE), (space - 1, JobCode.SPACE), (space, JobCode.OK),
            (0xFFFFFFFF, JobCode.OK)):
        case.words["out_bytes"] = out_bytes
        compare_words(harness, case, code)
    case.words["out_bytes"] = space
    compare(harness, case)


def test_what_is_too_large_for_the_multiplier(harness, case):
    case.words |= {"heads": heads(128, 255, 255), "context": 1 << 15}
    compare_words(harness, case, JobCode.MEMORY)


def test_bounds(harness, case, compare):
    """Results are written within them alone, and the record says so; those that just fit are right."""
    beat  = harness.config.beat_bytes
    first = case.words["out_addr"]//beat
    last  = first + case.words["out_bytes"]//beat
    compare(harness, case, low_beat=first, high_beat=last)
    for low, high in ((first + 1, last), (first, last - 1), (last, last + 5), (0, first), (first + 3, first + 4)):
        case.fill(harness.memory)
        expected = np.array(harness.memory)
        results  = np.frombuffer(case.results().tobytes(), np.uint8)
        low_byte, high_byte = max(low, first)*beat, min(high, last)*beat
        if high_byte > low_byte:
            expected[low_byte:high_byte] = results[low_byte - first*beat:high_byte - first*beat]
        harness.post(case.record(), low_beat=low, high_beat=high)
        (_, code, _), = harness.run(1, limit_cycles=100_000)
        assert code == JobCode.MEMORY
        assert (harness.memory == expected).all()
        harness.memory[first*beat:last*beat] = 0
    compare(harness, case, low_beat=first, high_beat=last)


def test_a_number_out_of_range_is_forgotten(harness, case, compare):
    """The record behind one that ended with RANGE, and behind one that was refused."""
    right = case.exponents.copy()
    case.exponents[:] = 60
    compare(harness, case, code=JobCode.RANGE)
    case.exponents[:] = right
    compare(harness, case)
    case.words["positions"] = 0
    compare(harness, case, code=JobCode.PROGRAM)
    case.words["positions"] = 9
    compare(harness, case)


@pytest.mark.parametrize("stall", (0.0, 0.5))
def test_abort(stall, harness, case, compare, seeded):
    """Anywhere: nothing but results is changed, and the next record is right."""
    rng = seeded(2)
    harness.setup(seed=3, stall=stall, latency_cycles=40 if stall else 5)
    whole, ends = compare(harness, case), 0
    for cycles in (*range(10), *rng.integers(10, whole, 40)):
        case.fill(harness.memory)
        start, size = case.words["out_addr"], case.words["out_bytes"]
        before = np.array(harness.memory)
        harness.post(case.record())
        harness.idle(int(cycles))
        harness.reset()
        harness.idle(400)
        assert not harness.registers()["early"]
        before[start:start + size] = harness.memory[start:start + size]
        assert (harness.memory == before).all()
        ends += len(harness.take_ended())
        with pytest.raises(HarnessError, match="0 of 1"):
            harness.run(1, limit_cycles=2000)
        compare(harness, case)
    assert ends <= 5  # that were faster than the abort
