# SPDX-License-Identifier: BSD-2-Clause
"""Attention records: every shape, both ends of every number, random stalls on both ports."""

import numpy as np
import pytest

from mixpe_gateware.contract.errors import RangeError
from mixpe_gateware.contract.jobs import JobCode

PORTS = [{"port_bits": 16}, {"port_bits": 32}, {"port_bits": 64, "memory_bits": 32}, {"port_bits": 128},
    {"port_bits": 128, "attention_lanes": 4}, {"port_bits": 64, "memory_bits": 32, "attention_lanes": 2},
    {"port_bits": 32, "memory_bits": 16, "attention_lanes": 2}]


@pytest.fixture(params=PORTS, ids=lambda options: "-".join(map(str, options.values())))
def options(request):
    return request.param


@pytest.mark.parametrize("stall", (0.0, 0.4))
def test_shapes(options, stall, open_engine, compare, make_case, seeded):
    """One position, a beat's lanes, the longest context; groups of one head, of a pass and of several."""
    rng, harness = seeded(1), open_engine(stall=stall, **options)
    lanes = options.get("attention_lanes", options["port_bits"]//8)
    for d in (32, 64, 128):
        for positions in sorted({1, 2, lanes - 1, lanes, 37, 64}):
            group, kv_heads = int(rng.choice([1, 3, 4, 8])), int(rng.integers(1, 3))
            compare(harness, make_case(harness.config, rng, d=d, kv_heads=kv_heads, group=group,
                positions=positions, context=64*int(rng.integers(1, 3))).with_scores_of(3.0))


@pytest.mark.parametrize("heads, group", [(1, 1), (1, 3), (3, 3), (3, 4), (8, 8), (8, 5)])
def test_heads_side_by_side(heads, group, open_engine, compare, make_case, seeded):
    """More heads than beats of a row among them."""
    rng, harness = seeded(2), open_engine(port_bits=64, attention_heads=heads, head_max=64)
    for stall in (0.0, 0.3):
        harness.setup(seed=heads, stall=stall)
        for d in (32, 64):
            compare(harness, make_case(harness.config, rng, d=d, kv_heads=3, group=group,
                positions=20).with_scores_of(3.0))


def test_longest_head(open_engine, compare, make_case, seeded):
    rng, harness = seeded(3), open_engine(port_bits=32, head_max=256)
    for d in (256, 96, 224):
        compare(harness, make_case(harness.config, rng, d=d, kv_heads=2, group=4, positions=9).with_scores_of(3.0))


@pytest.mark.parametrize("stall", (0.0, 0.4))
def test_window(options, stall, open_engine, compare, make_case, seeded):
    """The first position that is seen is anywhere in its beat of scales."""
    rng, harness = seeded(4), open_engine(stall=stall, **options)
    for positions, window in ((64, 1), (64, 64), (64, 63), (50, 1000), (50, 0xFFFFFFFF), (1, 1), (2, 1),
            *((int(rng.integers(20, 65)), int(rng.integers(1, 20))) for _ in range(8))):
        compare(harness, make_case(harness.config, rng, d=32, kv_heads=2, group=int(rng.integers(1, 5)),
            positions=positions, window=window).with_scores_of(3.0))


def test_zeros(options, open_engine, compare, make_case, seeded):
    """Codes and scales of zero: of all positions, of some, of the values alone."""
    rng, harness = seeded(5), open_engine(**options)
    for name in ("codes", "keys", "values", "exponents"):
        case = make_case(harness.config, rng, d=32, kv_heads=2, positions=20).with_scores_of(3.0)
        getattr(case, name)[:] = 0
        compare(harness, case)
    for part in (0, 1, slice(0, 2)):
        for kept in (0.0, 0.5):
            case = make_case(harness.config, rng, d=32, kv_heads=2, positions=20).with_scores_of(3.0)
            case.scales[part] *= (rng.random(case.scales[part].shape) < kept).astype(np.uint16)
            compare(harness, case)
    case = make_case(harness.config, rng, d=32, kv_heads=2, positions=20).with_scores_of(3.0)
    case.scales[:] &= 0x007F   # subnormal: read as zero
    compare(harness, case)


def test_scales_of_all_sizes(options, open_engine, compare, make_case, seeded):
    """Values whose scales lie up to 2^253 apart; sums and factors at both ends of F32."""
    rng, harness = seeded(6), open_engine(**options)
    ends = []
    for low, high in ((1, 254), (1, 3), (250, 254), (100, 130), (0, 40), (228, 254)):
        for _ in range(3):
            case = make_case(harness.config, rng, d=32, kv_heads=1, group=3, positions=40).with_scores_of(3.0)
            case.scales[1] = case.random_scales(rng, *case.scales[1].shape, low=low, high=high)
            compare(harness, case, code=None)
            try:
                ends.append(np.abs(case.results()).max())
            except RangeError:
                ends.append(np.inf)
    assert min(ends) < 2.0**-100 and max(ends) > 2.0**100


def test_scores_of_all_sizes(options, open_engine, compare, make_case, seeded):
    """From those that are all one to those beyond 32 bits; keys' scales far apart."""
    rng, harness, codes = seeded(7), open_engine(**options), []
    for power in (-200, -60, -30, -16, -8, -4, 0, 4, 8, 10, 11, 12, 13, 14, 40, 120):
        case = make_case(harness.config, rng, d=32, kv_heads=2, group=3, positions=30)
        case.exponents += power
        codes.append(code_of(case))
        compare(harness, case)
    for low, high in ((1, 120), (60, 124), (100, 140), (200, 254)):
        case = make_case(harness.config, rng, d=32, kv_heads=2, group=3, positions=30)
        case.scales[0] = case.random_scales(rng, *case.scales[0].shape, low=low, high=high)
        codes.append(code_of(case))
        compare(harness, case)
    assert codes.count(JobCode.RANGE) >= 3 and codes.count(JobCode.OK) >= 8


def code_of(case):
    try:
        case.results()
    except RangeError:
        return JobCode.RANGE
    return JobCode.OK


@pytest.mark.parametrize("step, code", [(-1, JobCode.OK), (0, JobCode.RANGE)])
@pytest.mark.parametrize("sign", (1, -1))
def test_the_largest_score(step, code, sign, open_engine, compare, make_case, seeded):
    """Exactly 2^31 units is too large, of either sign."""
    rng, harness = seeded(8), open_engine()
    case = make_case(harness.config, rng, d=32, group=1, positions=3)
    case.keys[:], case.codes[:] = 0, 0
    case.scales[0] = 134 << 7                        # 128
    case.keys[0, 1, :3]  = 64, 64, -1                # ·16384·128·2^(e + 1) = 2^31·2^(e − 3)
    case.codes[0, :3]    = 8192*sign, 8192*sign, -step*sign
    case.exponents[:]    = 3
    assert code_of(case) == code
    compare(harness, case)


def test_exponents_that_no_query_has(options, open_engine, compare, make_case, seeded):
    rng, harness = seeded(9), open_engine(**options)
    for exponent, code in ((255, None), (256, JobCode.RANGE), (-256, None), (-257, JobCode.RANGE),
            (-2**31, JobCode.RANGE), (2**31 - 1, JobCode.RANGE), (65536, JobCode.RANGE)):
        for head in (0, 2):
            case = make_case(harness.config, rng, d=32, group=3, positions=3)
            case.scales[0] = case.random_scales(rng, *case.scales[0].shape, low=1, high=3)
            case.exponents[:]    = -200
            case.exponents[head] = exponent
            compare(harness, case, code=code)


def test_results_beyond_float32(open_engine, compare, make_case, seeded):
    rng, harness = seeded(10), open_engine()
    case = make_case(harness.config, rng, d=32, group=4, positions=5)
    case.keys[:] = 0
    case.values[:] = 127
    case.scales[1] = 0x7F7F
    assert code_of(case) == JobCode.RANGE
    compare(harness, case)
    case.values[:] = 1
    assert code_of(case) == JobCode.OK
    compare(harness, case)


@pytest.mark.parametrize("value", (-128, -127, 127))
def test_sums_at_their_bound(value, open_engine, compare, make_case, seeded):
    """The longest context that there is, every p' and v at its largest: 40 bits, and no fewer."""
    context = 1 << 15
    rng, harness = seeded(11), open_engine(port_bits=128, attention_heads=1, context_max=context, head_max=32,
        mem_bytes=1 << 22)
    case = make_case(harness.config, rng, d=32, group=2, positions=context, context=context)
    case.keys[:], case.values[:] = 0, value
    case.scales[1] = 0x3FFF
    compare(harness, case, limit_cycles=400_000)


def test_sums_at_the_bound_of_a_short_context(options, open_engine, compare, make_case, seeded):
    """Sums have as many bits as the build's context takes."""
    rng, harness = seeded(12), open_engine(**options)
    for value in (-128, 127):
        case = make_case(harness.config, rng, d=128, group=4, positions=64)
        case.keys[:], case.values[:] = 0, value
        case.scales[1] = 0x3FFF
        compare(harness, case)


@pytest.mark.parametrize("port_bits, lanes, extra", [(32, 4, 36), (128, 16, 41), (128, 8, 39), (64, 2, 36)])
@pytest.mark.parametrize("d", (64, 128))
def test_cycles(port_bits, lanes, extra, d, open_engine, compare, make_case, seeded, long_mem_bytes):
    """A beat a cycle and few more a key-value head; results are read beside the next head's keys."""
    rng, harness = seeded(13), open_engine(port_bits=port_bits, attention_lanes=lanes, mem_bytes=long_mem_bytes)
    group, positions = 4, 64

    def cycles(kv_heads):
        return compare(harness, make_case(harness.config, rng, d=d, kv_heads=kv_heads, group=group,
            positions=positions).with_scores_of(3.0))

    beats = (2*d*positions + 2*group*d + 4*positions + 4*group)//lanes
    one   = cycles(1)
    assert cycles(17) - one <= 16*(beats + extra)
    assert one <= beats + extra + group*d + 300
