# SPDX-License-Identifier: BSD-2-Clause
"""Adder, multiplier and raiser against `contract.decoder.float32`, to the bit, with what leaves F32."""

import numpy as np
import pytest

from mixpe_gateware.contract.decoder.float32 import add, flush, multiply, raised, short
from mixpe_gateware.vector.adder import Adder
from mixpe_gateware.vector.multiplier import Multiplier
from mixpe_gateware.vector.raising import Raiser

PAIRS = 5000
TOO_LARGE = 2.0**128*(1 - 2.0**-25)  # what rounds to 2^128


def bits_of(x):
    return np.asarray(x, np.float32).view(np.uint32)


def random_pairs(rng, edges, kind):
    """Pairs of words: any; near each other in size; a sum that cancels, or ties; at both ends of the exponents."""
    a = rng.integers(0, 1 << 32, PAIRS, dtype=np.uint64).astype(np.uint32)
    b = rng.integers(0, 1 << 32, PAIRS, dtype=np.uint64).astype(np.uint32)
    if kind == "near":
        b = (b & np.uint32(0x807FFFFF)) | (np.clip((a >> 23 & 255).astype(int) + rng.integers(-27, 28, PAIRS), 0, 254)
            .astype(np.uint32) << np.uint32(23))
    elif kind == "cancel":
        b = (a ^ np.uint32(1 << 31)) + rng.integers(-3, 4, PAIRS).astype(np.uint32)
    elif kind == "edges":
        a, b = rng.choice(edges, PAIRS), rng.choice(edges, PAIRS)
    elif kind == "inverse":  # products near 1, 2^-126 and 2^128
        target = rng.choice([127, 1, 0, 254, 255], PAIRS) + rng.integers(-1, 2, PAIRS)
        other  = np.clip(target + 127 - (a >> 23 & 255).astype(int), 0, 254)
        b = (b & np.uint32(0x807FFFFF)) | (other.astype(np.uint32) << np.uint32(23))
        b[::3] = (b[::3] & np.uint32(0xFF800000)) | rng.choice(np.array([0, 0x20, 0x3F, 0x7FFFE0, 0x7FFFFF], np.uint32),
            len(b[::3]))
        a[::2] |= np.uint32(0x7FFFF0)
    return [np.where(words >> 23 & 255 == 255, words & np.uint32(0xFF7FFFFF), words) for words in (a, b)]


def read(words):
    return flush(words.view(np.float32))


@pytest.mark.parametrize("kind", ("any", "near", "cancel", "edges", "inverse"))
def test_adder(kind, edges, seeded, stream_through):
    rng, unit = seeded(1), Adder()
    a, b = random_pairs(rng, edges, kind)
    got, over = stream_through(unit, {unit.a: a, unit.b: b}, [unit.sum, unit.over], Adder.LATENCY)
    exact = read(a).astype(np.float64) + read(b)
    large = np.abs(exact) >= TOO_LARGE
    assert (over == large).all()
    expected = bits_of(add(np.where(large, 0, read(a)).astype(np.float32), np.where(large, 0, read(b))
        .astype(np.float32)) + np.float32(0))
    wrong = np.flatnonzero((got != expected) & ~large)
    assert not wrong.size, [(hex(a[i]), hex(b[i]), hex(got[i]), hex(expected[i])) for i in wrong[:4]]


@pytest.mark.parametrize("kind", ("any", "near", "edges", "inverse"))
def test_multiplier(kind, edges, seeded, stream_through):
    rng, unit = seeded(2), Multiplier()
    a, b = random_pairs(rng, edges, kind)
    got, over = stream_through(unit, {unit.a: a, unit.b: b}, [unit.product, unit.over], Multiplier.LATENCY)
    x, y  = read(a), read(b)
    large = np.abs(y) >= np.float32(2.0**128*(1 - 2.0**-19))
    exact = x.astype(np.float64)*short(np.where(large, 1, y).astype(np.float32))
    large = large | (np.abs(exact) >= TOO_LARGE)
    assert (over == large).all()
    expected = bits_of(multiply(np.where(large, 0, x).astype(np.float32), np.where(large, 0, y).astype(np.float32))
        + np.float32(0))
    wrong = np.flatnonzero((got != expected) & ~large)
    assert not wrong.size, [(hex(a[i]), hex(b[i]), hex(got[i]), hex(expected[i])) for i in wrong[:4]]
    if kind == "inverse":
        assert large.any() and (np.abs(exact) < 2.0**-126).any()


def test_raiser(edges, seeded, stream_through):
    """All exponents, Inf, NaN and subnormals; units of both signs to their ends."""
    rng, unit = seeded(3), Raiser()
    words = np.concatenate([edges, edges, rng.integers(0, 1 << 32, 4000, dtype=np.uint64).astype(np.uint32)])
    units = np.where(rng.integers(2, size=len(words)), rng.integers(-512, 512, len(words)),
        rng.integers(-3, 4, len(words)))
    got, bad = stream_through(unit, {unit.word: words, unit.unit: units}, [unit.value, unit.bad], Raiser.LATENCY)
    infinite = words >> 23 & 255 == 255
    x = read(np.where(infinite, 0, words).astype(np.uint32))
    large = infinite | (np.abs(np.ldexp(x.astype(np.float64), units)) >= 2.0**128)
    assert (bad == large).all() and infinite.any()
    expected = bits_of(raised(np.where(large, 0, x).astype(np.float32), units) + np.float32(0))
    assert (got == expected)[~large].all()
