# SPDX-License-Identifier: BSD-2-Clause
"""A16: every FP16 code meets every weight; the exact reference is checked against Python's rationals."""

from fractions import Fraction

import numpy as np
import pytest
from migen.sim import run_simulation

from mixpe_gateware.baselines import AlignedA16, MixPeA16
from mixpe_gateware.baselines.float16 import CLASS_MINUS_INFINITY, CLASS_NAN, CLASS_PLUS_INFINITY, align, fixed
from mixpe_gateware.contract.errors import ConfigError, DtypeError, RangeError

SEED = 16
ALL_CODES = np.arange(65536, dtype=np.uint32).astype(np.uint16).view(np.float16)


def test_fixed_is_exact():
    """Every finite code times 2^24 is the integer; float64 holds both exactly."""
    finite = ALL_CODES[np.isfinite(ALL_CODES)]
    assert np.array_equal(fixed(finite), (finite.astype(np.float64)*2**24).astype(np.int64))
    with pytest.raises(DtypeError):
        fixed(np.zeros(1, np.float32))
    with pytest.raises(RangeError):
        fixed(np.array([np.inf], np.float16))


def test_reference_is_exact():
    """Against rationals: the smallest, a negative subnormal, the largest, and random codes, with every weight."""
    params = MixPeA16(lanes=1)
    rng = np.random.default_rng(SEED)
    finite = ALL_CODES[np.isfinite(ALL_CODES)]
    for x in [ALL_CODES[1], ALL_CODES[0x83ff], ALL_CODES[0x7bff], *rng.choice(finite, 60)]:
        for q in range(16):
            product, flags = params.reference([q], x.reshape(1))
            assert Fraction(int(product), 2**24) == q*Fraction(float(x)) and flags == 0, f"seed {SEED}"


def test_all_codes_all_weights(verilated):
    """All 65 536 FP16 codes with all 16 weights, gateware against reference."""
    params = MixPeA16(lanes=1)
    q = np.repeat(np.arange(16), 65536)
    codes = np.tile(np.arange(65536), 16)
    product, flags = verilated(params)(q, codes)
    expected, expected_flags = params.reference(q[:, None], ALL_CODES[codes][:, None])
    assert np.array_equal(product, expected)
    assert np.array_equal(flags, expected_flags)


def test_lanes():
    """Eight lanes with random codes of all classes and weights."""
    params = MixPeA16(lanes=8)
    rng = np.random.default_rng(SEED)
    q = rng.integers(0, 16, (200, 8))
    x = ALL_CODES[rng.integers(0, 65536, (200, 8))]
    x[0], q[0] = ALL_CODES[0x7bff], 15
    expected = [params.reference(a, b) for a, b in zip(q, x, strict=True)]
    got = simulate(params, [(params.encode_weights(a), params.encode(b)) for a, b in zip(q, x, strict=True)])
    assert got == [(int(product), int(flags)) for product, flags in expected], f"seed {SEED}"


def simulate(params, words):
    dut = params.create()
    got = []

    def drive():
        for weights, activations in words:
            yield dut.weights.eq(weights)
            yield dut.activations.eq(activations)
            yield

    def watch():
        for _ in range(dut.latency + 1):
            yield
        for _ in words:
            got.append(((yield dut.product), (yield dut.flags)))
            yield

    run_simulation(dut, [drive(), watch()])
    return got


def test_special_numbers_and_zero_weights():
    params = MixPeA16(lanes=2)
    inf, nan = np.float16(np.inf), np.float16(np.nan)
    one = np.float16(1)
    cases = [
        ([1, 1], [inf, one], CLASS_PLUS_INFINITY),
        ([1, 1], [inf, -inf], CLASS_PLUS_INFINITY | CLASS_MINUS_INFINITY),
        ([0, 15], [nan, one], 0),
        ([0, 0], [inf, nan], 0),
        ([15, 15], [nan, -inf], CLASS_NAN | CLASS_MINUS_INFINITY),
    ]
    got = simulate(params, [(params.encode_weights(q), params.encode(np.array(x, np.float16))) for q, x, _ in cases])
    for (q, x, flags), (product, seen) in zip(cases, got, strict=True):
        expected, expected_flags = params.reference(q, np.array(x, np.float16))
        assert (product, seen) == (expected, expected_flags) and seen == flags


def test_group_flags_and_total():
    """A group's flags are its own: the next group starts clean."""
    params = MixPeA16(lanes=2)
    dut = params.create_group(8)
    rng = np.random.default_rng(SEED)
    x = rng.standard_normal((4, 4, 2)).astype(np.float16)
    x[1, 2, 1], x[3, 0, 0] = np.inf, np.nan
    q = rng.integers(1, 16, (4, 4, 2))
    got = []

    def drive():
        for group in range(4):
            for beat in range(4):
                yield dut.weights.eq(params.encode_weights(q[group, beat]))
                yield dut.activations.eq(params.encode(x[group, beat]))
                yield dut.first.eq(beat == 0)
                yield dut.last.eq(beat == 3)
                yield
        yield dut.last.eq(0)

    def watch():
        for _ in range(16 + dut.latency + 3):
            if (yield dut.done):
                got.append(((yield dut.total), (yield dut.flags)))
            yield

    run_simulation(dut, [drive(), watch()])
    product, flags = params.reference(q, x)
    assert got == list(zip(product.sum(axis=1).tolist(), np.bitwise_or.reduce(flags, axis=1).tolist(), strict=True))


def test_align():
    """The largest keeps its significand at 12 bits; ties go to even; saturation at the top."""
    x = np.array([1.0, 2047/1024, 2**-11, 3*2**-11, 0, -1.5], np.float16)
    aligned, exponent = align(x, 12)
    assert exponent[0] == -10 and aligned.tolist() == [1024, 2047, 0, 2, 0, -1536]
    assert align(np.array([2047.0], np.float16), 8)[0].tolist() == [127]
    subnormal, exponent = align(np.array([2**-24, -3*2**-24], np.float16), 12)
    assert (subnormal*2.0**exponent).tolist() == [2**-24, -3*2**-24]
    rng = np.random.default_rng(SEED)
    x = (rng.standard_normal((50, 128))*10.0**rng.uniform(-4, 3, (50, 128))).astype(np.float16)
    aligned, exponent = align(x, 24)
    assert np.abs(aligned*2.0**exponent - x.astype(np.float64)).max() <= 2.0**exponent.max()/2, f"seed {SEED}"


@pytest.mark.parametrize("width", [6, 12, 24])
def test_aligned_dot_products(width, products):
    rng = np.random.default_rng(SEED)
    params = AlignedA16(lanes=4, width=width)
    limit = 1 << width - 1
    q = rng.integers(0, 16, (200, 4))
    x = rng.integers(-limit, limit, (200, 4))
    q[:3], x[0], x[1], x[2] = 15, -limit, limit - 1, -1
    assert np.array_equal(products(params, q, x), (q*x).sum(axis=-1)), f"seed {SEED}"
    with pytest.raises(ConfigError, match="width"):
        AlignedA16(lanes=4, width=25)
