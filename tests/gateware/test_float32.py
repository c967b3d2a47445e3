# SPDX-License-Identifier: BSD-2-Clause
"""Conversion of integers to FP32 against the contract's rounding."""

import numpy as np
import pytest

from mixpe_gateware.contract.config import Config
from mixpe_gateware.contract.reference import SCALE_UNIT_LOG2, round_to_float32
from mixpe_gateware.contract.widths import wide_bits
from mixpe_gateware.stream.float32 import IntegerToFloat32


@pytest.mark.parametrize("minima", (False, True))
def test_integers_round_to_nearest_even(minima, feed, collect, seeded, simulate):
    bits = wide_bits(Config(minima=minima))
    top = (1 << bits - 1) - 1
    values = [0, 1, -1, 2, 3, (1 << 24) - 1, 1 << 24, (1 << 24) + 1, (1 << 24) + 3, -(1 << 24) - 1, (1 << 25) - 1,
        top, -top - 1, top - (1 << bits - 26), (1 << 60) + (1 << 36), (1 << 60) + (1 << 36) + 1]
    rng = seeded(0)
    values += [int(rng.integers(-1 << 62, 1 << 62)) >> int(rng.integers(0, 62)) << int(rng.integers(0, 26))
        for _ in range(200)]
    dut, out = IntegerToFloat32(bits, SCALE_UNIT_LOG2), []
    simulate(dut,
        feed(dut.sink, [{"value": value} for value in values], np.random.default_rng(1), 0.3),
        collect(dut.source, ["data"], len(values), out, np.random.default_rng(2), 0.4))
    expected = round_to_float32(np.array(values, object), SCALE_UNIT_LOG2).view(np.uint32)
    assert [word for word, in out] == expected.tolist()
