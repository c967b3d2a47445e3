# SPDX-License-Identifier: BSD-2-Clause
"""Rotary positions, SwiGLU, the choice of the token, and what a linear layer takes."""

from fractions import Fraction

import numpy as np
import pytest

from mixpe_gateware.contract import wide
from mixpe_gateware.contract.decoder.choice import largest
from mixpe_gateware.contract.decoder.functions import sigmoid
from mixpe_gateware.contract.decoder.rope import rotate
from mixpe_gateware.contract.decoder.swiglu import silu_multiply
from mixpe_gateware.contract.errors import RangeError, ShapeError


def test_rotate(exact):
    rng = np.random.default_rng(1)
    x   = rng.normal(size=(2, 3, 2, 8)).astype(np.float32)
    x[0, 0] = 0
    angle = rng.uniform(-4, 4, (3, 4))
    cos, sin = np.cos(angle).astype(np.float32), np.sin(angle).astype(np.float32)
    found = rotate(x, cos, sin)
    for i, t, h, j in np.ndindex(2, 3, 2, 4):
        a, b = x[i, t, h, j], x[i, t, h, j + 4]
        first  = exact.add(exact.multiply(a, cos[t, j]), -exact.multiply(b, sin[t, j]))
        second = exact.add(exact.multiply(b, cos[t, j]),  exact.multiply(a, sin[t, j]))
        assert (Fraction(float(found[i, t, h, j])), Fraction(float(found[i, t, h, j + 4]))) == (first, second)
    c, s = (np.concatenate([part, part], axis=1)[:, None] for part in (np.cos(angle), np.sin(angle)))
    real = x*c + np.concatenate([-x[..., 4:], x[..., :4]], axis=-1)*s
    assert (np.abs(found - real) <= 2.0**-17*np.tile(np.abs(x[..., :4]) + np.abs(x[..., 4:]), 2)).all()


def test_swiglu(exact):
    rng = np.random.default_rng(2)
    g   = np.concatenate([np.float32([0, -0.0, 2.0**-126, -20, 20, 60, -60]), rng.normal(0, 4, 400).astype(np.float32)])
    u   = rng.normal(size=len(g)).astype(np.float32)
    found  = silu_multiply(g, u)
    wanted = [exact.multiply(exact.multiply(a, s), b) for a, s, b in zip(g, sigmoid(g), u, strict=True)]
    assert [Fraction(float(x)) for x in found] == wanted
    silu = g/(1 + np.exp(-g.astype(np.float64)))
    assert (np.abs(found - silu*u) <= (2.0**-14*np.abs(g) + 2.0**-17*np.abs(silu))*np.abs(u) + 2.0**-126).all()


def test_choice():
    logits = np.float32([1, 3, -2, 3, 0, -0.0, 2.0**-140, 3])
    assert largest(logits).tolist() == [1, 3, 7, 0, 4, 5, 6, 2] and largest(logits, 1).tolist() == [1]
    many = np.random.default_rng(3).integers(-50, 50, 5000).astype(np.float32)
    wanted = sorted(range(5000), key=lambda index: (-many[index], index))
    assert largest(many).tolist() == wanted[:64] and largest(many, 5000).tolist() == wanted
    for bad in (np.nan, np.inf):
        with pytest.raises(RangeError, match="a logit"):
            largest(np.float32([1, bad]))
    for shape in ((0,), (2, 3)):
        with pytest.raises(ShapeError, match="one row of logits"):
            largest(np.zeros(shape, np.float32))


def test_a_linear_layer_takes_a_shift_of_each_group():
    """A16 by exponents alone: from an FP32's fields, with a rounding shift and nothing else."""
    rng = np.random.default_rng(4)
    x   = (rng.normal(size=(50, 64))*2.0**rng.integers(-30, 12, (50, 64))).astype(np.float32)
    x[0], x[1, :32], x[2, 0] = 0, 0, 65504
    a, shifts, unit = wide.align(x, 32)
    for t in range(len(x)):
        fields = [[int(value.view(np.uint32)) >> 23 & 255 for value in group] for group in x[t].reshape(2, 32)]
        tops   = [max(group) for group in fields]
        for group, top in enumerate(tops):
            shift = max(0, 15 - (max(tops) - top)) if top else 0
            assert shifts[t, group] == shift
            for value, field, code in zip(x[t, 32*group:], fields[group], a[t, 32*group:][:32], strict=False):
                if not field:
                    assert not code
                    continue
                mantissa = 1 << 23 | int(value.view(np.uint32)) & 0x7FFFFF
                drop = 10 + (max(tops) - field) - (15 - shift)
                kept, rest, half = mantissa >> drop, mantissa & (1 << drop) - 1, 1 << drop >> 1
                kept += rest > half or (rest == half and kept & 1)
                assert code == (-kept if value < 0 else kept)
        if max(tops):
            assert unit[t] == 2.0**(max(tops) - 126 - 15 - 14)
