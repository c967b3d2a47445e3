# SPDX-License-Identifier: BSD-2-Clause
"""Sums of F32."""

from migen import Cat, Constant, Mux, Signal

from mixpe_gateware.vector.pipeline import Pipeline, packed, rounded_exponents


class Adder(Pipeline):
    """`contract.decoder.float32.add`: fl(a + b).

    Latency 8 cycles, a sum a cycle, no back-pressure.

    Attributes
    ----------
    a, b : Signal(32), in
        Finite; subnormal numbers count as zero.
    sum : Signal(32), out
    over : Signal(), out
        With `sum`: it is 2^128 or more.
    """

    LATENCY = 8

    def __init__(self):
        self.a, self.b = Signal(32), Signal(32)
        self.sum  = Signal(32)
        self.over = Signal()

        # # #

        a, b = self.a, self.b
        named, register = self.named, self.register

        # 1: which is larger, and how far they are apart.
        swap   = register(a[:31] < b[:31], 1)
        a_to_b = register(a[23:31] - b[23:31], 8)
        b_to_a = register(b[23:31] - a[23:31], 8)
        a, b   = register(a), register(b)

        # 2: the smaller one moves down by 0 or 16; below the 24 bits are three more, the last of them sticky.
        large    = named(Mux(swap, b, a), 32)
        small    = named(Mux(swap, a, b), 32)
        distance = named(Mux(swap, b_to_a, a_to_b), 8)
        mantissa = Cat(small[:23], 1)
        none     = named(small[23:31] == 0, 1)
        far      = named(distance[5:] != 0, 1)
        lost     = register(~none & (far | (distance[4] & (mantissa[:13] != 0))), 1)
        coarse   = register(Mux(distance[4], mantissa[13:], Cat(Constant(0, 3), mantissa)), 27)
        power    = self.two_to(~distance[:4], far | none)
        kept     = register(Mux(large[23:31] == 0, 0, Cat(large[:23], 1)), 24)
        subtract = register(large[31] ^ small[31], 1)
        sign, exponent = register(large[31], 1), register(large[23:31], 8)

        # 3: … and by 0 to 15, which is up by 15 to 0 and down by 15.
        moved = self.moved(coarse, power)
        low   = named(Cat((moved[:16] != 0) | register(lost), moved[16:42]), 27)
        high  = named(Cat(Constant(0, 3), register(kept)), 27)
        subtract, sign, exponent = register(subtract), register(sign), register(exponent)

        # 4
        total = register(Mux(subtract, high - low, high + low), 28)
        sign, exponent = register(sign), register(exponent)

        # 5 and 6: zeros on top go out.
        zeros = []
        for stage in ((16, 8), (4, 2, 1)):
            for step in stage:
                empty = named(total[28 - step:] == 0, 1)
                total = named(Mux(empty, total << step, total), 28)
                zeros.append(empty)
            if stage[0] == 16:
                total, zeros = register(total), [register(zero) for zero in zeros]
                sign, exponent = register(sign), register(exponent)
        exponent = register(exponent + 1 - Cat(*reversed(zeros)), 10)
        is_zero  = register(~total[27], 1)
        total, sign = register(total), register(sign)

        # 7: rounded to nearest, ties to even.
        up        = total[3] & ((total[:3] != 0) | total[4])
        mantissa  = register(total[4:] + up, 25)
        exponents = rounded_exponents(self, exponent, is_zero)
        sign      = register(sign & ~is_zero)

        # 8
        word, over = packed(self, mantissa, exponents, sign)
        self.comb += [
            self.sum.eq(register(word, 32)),
            self.over.eq(register(over, 1)),
        ]
