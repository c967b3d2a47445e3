# SPDX-License-Identifier: BSD-2-Clause
"""Tables of the decoder's functions: 256 segments, linear within each, in integers.

A fraction f of 16 bits has a segment (its upper 8 bits) and a rest (its lower 8):

    value = base[segment] − (slope[segment]·rest >> 8),  18 bits, units of 2^-18

Every function falls from at most 1 to at least 1/2 over f = 0 … 1, 1 itself is given as 1 − 2^-18. The line of a
segment lies halfway between chord and tangent. Entries are made in integers of 96 bits and are thus the same on every
machine.
"""

from dataclasses import dataclass
from functools import cached_property
from math import isqrt

import numpy as np

SEGMENT_BITS  = 8
FRACTION_BITS = 16
VALUE_BITS    = 18
_REST_BITS    = FRACTION_BITS - SEGMENT_BITS
_PRECISION    = 96
_ONE          = 1 << _PRECISION
_HALVES       = 2 << SEGMENT_BITS  # segments and their middles


@dataclass(frozen=True, eq=False)
class Table:
    """A function of f = 0 … 1.

    Attributes
    ----------
    base : (256,) int32, below 2^18
    slope : (256,) int32, below 2^10
    """

    base:  np.ndarray
    slope: np.ndarray

    @classmethod
    def of(cls, points):
        """Table of a function's values at the ends and middles of segments: 513 integers, units of 2^-96."""
        base, slope = [], []
        for start, middle, end in zip(points[0::2], points[1::2], points[2::2], strict=False):
            bow = (2*middle - start - end)//4
            base.append(min(_rounded(start + bow), (1 << VALUE_BITS) - 1))
            slope.append(_rounded(start - end))
        return cls(np.array(base, np.int32), np.array(slope, np.int32))

    @cached_property
    def every(self):
        """Values at all fractions: (65536,) int32."""
        fraction = np.arange(1 << FRACTION_BITS, dtype=np.int32)
        segment, rest = fraction >> _REST_BITS, fraction & ((1 << _REST_BITS) - 1)
        return self.base[segment] - (self.slope[segment]*rest >> _REST_BITS)


def _rounded(value):
    """Units of 2^-96 to the nearest of 2^-18."""
    drop = _PRECISION - VALUE_BITS
    return (value + (1 << (drop - 1))) >> drop


def _powers():
    """2^-f."""
    root = _ONE//2
    for _ in range(_HALVES.bit_length() - 1):
        root = isqrt(root << _PRECISION)
    points = [_ONE]
    for _ in range(_HALVES):
        points.append(points[-1]*root >> _PRECISION)
    return points


EXP2     = Table.of(_powers())                                                                      # 2^-f
INVERSE  = Table.of([_ONE*_HALVES//(_HALVES + i) for i in range(_HALVES + 1)])                      # 1/(1 + f)
RSQRT    = Table.of([isqrt(_ONE*_ONE*_HALVES//(_HALVES + i)) for i in range(_HALVES + 1)])          # 1/√(1 + f)
RSQRT_2  = Table.of([isqrt(_ONE*_ONE*_HALVES//(2*(_HALVES + i))) for i in range(_HALVES + 1)])      # 1/√(2 + 2f)
