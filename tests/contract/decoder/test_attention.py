# SPDX-License-Identifier: BSD-2-Clause
"""KV cache and attention against plain integers, number by number."""

from fractions import Fraction
from math import floor

import numpy as np
import pytest

from mixpe_gateware.contract.decoder import attention as module
from mixpe_gateware.contract.decoder.attention import attention, query_codes
from mixpe_gateware.contract.decoder.cache import INVERSE_127, append, scale_parts
from mixpe_gateware.contract.decoder.functions import reciprocal
from mixpe_gateware.contract.decoder.tables import EXP2
from mixpe_gateware.contract.errors import RangeError


def power(x):
    """Smallest e with x < 2^e; x > 0."""
    e = x.numerator.bit_length() - x.denominator.bit_length()
    return e + 1 if x >= Fraction(2)**e else e


def slow_append(exact, head):
    head    = [exact.read(x) for x in head]
    largest = exact.multiply(max(map(abs, head)), INVERSE_127)
    if not largest:
        return [0]*len(head), Fraction(0)
    unit  = Fraction(2)**(power(largest) - 8)
    scale = -floor(-largest/unit)*unit
    inverse = reciprocal(np.float32(float(scale)))
    return [max(-127, min(127, round(exact.multiply(x, inverse)))) for x in head], scale


def slow_head(exact, q, keys, values):
    """One query over what it sees: keys and values are lists of (codes, mantissa, exponent)."""
    factor = np.float32(float(np.float32(1.4426950408889634))/np.sqrt(len(q)))
    t = [exact.multiply(x, factor) for x in q]
    e = power(max(map(abs, t))) if any(t) else 0
    codes  = [max(-32767, min(32767, round(x*Fraction(2)**(15 - e)))) for x in t]
    scores = [floor(sum(a*b for a, b in zip(codes, row, strict=True))*mantissa*Fraction(2)**(exponent + e + 1))
        for row, mantissa, exponent in keys]
    p = []
    for score in scores:
        whole, fraction = divmod(max(scores) - score, 65536)
        p.append(exact.table(EXP2, fraction) >> whole)
    most   = max((exponent for _, mantissa, exponent in values if mantissa), default=0)
    scaled = [x*mantissa >> 9 + most - exponent if mantissa else 0
        for x, (_, mantissa, exponent) in zip(p, values, strict=True)]
    assert max(scaled) < 1 << 17
    inverse = Fraction(float(reciprocal(np.float32(float(exact.round(sum(p)))))))
    return [exact.multiply(exact.round(sum(x*row[i] for x, (row, _, _) in zip(scaled, values, strict=True))),
        exact.read(inverse*Fraction(2)**(most + 9))) for i in range(len(q))]


def heads():
    rng = np.random.default_rng(3)
    yield np.zeros(4, np.float32)
    yield np.float32([2.0**-126, 0, -2.0**-126, 0])
    yield np.float32([2.0**-118, 2.0**-119, 0, 0])
    yield np.float32([2.0**124, -2.0**120, 1, 0])
    yield np.float32([127, 63.5, -63.5, .5])       # ties
    yield np.float32([-127, 126.5, -125.5, 1.5])
    for _ in range(60):
        yield (rng.normal(size=16)*10.0**rng.integers(-3, 4)).astype(np.float32)


def test_append(exact):
    for head in heads():
        codes, scale = append(head)
        wanted, wanted_scale = slow_append(exact, head)
        mantissa, exponent = scale_parts(scale)
        assert codes.dtype == np.int8 and scale.dtype == np.uint16
        assert codes.tolist() == wanted and int(mantissa)*Fraction(2)**int(exponent) == wanted_scale


def test_append_is_within_its_bound():
    x = np.random.default_rng(4).normal(size=(300, 64)).astype(np.float32)
    codes, scales = append(x)
    mantissa, exponent = scale_parts(scales)
    step = np.ldexp(mantissa.astype(np.float64), exponent)[:, None]
    assert (np.abs(x - codes*step) <= .505*step).all()
    assert (step[:, 0] <= 1.01*np.abs(x).max(axis=1)/127).all()


def test_every_scale_comes_apart():
    bits  = np.arange(0x7F80, dtype=np.uint16)
    value = (bits.astype(np.uint32) << 16).view(np.float32)
    mantissa, exponent = scale_parts(bits)
    normal = value >= 2.0**-126
    np.testing.assert_array_equal(np.ldexp(mantissa.astype(np.float64), exponent)[normal], value[normal])
    assert not mantissa[~normal].any() and mantissa.max() == 255 and mantissa[normal].min() == 128


def test_append_refuses_what_no_scale_has():
    with pytest.raises(RangeError, match="below 2\\^125"):
        append(np.float32([2.0**125, 0]))


def tensors(b, t, s, h, c, d, seed=0, spread=3):
    rng = np.random.default_rng(seed)
    q   = (rng.normal(size=(b, t, h, d))*2).astype(np.float32)
    kv  = [(rng.normal(size=(b, c, s, d))*2.0**rng.integers(-spread, spread, (b, c, s, 1))).astype(np.float32)
        for _ in range(2)]
    return q, *append(kv[0]), *append(kv[1])


