# SPDX-License-Identifier: BSD-2-Clause
"""Sums of a group's activations, made while they are written."""

import numpy as np
from migen import passive

from mixpe_gateware.gemm.rowsums import RowSums


def test_sums_of_extreme_bytes(seeded, simulate):
    dut, got, expected = RowSums(32), [], []
    rng = seeded(0)
    groups = [np.full((64, 4), -128), np.full((64, 4), 127), rng.integers(-128, 128, (1, 4)),
        rng.integers(-128, 128, (7, 4))]

    def drive():
        for group in groups:
            expected.append(int(group.sum()))
            for index, beat in enumerate(group.astype(np.int8)):
                while rng.random() < 0.3:
                    yield dut.valid.eq(0)
                    yield
                yield dut.data.eq(int.from_bytes(beat.tobytes(), "little"))
                yield dut.valid.eq(1)
                yield dut.first.eq(index == 0)
                yield dut.last.eq(index == len(group) - 1)
                yield
        yield dut.valid.eq(0)
        for _ in range(4):
            yield

    @passive
    def watch():
        while True:
            if (yield dut.done):
                got.append((yield dut.total))
            yield

    simulate(dut, drive(), watch())
    assert got == expected
