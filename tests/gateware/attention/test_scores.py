# SPDX-License-Identifier: BSD-2-Clause
"""A score out of a dot product: every shift, both signs, the edges of 32 bits."""

from fractions import Fraction
from math import floor

import numpy as np

from mixpe_gateware.attention.scores import ScaledScore


def test_scaled_score(seeded, simulate):
    rng, dut, found = seeded(0), ScaledScore(), []
    totals = [0, 1, -1, 2, -3, 255, 2**30, -2**30, 2**31 - 1, -2**31, 2**23, -2**23, *rng.integers(-2**31, 2**31, 20)]
    cases  = [(int(total), int(mantissa), power) for total in totals for mantissa in (0, 128, 255)
        for power in (-400, -133, *range(-45, 36), 200, 600)]
    cases += [(2**31//128*sign + step, 128, 0) for sign in (1, -1) for step in (-1, 0, 1)]
    expected = []
    for total, mantissa, power in cases:
        score = floor(total*mantissa*Fraction(2)**power)
        expected.append((None if abs(score) >= 2**31 else score, int(abs(score) >= 2**31)))

    def drive():
        for index in range(len(cases) + dut.LATENCY):
            if index < len(cases):
                total, mantissa, power = cases[index]
                yield dut.total.eq(total)
                yield dut.mantissa.eq(mantissa)
                yield dut.power.eq(power)
            yield
            if index >= dut.LATENCY:
                wide = (yield dut.wide)
                found.append((None if wide else (yield dut.score), wide))

    simulate(dut, drive())
    wrong = [(case, got, want) for case, got, want in zip(cases, found, expected, strict=True) if got != want]
    assert not wrong, f"{len(wrong)} of {len(cases)}: {wrong[:3]}"
    assert np.mean([wide for _, wide in expected]) > 0.1
