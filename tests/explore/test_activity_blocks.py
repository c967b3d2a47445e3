# SPDX-License-Identifier: BSD-2-Clause
"""Blocks with a state of their own: products for products, words for words, and what their toggles count."""

import numpy as np
import pytest

from mixpe.explore.activity import transpose
from mixpe.explore.activity.memories import BlockRam, LutRam, ShiftRegister
from mixpe.explore.activity.multipliers import ArrayMultiplier, MultiplierBlock
from mixpe.explore.activity.weights import CARRY, FLIP_FLOP, HARD, LUT, SUM

SEED = 1


def signed(value, bits):
    return value - (value >> bits - 1 << bits)


@pytest.mark.parametrize("n, m", [(2, 2), (3, 3), (4, 4), (4, 3), (5, 4), (6, 3)])
@pytest.mark.parametrize("is_signed", [False, True])
def test_every_product(n, m, is_signed):
    """All pairs of factors, a stream each."""
    pairs = [(x, y) for x in range(1 << n) for y in range(1 << m)]
    ones  = (1 << len(pairs)) - 1
    product, _ = ArrayMultiplier(n, m, is_signed).multiply(
        transpose([x for x, _ in pairs], n), transpose([y for _, y in pairs], m), ones)
    mask = (1 << n + m) - 1
    expected = [signed(x, n)*signed(y, m) & mask if is_signed else x*y for x, y in pairs]
    assert transpose(product, len(pairs)) == expected


@pytest.mark.parametrize("n, m", [(9, 9), (16, 16), (18, 18), (25, 18)])
def test_products_of_the_blocks_widths(n, m):
    rng   = np.random.default_rng(SEED)
    edges = [0, 1, -1, (1 << m - 1) - 1, -(1 << m - 1)]
    pairs = [(x, y) for x in edges for y in edges]
    pairs += [(int(rng.integers(-(1 << n - 1), 1 << n - 1)), int(rng.integers(-(1 << m - 1), 1 << m - 1)))
              for _ in range(300)]
    product, _ = ArrayMultiplier(n, m, True).multiply(
        transpose([x & (1 << n) - 1 for x, _ in pairs], n), transpose([y & (1 << m) - 1 for _, y in pairs], m),
        (1 << len(pairs)) - 1)
    assert [signed(word, n + m) for word in transpose(product, len(pairs))] == [x*y for x, y in pairs]


def test_toggles_of_a_multiplier():
    """Nothing for the same factors; sums and carries that change, by hand, for 2 × 2 bits."""
    array = ArrayMultiplier(2, 2, False)
    assert array.multiply([0, 0], [0, 0], 1)[1] == 0
    # 1 × 1: the first row of adders gets a partial product of 0, the product is the partial product of row 0.
    assert array.multiply([1, 0], [1, 0], 1) == ([1, 0, 0, 0], 0.0)
    # 3 × 3: adder 0 of the row adds a1·b0 and a0·b1 (carry), adder 1 has a1·b1; the last row adds that carry.
    product, toggles = array.multiply([1, 1], [1, 1], 1)
    assert product == [1, 0, 0, 1] and toggles == pytest.approx(HARD*(2*SUM + 2*CARRY))
    assert array.multiply([1, 1], [1, 1], 1) == (product, 0.0)
    array = ArrayMultiplier(18, 18, True)
    array.multiply([0]*18, [0]*18, 1)
    small = array.multiply([1, *[0]*17], [1, *[0]*17], 1)[1]
    assert array.multiply([0]*18, [0]*18, 1)[1] == small < array.multiply([1, 0]*9, [1, 0]*9, 1)[1]


@pytest.mark.parametrize("inputs, stages", [
    ((0, 0), 0), ((0, 0), 1), ((1, 0), 1), ((1, 1), 3), ((2, 2), 2), ((2, 1), 2)])
