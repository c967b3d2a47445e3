# SPDX-License-Identifier: BSD-2-Clause
"""Tables at every argument, and the functions made of them."""

import hashlib
from fractions import Fraction

import numpy as np
import pytest

from mixpe_gateware.contract.decoder import tables
from mixpe_gateware.contract.decoder.float32 import flush
from mixpe_gateware.contract.decoder.functions import LOG2_E, exp2_negative, reciprocal, reciprocal_root, sigmoid
from mixpe_gateware.contract.errors import RangeError

FRACTION = np.arange(65536)/65536
TABLES = {  # function, and the beginning of the SHA-256 of all its values
    "EXP2":    (2.0**-FRACTION,              "aba3fe4780c37a25"),
    "INVERSE": (1/(1 + FRACTION),            "c4941907e3662df3"),
    "RSQRT":   (1/np.sqrt(1 + FRACTION),     "9e16a130b44bc9b7"),
    "RSQRT_2": (1/np.sqrt(2 + 2*FRACTION),   "d04938a201119e89"),
}


@pytest.mark.parametrize("name", TABLES)
def test_tables(name, exact):
    """Each has 18 and 10 bits, falls, is within 2^-16.1 of its function, and the same on every machine."""
    table, (function, digest) = getattr(tables, name), TABLES[name]
    assert 0 < table.base.min() and table.base.max() < 1 << 18 and 0 < table.slope.min() and table.slope.max() < 1 << 10
    assert (np.diff(table.every) <= 0).all()
    assert np.abs(table.every/2.0**18/function - 1).max() <= 2.0**-16.1
    assert table.every[::17].tolist() == [exact.table(table, fraction) for fraction in range(0, 65536, 17)]
    assert hashlib.sha256(table.every.astype("<i4").tobytes()).hexdigest().startswith(digest)


@pytest.mark.parametrize("exponent", [-126, -1, 0, 1, 124])
def test_reciprocals(exponent):
    x = np.ldexp(np.float32(1) + np.arange(1 << 16, dtype=np.float32)/65536, exponent).astype(np.float32)
    x = np.concatenate([x, np.nextafter(x, np.float32(np.inf))])
    assert np.abs(reciprocal(x)*x.astype(np.float64) - 1).max() <= 2.0**-15
    assert np.abs(reciprocal_root(x)*np.sqrt(x.astype(np.float64)) - 1).max() <= 2.0**-15


@pytest.mark.parametrize("function", [reciprocal, reciprocal_root])
@pytest.mark.parametrize("bad", [0.0, -1.0, 2.0**-127, np.inf, np.nan])
def test_no_reciprocal(function, bad):
    with pytest.raises(RangeError, match="positive normal FP32"):
        function(np.float32([1, bad]))


def test_reciprocals_that_would_be_flushed():
    with pytest.raises(RangeError, match="below 2\\^125"):
        reciprocal(np.float32(2.0**125))
    assert reciprocal_root(np.float32(2.0**127)) > 0


def test_powers():
    """Every argument down to zero."""
    t = np.arange(20 << 16)
    found = exp2_negative(t)
    assert np.abs(found - 2.0**(18 - t/65536)).max() <= 4 and (np.diff(found) <= 0).all() and found[0] == (1 << 18) - 1
    assert not found[18 << 16:].any() and exp2_negative(np.array([(1 << 40), 1 << 62])).tolist() == [0, 0]


def test_sigmoid(exact, edges):
    """Against integers at edges and between, against the function by its bound, and against itself mirrored."""
    some = flush(np.concatenate([edges, np.float32([44, -44, 44.4, -44.4, 11.09, -11.09, -12, 2.0**-16, -2.0**-17]),
        np.random.default_rng(2).normal(0, 6, 500).astype(np.float32)]))
    wanted = []
    for x in some.tolist():
        t = Fraction(64) if abs(x) >= 2**6 else min(exact.multiply(np.float32(abs(x)), LOG2_E), Fraction(64))
        whole, fraction = divmod(int(t*65536), 65536)
        value = exact.table(tables.INVERSE, (exact.table(tables.EXP2, fraction) >> whole) >> 2)
        value = value if x >= 0 else (1 << 18) - value
        wanted.append(0 if value < 4 else value)
    assert np.rint(sigmoid(some)*2.0**18).astype(int).tolist() == wanted
    x = np.linspace(-70, 70, 200001).astype(np.float32)
    assert np.abs(sigmoid(x) - 1/(1 + np.exp(-x.astype(np.float64)))).max() <= 2.0**-14
    assert sigmoid(np.float32([-70, -12])).tolist() == [0, 0]
