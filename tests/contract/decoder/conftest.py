# SPDX-License-Identifier: BSD-2-Clause
"""F32 in fractions, number by number: what the vectorised contract is compared with."""

from fractions import Fraction

import numpy as np
import pytest


class Exact:
    """Numbers are Fractions."""

    @staticmethod
    def round(value, bits=24):
        """To so many bits of mantissa, ties to even, exponents without end; then flushed."""
        value = Fraction(value)
        if not value:
            return value
        top  = abs(value.numerator).bit_length() - value.denominator.bit_length()
        top -= abs(value) < Fraction(2)**top
        unit = Fraction(2)**(top - bits + 1)
        value = round(value/unit)*unit
        if abs(value) >= 2**128:
            raise OverflowError
        return value if abs(value) >= Fraction(2)**-126 else Fraction(0)

    def multiply(self, a, b):
        return self.round(self.read(a)*self.round(self.read(b), 18))

    def add(self, a, b):
        return self.round(self.read(a) + self.read(b))

    @staticmethod
    def read(x):
        """Of a float32 or Fraction, the F32 that it is."""
        value = x if isinstance(x, Fraction) else Fraction(float(x))
        return value if abs(value) >= Fraction(2)**-126 else Fraction(0)

    @staticmethod
    def table(table, fraction):
        """A table's value at 16 bits of fraction."""
        segment, rest = divmod(fraction, 256)
        return int(table.base[segment]) - (int(table.slope[segment])*rest >> 8)


EDGES = np.array([0.0, -0.0, 2.0**-149, -2.0**-127, 2.0**-126, -2.0**-126, 2.0**-126*(1 + 2.0**-23), 2.0**-63, 1.0,
    -1.0, 1 + 2.0**-23, 1 - 2.0**-24, 1 + 2.0**-17, 1 + 2.0**-18, 1 + 3*2.0**-18, 2.0 - 2.0**-23, 3.0, 1/3, 65535.0,
    2.0**64, -2.0**127, 2.0**128 - 2.0**104, 2.0**128 - 2.0**110], np.float32)


@pytest.fixture
def exact():
    return Exact()


@pytest.fixture
def edges():
    """Zeros, subnormals, the smallest, ties of 18 bits, the largest."""
    return EDGES.copy()
