# SPDX-License-Identifier: BSD-2-Clause
"""F32 against fractions: flush, 18 bits, product, sum, power of two."""

from fractions import Fraction

import numpy as np
import pytest

from mixpe_gateware.contract.decoder.float32 import add, flush, multiply, raised, short, truncated
from mixpe_gateware.contract.errors import RangeError


def pairs(edges, count=1000):
    """All pairs of edges, and pairs of random bits over the whole range of exponents, finite, some close together."""
    rng  = np.random.default_rng(5)
    bits = rng.integers(0, 1 << 32, (2, count), np.uint32)
    close = rng.integers(0, 1 << 32, count, np.uint32)
    near  = close ^ np.uint32(1 << 31) ^ rng.integers(0, 1 << 24, count, np.uint32)
    a = np.concatenate([np.repeat(edges, len(edges)), bits[0].view(np.float32), close.view(np.float32)])
    b = np.concatenate([np.tile(edges, len(edges)), bits[1].view(np.float32), near.view(np.float32)])
    keep = np.isfinite(a) & np.isfinite(b)
    return a[keep], b[keep]


def compare(function, slow, a, b):
    """Every number that is in range, together; every other one is refused alone."""
    a, b, wanted, inside = flush(a), flush(b), [], []
    for x, y in zip(a, b, strict=True):
        try:
            wanted.append(slow(x, y))
            inside.append(True)
        except OverflowError:
            inside.append(False)
            with pytest.raises(RangeError, match="finite FP32"):
                function(np.array([x]), np.array([y]))
    inside = np.array(inside)
    found  = function(a[inside], b[inside])
    assert found.dtype == np.float32 and not np.signbit(found[found == 0]).any()
    assert [Fraction(float(value)) for value in found] == wanted
    assert inside.any() and not inside.all()


def test_products(exact, edges):
    compare(multiply, exact.multiply, *pairs(edges))


def test_sums(exact, edges):
    compare(add, exact.add, *pairs(edges))


def test_products_next_to_the_smallest(exact):
    """Where binary32 rounds in steps of 2^-149 and a unit of 24 bits does not."""
    mantissas = np.concatenate([np.arange(2**24 - 60, 2**24), 2**24 + 64*np.arange(60)]).astype(np.float32)
    a = np.repeat(mantissas*np.float32(2.0**-86), 40)
    b = np.tile(((2**18 - 20 + np.arange(40))/2**18).astype(np.float32)*np.float32(2.0**-64), len(mantissas))
    wanted = [exact.multiply(x, y) for x, y in zip(a, b, strict=True)]
    assert [Fraction(float(value)) for value in multiply(a, b)] == wanted
    smallest = Fraction(2)**-126
    true = [Fraction(float(x))*Fraction(float(y)) for x, y in zip(a, b, strict=True)]
    assert any(x < smallest == y for x, y in zip(true, wanted, strict=True))
    flushed = [float(x) >= float(smallest)*(1 - 2.0**-24) and not y for x, y in zip(true, wanted, strict=True)]
    assert any(flushed) and (a*b)[flushed].all()


def test_18_bits_at_every_end(exact, edges):
    upper = np.array([0x3F800000, 0x3FFFFF80, 0x00800000, 0xC0490F80, 0x7F7FFC00], np.uint32)
    x = (upper[:, None] + np.arange(128, dtype=np.uint32)).reshape(-1).view(np.float32)
    x = np.concatenate([x, edges[np.abs(edges) < 2.0**127]])
    assert [Fraction(float(value)) for value in short(x)] == [exact.round(exact.read(value), 18) for value in x]
    np.testing.assert_array_equal(short(short(x)), short(x))
    assert (np.abs(truncated(x)) <= np.abs(x)).all() and (truncated(short(x)) == short(x)).all()
    with pytest.raises(RangeError, match="18 bits"):
        short(np.float32([2.0**128 - 2.0**104]))


def test_flush(edges):
    found = flush(edges)
    assert [float(x) for x in found[:6]] == [0, 0, 0, 0, 2.0**-126, -2.0**-126] and not np.signbit(found[:4]).any()
    np.testing.assert_array_equal(found[4:], edges[4:])
    for bad in (np.inf, -np.inf, np.nan):
        with pytest.raises(RangeError, match="a logit must be finite"):
            flush(np.float32([1, bad]), "a logit")
    assert flush(np.zeros((0, 3), np.float32)).shape == (0, 3)


def test_powers_of_two():
    x = np.float32([1.5, -1.5, 0, 1.5, 1 - 2.0**-24, 1])
    assert raised(x, np.array([3, -126, 200, -128, -126, -126])).tolist() == [12, -1.5*2.0**-126, 0, 0, 0, 2.0**-126]
    with pytest.raises(RangeError, match="power of two"):
        raised(np.float32(1), 128)


def test_shapes():
    assert multiply(np.float32(3), np.float32(2)) == 6
    assert multiply(np.ones((2, 1), np.float32), np.ones(3, np.float32)).shape == (2, 3)
