# SPDX-License-Identifier: BSD-2-Clause
"""Multiplier: products, overflow and latency against Python's integers."""

from itertools import product

import pytest

from mixpe_gateware.control.multiplier import Multiplier


def edges(bits):
    """Around the powers of two where a carry or a flag could be lost."""
    top = 1 << bits
    return sorted({0, 1, 2, 3, top//2 - 1, top//2, top//2 + 1, top - 2, top - 1})


@pytest.mark.parametrize("bits, b_bits", [(4, 3), (33, 17), (8, 12)])
def test_products_overflow_and_latency(bits, b_bits, seeded, simulate):
    """All pairs of small operands, edges and random ones of large; the operands change as soon as they were taken."""
    rng, dut = seeded(bits), Multiplier(bits, b_bits)
    if bits == 4:
        pairs = list(product(range(1 << bits), range(1 << b_bits)))
    else:
        pairs = list(product(edges(bits), edges(b_bits)))
        pairs += [(int(rng.integers(1 << bits)) >> int(rng.integers(bits)),
                   int(rng.integers(1 << b_bits)) >> int(rng.integers(b_bits))) for _ in range(200)]
    wrong = []

    def drive():
        for a, b in pairs:
            yield dut.a.eq(a)
            yield dut.b.eq(b)
            yield dut.start.eq(1)
            yield
            yield dut.start.eq(0)
            yield dut.a.eq(int(rng.integers(1 << bits)))
            yield dut.b.eq(int(rng.integers(1 << b_bits)))
            busy = []
            for _ in range(b.bit_length() + 1):
                yield
                busy.append((yield dut.busy))
            overflow = (yield dut.overflow)
            right = busy == [1]*b.bit_length() + [0] and overflow == (a*b >> bits != 0)
            if not right or not overflow and (yield dut.product) != a*b:
                wrong.append((a, b, (yield dut.product), overflow, busy))
            for _ in range(int(rng.integers(3))):
                yield  # the result stays

    simulate(dut, drive())
    assert not wrong, f"{len(wrong)} of {len(pairs)}, the first: a, b, product, overflow, busy = {wrong[0]}"


def test_a_new_start_leaves_nothing_of_the_one_before(seeded, simulate):
    """Started again while it is busy, as after an abort."""
    rng, dut, found, expected = seeded(0), Multiplier(16, 8), [], []

    def drive():
        for pause in range(9):
            for a, b in ((0xFFFF, 0xFF), (int(rng.integers(1, 256)), int(rng.integers(1, 256)))):
                yield dut.a.eq(a)
                yield dut.b.eq(b)
                yield dut.start.eq(1)
                yield
                yield dut.start.eq(0)
                for _ in range(pause if b == 0xFF else 10):
                    yield
            found.append(((yield dut.product), (yield dut.overflow)))
            expected.append((a*b, 0))

    simulate(dut, drive())
    assert found == expected
