# SPDX-License-Identifier: BSD-2-Clause
"""Sums of squares and their rounding, and codes of all kinds, to the bit."""

import numpy as np
import pytest

from mixpe_gateware.contract.decoder.float32 import truncated
from mixpe_gateware.contract.decoder.norm import square_sum
from mixpe_gateware.vector.quantiser import CACHE, NARROW, QUERY, STEP, WIDE, Quantiser
from mixpe_gateware.vector.squares import SUM_BITS, SquareRounder, SquareSum


def test_sums_of_squares(edges, seeded, stream_through):
    """Runs of one value, of edges and of random ones, with pauses; the sum after each value is exact."""
    rng, unit = seeded(1), SquareSum()
    words = np.concatenate([edges[edges >> 23 & 255 < 143], (rng.normal(0, 1, 3000)*2.0**rng.integers(-20, 15, 3000))
        .astype(np.float32).view(np.uint32), np.full(50, 0x477FFFFF, np.uint32)])
    rng.shuffle(words)
    start = rng.random(len(words)) < 0.02
    start[0] = True
    valid = start | (rng.random(len(words)) < 0.7)
    total, = stream_through(unit, {unit.x: words, unit.valid: valid, unit.start: start}, [unit.total],
        SquareSum.LATENCY)
    squares = [int(np.floor(np.ldexp(float(x), 32)*float(x))) if ok else 0
        for x, ok in zip(truncated(np.where(words >> 23 & 255, words, 0).astype(np.uint32).view(np.float32)), valid,
            strict=True)]
    expected, sums = 0, []
    for square, first in zip(squares, start, strict=True):
        expected = square if first else expected + square
        sums.append(expected)
    assert [int(value) for value in total] == sums


def test_values_out_of_range(stream_through):
    unit  = SquareSum()
    words = np.array([65535.99, 65536, -65535.99, -65536, 0, 1e30], np.float32).view(np.uint32)
    assert list(stream_through(unit, {unit.x: words}, [unit.over], 0)[0]) in ([0, 1, 0, 1, 0, 1],)


def test_sums_are_rounded_once(seeded, simulate):
    """Every place of the top bit, ties and carries; the largest sum and zero."""
    rng, dut, got = seeded(2), SquareRounder(), []
    sums = [0, 1, (1 << SUM_BITS) - 1]
    for top in range(SUM_BITS):
        low = max(0, top - 24)
        sums += [1 << top, (2 << top) - 1, (1 << top) + (1 << low), (1 << top) + (3 << low),
            (1 << top) | int.from_bytes(rng.bytes(10), "little") % (1 << top)]

    def drive():
        for total in sums:
            yield dut.total.eq(total)
            yield dut.start.eq(1)
            yield
            yield dut.start.eq(0)
            yield dut.total.eq(int(rng.integers(1 << 30)))
            cycles = 0
            while not (yield dut.done):
                yield
                cycles += 1
                assert cycles <= SquareRounder.LATENCY
            got.append((yield dut.value))

    simulate(dut, drive(), limit_cycles=len(sums)*25)
    for total, value in zip(sums, got, strict=True):
        bits = total.bit_length()
        if bits > 24:  # nearest, ties to even, in integers
            drop = bits - 24
            kept, rest = total >> drop, total & ((1 << drop) - 1)
            total = kept + (rest > 1 << drop - 1 or (rest == 1 << drop - 1 and kept & 1)) << drop
        assert np.uint32(value).view(np.float32) == np.float32(np.ldexp(float(total), -32)), hex(total)
    assert square_sum(np.float32([[3.0]])) == 9


@pytest.mark.parametrize("kind", (QUERY, WIDE, NARROW, CACHE))
def test_quantiser(kind, seeded, stream_through):
    """Random magnitudes below the reference's, halves of steps, both ends of the exponents."""
    rng, unit, count = seeded(3), Quantiser(), 6000
    reference = np.where(rng.integers(2, size=count), 126 + rng.integers(-120, 120, count), 127)
    if kind == CACHE:
        reference[:] = 133
    bits = STEP[kind]
    x = np.ldexp(rng.uniform(-1, 1, count)*2.0**-rng.integers(0, 20, count), reference - 126)
    steps = rng.integers(-2*2**bits + 1, 2*2**bits, count)/2
    x[::3] = np.ldexp(steps, reference - 126 - bits)[::3]
    x[1::50] = np.ldexp((2**bits - 0.25)*rng.choice([-1, 1], count), reference - 126 - bits)[1::50]
    x[5::40] = 0
    x = np.where(np.abs(x) < 2.0**-126, 0, x).astype(np.float32)
    x = np.where(np.abs(x) >= np.ldexp(1.0, reference - 126), 0, x).astype(np.float32)
    if kind == CACHE:
        x[2::60] = rng.choice([-128, 128])
    code, = stream_through(unit, {unit.x: x.view(np.uint32), unit.reference: reference & 1023,
        unit.kind: np.full(count, kind)}, [unit.code], Quantiser.LATENCY)
    low, high = {QUERY: (-32767, 32767), WIDE: (-16384, 16384), NARROW: (-128, 127), CACHE: (-127, 127)}[kind]
    expected = np.clip(np.rint(np.ldexp(x.astype(np.float64), bits - (reference - 126))), low, high)
    got = code.astype(np.uint16).view(np.int16)
    wrong = np.flatnonzero(got != expected)
    assert not wrong.size, [(x[i], reference[i], got[i], expected[i]) for i in wrong[:4]]
    assert expected.max() == high and expected.min() == low