def test_registers_of_a_multiplier(inputs, stages):
    """The product comes as many cycles later as there are registers on its way; what nobody reads is not driven."""
    a, b, out = [f"a{i}" for i in range(4)], [f"b{i}" for i in range(4)], [f"p{i}" for i in range(7)] + [None]
    block  = MultiplierBlock(a, b, out, True, inputs, stages)
    values = {}
    rng    = np.random.default_rng(SEED)
    sent, seen = [], []
    for _ in range(30):
        x, y = int(rng.integers(0, 16)), int(rng.integers(0, 16))
        sent.append((x, y))
        values |= dict(zip(a, transpose([x], 4), strict=True)) | dict(zip(b, transpose([y], 4), strict=True))
        block.evaluate(values, 1)
        if not stages:
            seen.append([values[bit] for bit in out[:7]])
        for bit, value, weight in block.clock(values, 1)[1]:
            assert weight == FLIP_FLOP and bit is not None
            values[bit] = value
        if stages:
            seen.append([values[bit] for bit in out[:7]])
    late = [stages - 1 + registered if stages else 0 for registered in inputs]  # what is seen is after the edge
    for now in range(6, 30):
        x, y = sent[now - late[0]][0], sent[now - late[1]][1]
        word = sum(bit << place for place, bit in enumerate(seen[now]))
        assert word == signed(x, 4)*signed(y, 4) & 127
    assert (block.outputs == tuple(out[:7])) == (stages == 0)
    assert block.clocks == pytest.approx(HARD*(8*stages + 4*sum(inputs)))


def test_lut_ram():
    """What is written at one address is read there, by each stream on its own; unchanged bits cost nothing."""
    ram = LutRam([12, 13, 14, 15], [16, 17, 18, 19], [6, 7, 8, 9], [2, 3, 4, 5], 10)
    values = dict.fromkeys(range(2, 20), 0) | {2: 0b01, 4: 0b11, 6: 0b11, 9: 0b10, 10: 0b11}
    assert ram.clock(values, 0b11) == (FLIP_FLOP*3, ()) and ram.clock(values, 0b11) == (0, ())
    values |= {12: 0b11, 15: 0b10}
    assert ram.evaluate(values, 0b11) == LUT*3 and [values[bit] for bit in range(16, 20)] == [0b01, 0, 0b11, 0]
    assert ram.evaluate(values | {15: 0}, 0b11) == LUT and ram.evaluate(values, 0b11) == 0
    assert ram.clock(values | {2: 0, 10: 0}, 0b11) == (0, ())


def test_shift_register():
    """A delay of place + 1 cycles, which stops without its enable; all 16 places count."""
    register = ShiftRegister(2, "q", "d", "e")
    data, seen, toggles = [1, 0, 1, 1, 0, 0, 0, 0], [], []
    for bit in data:
        inside, ((name, value, weight),) = register.clock({"d": bit, "e": 1}, 1)
        assert (name, weight) == ("q", LUT)
        seen.append(value)
        toggles.append(inside)
    assert seen[2:] == data[:-2] and toggles[:3] == pytest.approx([HARD*1, HARD*2, HARD*3])
    assert register.clock({"d": 1, "e": 0}, 1) == (0, [("q", seen[-1], LUT)])


def test_block_ram():
    """Read at the clock, before what is written then; a mask keeps bits; each access swings the bit lines."""
    ram = BlockRam(["r0", "r1"], ["q0", "q1"], ["re"], ["w0", "w1"], ["d0", "d1"], ["0", "m"], ["we"])
    values = {"0": 0, "r0": 1, "r1": 0, "w0": 1, "w1": 0, "d0": 1, "d1": 1, "m": 1, "re": 1, "we": 1, "q0": 0, "q1": 0}
    toggles, changes = ram.clock(values, 1)
    assert toggles == pytest.approx(HARD*2*2*2) and changes == [("q0", 0, LUT), ("q1", 0, LUT)]
    toggles, changes = ram.clock(values | {"we": 0}, 1)
    assert toggles == pytest.approx(HARD*2*2) and changes == [("q0", 1, LUT), ("q1", 0, LUT)]
    assert ram.clock(values | {"we": 0, "r0": 0}, 1)[1] == [("q0", 0, LUT), ("q1", 0, LUT)]
    assert ram.clock(values | {"we": 0, "re": 0}, 1) == (0, ())
