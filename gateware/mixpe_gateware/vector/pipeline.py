# SPDX-License-Identifier: BSD-2-Clause
"""What pipelines without enables are written with: registers without a reset, named signals, delays."""

from functools import reduce
from operator import or_

from litex.gen import LiteXModule
from migen import Cat, Mux, Signal, bits_for

BLOCK_BITS = 18  # of a multiplier block's operand
STEPS      = 16  # places that one block moves by, with the whole width of the value


class Pipeline(LiteXModule):
    """Base of units that take a value in every cycle and give its result `LATENCY` cycles later."""

    def named(self, value, bits, *, signed=False):
        """A signal of a width with a value."""
        signal = Signal((bits, signed))
        self.comb += signal.eq(value)
        return signal

    def register(self, value, bits=None, *, signed=False, reset=0):
        """A register that holds the value of the cycle before."""
        register = Signal((bits or len(value), signed), reset=reset, reset_less=not reset)
        self.sync += register.eq(value)
        return register

    def later(self, value, cycles, bits=None):
        """The value some cycles ago."""
        for _ in range(cycles):
            value = self.register(value, bits)
        return value

    def two_to(self, shift, none=0, steps=STEPS):
        """A register of 2^shift for `moved`, shift 0 … steps − 1; 0 with `none`."""
        shift, taken = self.named(shift, bits_for(steps - 1)), self.named(none == 0, 1)
        return self.register(Cat(*[taken & (shift == step) for step in range(steps)]), steps)

    def moved(self, value, power, *, signed=False):
        """A value times a power of two, by multiplier blocks: a shifter of LUTs takes a LUT for each bit and step.

        Latency 1 cycle. A block's products are registers, what takes their place is a wire.

        Returns
        -------
        Signal, of len(value) + steps − 1 bits
        """
        parts, bits = [], len(value) + len(power) - 1
        for low in range(0, len(value), BLOCK_BITS):
            top    = signed and low + BLOCK_BITS >= len(value)
            part   = self.named(value[low:low + BLOCK_BITS], min(BLOCK_BITS, len(value) - low), signed=top)
            factor = self.named(power, len(power) + top, signed=top)
            product = self.register(part*factor, len(part) + len(power) - 1, signed=top)
            parts.append(Cat(*[0]*low, product))
        return self.named(reduce(or_, parts), bits, signed=signed)  # no two of them have a 1 at one place

    def strobe(self, value, cycles):
        """A strobe some cycles ago; its registers have a reset, so that none comes from before it."""
        for _ in range(cycles):
            later = Signal()
            self.sync += later.eq(value)
            value = later
        return value


def rounded_exponents(unit, exponent, is_zero):
    """Registers of what becomes of a biased exponent, of 10 bits in two's complement, and of the next higher one.

    Returns
    -------
    two of (exponent, small, over)
        8 bits; flushed to zero; 2^128 or more.
    """
    found = []
    for value in (exponent, unit.named(exponent + 1, 10)):
        small = unit.named(is_zero | value[9] | (value[:9] == 0), 1)
        over  = unit.named(~small & (value[8] | (value[:8] == 255)), 1)
        found.append((unit.register(value[:8], 8), unit.register(small, 1), unit.register(over, 1)))
    return found


def packed(unit, mantissa, exponents, sign):
    """F32 of a rounded mantissa of 25 bits, whose carry says which exponent of `rounded_exponents` holds.

    Returns
    -------
    word : value of 32 bits
    over : value of 1 bit
    """
    carry = mantissa[24]
    exponent, small, over = (unit.named(Mux(carry, high, low), len(low)) for low, high in zip(*exponents, strict=True))
    word = Cat(Mux(small | carry, 0, mantissa[:23]), Mux(small, 0, exponent), sign & ~small)
    return word, over