def slow(exact, q, keys, key_scales, values, value_scales, window=None):
    b, t, h, d = q.shape
    c, s = keys.shape[1:3]
    def parted(codes, scales):
        return [(row.tolist(), int(mantissa), int(exponent))
            for row, mantissa, exponent in zip(codes, *scale_parts(scales), strict=True)]
    out = np.empty((b, t, h*d), np.float32)
    for i, j, n in np.ndindex(b, h, t):
        end  = s - t + n + 1
        seen = slice(0 if window is None else max(0, end - window), end)
        k, v = j*c//h, slice(j*d, (j + 1)*d)
        out[i, n, v] = [float(x) for x in slow_head(exact, q[i, n, j], parted(keys[i, k, seen], key_scales[i, k, seen]),
            parted(values[i, k, seen], value_scales[i, k, seen]))]
    return out


@pytest.mark.parametrize("shape, window", [
    ((1, 1, 1, 1, 1, 4),  None),   # T = 1
    ((2, 1, 9, 4, 2, 8),  None),   # decode, grouped heads
    ((1, 7, 7, 3, 1, 4),  None),   # prefill, causal
    ((1, 5, 12, 2, 2, 4), None),   # prefill behind a cache
    ((1, 6, 11, 2, 1, 4), 3),
    ((1, 4, 4, 2, 1, 4),  100),
    ((1, 1, 40, 2, 1, 4), 1),
])
@pytest.mark.parametrize("spread", [1, 12])
def test_attention(exact, monkeypatch, shape, window, spread):
    args   = tensors(*shape, spread=spread)
    wanted = slow(exact, *args, window)
    np.testing.assert_array_equal(attention(*args, window=window), wanted)
    monkeypatch.setattr(module, "BLOCK", 1)  # row by row
    np.testing.assert_array_equal(attention(*args, window=window), wanted)


@pytest.mark.parametrize("part", range(5))
def test_zeros(exact, part):
    args = [array.copy() for array in tensors(1, 3, 5, 2, 1, 4)]
    args[part][...] = 0
    found = attention(*args)
    np.testing.assert_array_equal(found, slow(exact, *args))
    assert found.any() == (part < 3)


def test_a_value_that_nobody_may_see_changes_nothing():
    args = [array.copy() for array in tensors(1, 4, 4, 2, 1, 8)]
    before = attention(*args)[:, :3]
    args[1][:, :, 3], args[2][:, :, 3], args[3][:, :, 3], args[4][:, :, 3] = 127, 0x7000, -127, 0x7000
    np.testing.assert_array_equal(attention(args[0][:, :3], *(array[:, :, :3] for array in args[1:])), before)
    args[0][:, 3] = 0   # its own score is 0
    np.testing.assert_array_equal(attention(*args)[:, :3], before)


def test_order_of_positions_does_not_matter():
    q, *cache = tensors(1, 1, 200, 4, 2, 16, spread=6)
    order = np.random.default_rng(0).permutation(200)
    np.testing.assert_array_equal(attention(q, *cache), attention(q, *(array[:, :, order] for array in cache)))


def test_one_pass_is_token_by_token():
    q, *cache = tensors(2, 20, 33, 6, 2, 16)
    found = attention(q, *cache, window=9)
    for i in range(20):
        one = attention(q[:, i:i + 1], *(array[:, :, :14 + i] for array in cache), window=9)
        np.testing.assert_array_equal(one, found[:, i:i + 1])


def test_sums_at_their_bound():
    """Longest context, every p' and v at its largest: 40 bits, and no fewer."""
    s = 1 << 15
    keys, values = np.zeros((1, 1, s, 2), np.int8), np.full((1, 1, s, 2), -127, np.int8)
    scales = np.full((1, 1, s), 0x3FFF, np.uint16)   # mantissa 255
    out = attention(np.ones((1, 1, 1, 2), np.float32), keys, scales, values, scales)
    assert 1 << 38 < s*127*(((1 << 18) - 1)*255 >> 9) < 1 << 39
    np.testing.assert_allclose(out, -127*float(np.uint32([0x3FFF0000]).view(np.float32)[0]), rtol=2.0**-14)
    with pytest.raises(RangeError, match="32768 positions at most, not of 2 and 32769"):
        more = [np.concatenate([array, array[:, :, :1]], axis=2) for array in (keys, scales, values, scales)]
        attention(np.ones((1, 1, 1, 2), np.float32), *more)


def test_scores_beyond_32_bits():
    q, *cache = tensors(1, 2, 2, 1, 1, 4)
    with pytest.raises(RangeError, match="below 2\\^15 to base 2"):
        attention(q*np.float32(1e6), *cache)


def test_close_to_real_attention():
    q, keys, key_scales, values, value_scales = tensors(1, 1, 100, 4, 2, 64, spread=1)
    def real(codes, scales):
        mantissa, exponent = scale_parts(scales)
        return codes*np.ldexp(mantissa.astype(np.float64), exponent)[..., None]
    k, v = (np.repeat(real(*pair), 2, axis=1)[0] for pair in ((keys, key_scales), (values, value_scales)))
    score = np.einsum("hd,hsd->hs", q[0, 0].astype(np.float64), k)/8
    p = np.exp(score - score.max(axis=1, keepdims=True))
    wanted = np.einsum("hs,hsd->hd", p/p.sum(axis=1, keepdims=True), v)
    np.testing.assert_allclose(attention(q, keys, key_scales, values, value_scales).reshape(4, 64), wanted, atol=2e-3)


def test_query_codes_keep_an_exponent_a_head():
    q = np.zeros((3, 4), np.float32)
    q[0, 0], q[1] = 1e-20, [1e10, -1e10, 5e9, 0]
    codes, exponent = query_codes(q)
    assert exponent[2] == 0 and not codes[2].any()
    assert (np.abs(codes[:2]).max(axis=1) >= 1 << 14).all() and np.abs(codes).max() < 1 << 15
