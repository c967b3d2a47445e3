# SPDX-License-Identifier: BSD-2-Clause
"""Sums of F32."""

from migen import Case, Cat, Constant, Mux, Signal

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

        # 2: the smaller one moves down by 0, 8, 16, 24; below the 24 bits are three more, the last of them sticky.
        large    = named(Mux(swap, b, a), 32)
        small    = named(Mux(swap, a, b), 32)
        distance = named(Mux(swap, b_to_a, a_to_b), 8)
        value    = named(Cat(Constant(0, 3), Mux(small[23:31] == 0, 0, Cat(small[:23], 1))), 27)
        coarse, lost = Signal(27), Signal()
        self.comb += Case(distance[3:5], {step: [
            coarse.eq(value >> 8*step),
            lost.eq(value[:8*step] != 0 if step else 0),
        ] for step in range(4)})
        far      = distance[5:] != 0
        lost     = register(Mux(far, value != 0, lost), 1)
        coarse   = register(Mux(far, 0, coarse), 27)
        fine     = register(distance[:3], 3)
        kept     = register(Mux(large[23:31] == 0, 0, Cat(large[:23], 1)), 24)
        subtract = register(large[31] ^ small[31], 1)
        sign, exponent = register(large[31], 1), register(large[23:31], 8)

        # 3: … and by 0 to 7.
        moved, below = Signal(27), Signal()
        self.comb += Case(fine, {step: [
            moved.eq(coarse >> step),
            below.eq(coarse[:step] != 0 if step else 0),
        ] for step in range(8)})
        low  = register(Cat(moved[0] | below | lost, moved[1:]), 27)
        high = named(Cat(Constant(0, 3), register(kept)), 27)
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
