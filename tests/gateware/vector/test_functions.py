# SPDX-License-Identifier: BSD-2-Clause
"""Tables, reciprocals, roots and the logistic function against `contract.decoder`, to the bit."""

import numpy as np
import pytest
from litex.gen import LiteXModule

from mixpe_gateware.contract.decoder.cache import append
from mixpe_gateware.contract.decoder.functions import reciprocal, reciprocal_root, sigmoid
from mixpe_gateware.contract.decoder.tables import EXP2, INVERSE, RSQRT, RSQRT_2
from mixpe_gateware.vector.scalars import Scalars
from mixpe_gateware.vector.sigmoid import Sigmoid
from mixpe_gateware.vector.tables import FunctionTables


def test_tables_at_every_argument(stream_through):
    tables = [EXP2, INVERSE, RSQRT, RSQRT_2]
    for which, table in enumerate(tables):
        unit = FunctionTables(tables)
        fraction = np.arange(65536)
        value, = stream_through(unit, {unit.fraction: fraction, unit.which: np.full(65536, which)}, [unit.value],
            FunctionTables.LATENCY)
        assert (value == table.every).all()


def test_reciprocal_root(edges, seeded, stream_through):
    """All exponents; zero and what is negative are refused."""
    rng, unit = seeded(1), Scalars()
    words = np.concatenate([edges, rng.integers(0, 255 << 23, 3000).astype(np.uint32)])
    words[words >> 23 & 255 == 0] = 0
    value, bad = stream_through(unit, {unit.x: words, unit.root: np.ones(len(words))}, [unit.value, unit.bad],
        Scalars.LATENCY)
    x = words.view(np.float32)
    assert (bad == (x <= 0)).all()
    good = x > 0
    assert (value[good] == reciprocal_root(x[good]).view(np.uint32)).all()


def test_scales_and_their_reciprocals(edges, seeded, stream_through):
    rng, unit = seeded(2), Scalars()
    words = np.concatenate([edges, rng.integers(0, 251 << 23, 3000).astype(np.uint32)])
    words = words[words < 251 << 23]
    words[words >> 23 == 0] = 0
    value, scale, bad = stream_through(unit, {unit.x: words, unit.root: np.zeros(len(words))},
        [unit.value, unit.scale, unit.bad], Scalars.LATENCY)
    expected = (words.astype(np.uint64) + 0xFFFF >> np.uint64(16)).astype(np.uint32)
    assert (scale == expected).all() and not bad.any()
    some = expected > 0
    inverse = reciprocal((expected[some] << np.uint32(16)).view(np.float32))
    assert (value[some] == inverse.view(np.uint32)).all() and not value[~some].any()
    assert append(np.float32([[0.0]]))[1] == 0


@pytest.mark.parametrize("kind", ("edges", "ordinary"))
def test_sigmoid(kind, edges, seeded, stream_through):
    class Pair(LiteXModule):
        def __init__(self):
            self.sigmoid, self.scalars = Sigmoid(), Scalars()
            self.comb += [
                self.scalars.borrow.eq(1),
                self.scalars.fraction.eq(self.sigmoid.fraction),
                self.sigmoid.inverse.eq(self.scalars.inverse),
            ]

    rng, unit = seeded(3), Pair()
    words = edges.copy() if kind == "edges" else rng.normal(0, 6, 6000).astype(np.float32).view(np.uint32)
    words[words >> 23 & 255 == 0] = 0
    value, = stream_through(unit, {unit.sigmoid.x: words}, [unit.sigmoid.value], Sigmoid.LATENCY)
    x = words.view(np.float32)
    wrong = np.flatnonzero(value != sigmoid(x).view(np.uint32))
    assert not wrong.size, [(x[i], hex(value[i]), sigmoid(x[i:i + 1])) for i in wrong[:4]]
