# SPDX-License-Identifier: BSD-2-Clause
"""The adders of the dense MixPE-A8, each in plain Migen and in ECP5 carry cells.

All work on offset binary (U stands for U − 2^(w−1) in w bits) without bit 0, which is known from the parities. Each has
`total`, combinational, and two bodies that are proved equal: `portable(module)`, and `cells(module, chain)`, which
appends to a carry chain and ends with a stop cell, so that two adders of odd length share one chain (`place`).
"""

from migen import Cat, Mux, Replicate, Signal

from mixpe_gateware.pe.carry_chain import STOP, CarryChain, add_cell, carry_cell


def add_with_carry(a, b, carry):
    """Portable a + b + carry as one adder; the caller drops bit 0."""
    return Cat(carry, a) + Cat(carry, b)


def signed_row(module, u, v, differ, negate):
    """Bits 1 and up of ±(differ ? v : u), offset binary, as NOT when minus."""
    row = Signal(len(u))
    module.comb += row.eq(Mux(differ, v, u) ^ Replicate(negate, len(u)))
    return row[1:]


def place(module, adders, target, adders_per_chain=1):
    """Put adders into a module: expressions, or carry cells, odd adders two to a chain even if one was asked for."""
    if target == "portable":
        for adder in adders:
            adder.portable(module)
        return
    adders = list(adders)
    while adders:
        chain = CarryChain()
        module.submodules += chain
        placed = 0
        while adders and (placed < adders_per_chain or chain.cells % 2):
            adders.pop(0).cells(module, chain)
            placed += 1


def negation_carry(a0, b0, negate):
    """Carry out of bit 0 of ±A + B with exact negation: floor((±a0 + b0)/2), plus one when the sign is minus."""
    return Mux(negate, ~a0 | b0, a0 & b0)


# Carry of bit 0 with a = negate, b = b0, c = a0, d = 1.
NEGATION_CARRY = carry_cell(lambda a, b: a | b,
                            lambda a, b, c: 1 - ((1 - c | b) if a else (c & b)))
FOLDED_MUX     = add_cell(lambda a, b: a,         lambda a, b, c, d: d if b else c)
PLUS_MINUS     = add_cell(lambda a, b: a ^ b,     lambda a, b, c, d: c)
PLAIN          = add_cell(lambda a, b: a,         lambda a, b, c, d: c)
TWO_SIGNS      = add_cell(lambda a, b: a ^ b,     lambda a, b, c, d: c ^ d)
TWO_SIGNS_NOT  = add_cell(lambda a, b: 1 - (a ^ b), lambda a, b, c, d: c ^ d)
CARRY_A_NOT_B  = carry_cell(lambda a, b: a & 1 - b, lambda a, b, c: 0)
CARRY_A_OR_B   = carry_cell(lambda a, b: a | b,     lambda a, b, c: 0)
NOT_PLUS       = add_cell(lambda a, b: 1 - a,       lambda a, b, c, d: c)
MINUS_PLUS     = add_cell(lambda a, b: 1 - (a ^ b), lambda a, b, c, d: c)


class LeafAdder:
    """±A + B of two pairs of 9 bits at offset 256; `total` has bits 1 … 9 of the sum.

    Parameters
    ----------
    row : Signal(8)
        Bits 1 … 8 of A behind its multiplexer and its sign (NOT): one LUT a bit (`signed_row`).
    negate : Signal()
        A's sign is minus.
    a0 : Signal()
        Bit 0 of A before the sign.
    b : (u, v, differ)
        B's two values and which it is; the multiplexer is folded into the cells.
    """

    def __init__(self, row, negate, a0, b):
        self.row, self.negate, self.a0, self.b = row, negate, a0, b
        self.total = Signal(9)

    def portable(self, module):
        u, v, differ = self.b
        row_b, total = Signal(9), Signal(10)
        module.comb += [
            row_b.eq(Mux(differ, v, u)),
            total.eq(add_with_carry(self.row, row_b[1:], negation_carry(self.a0, u[0], self.negate))),
            self.total.eq(total[1:]),
        ]

    def cells(self, module, chain):
        u, v, differ = self.b
        chain.cell(NEGATION_CARRY, self.negate, u[0], self.a0, 1)
        bits = [chain.cell(FOLDED_MUX, self.row[bit - 1], differ, u[bit], v[bit]) for bit in range(1, 9)]
        module.comb += self.total.eq(Cat(*bits, chain.stop()))


class NodeAdder:
    """±A + B of two nodes, each (bits 1 and up, bit 0); `total` has bits 1 and up, one more than an operand."""

    def __init__(self, negate, a, b):
        self.negate, self.a, self.b = negate, a, b
        self.total = Signal(len(a[0]) + 1)

    def portable(self, module):
        (a, a0), (b, b0) = self.a, self.b
        total = Signal(len(self.total) + 1)
        module.comb += [
            total.eq(add_with_carry(a ^ Replicate(self.negate, len(a)), b, negation_carry(a0, b0, self.negate))),
            self.total.eq(total[1:]),
        ]

    def cells(self, module, chain):
        (a, a0), (b, b0) = self.a, self.b
        chain.cell(NEGATION_CARRY, self.negate, b0, a0, 1)
        bits = [chain.cell(PLUS_MINUS, a[bit], self.negate, b[bit], 1) for bit in range(len(a))]
        module.comb += self.total.eq(Cat(*bits, chain.stop()))


class PlaneAdder:
    """±A + 2·(±B, short of one when minus) of two plane sums without their bit 0, which is `odd` for both.

    With w bits an operand (offset 2^w in units of bit 0), `total` has w + 2: bits 1 and up of the sum at offset
    2^(w+2). A is given the missing part of that offset, 2^w, by its top cells.
    """

    def __init__(self, a, negate_a, b, negate_b, odd):
        self.a, self.negate_a, self.b, self.negate_b, self.odd = a, negate_a, b, negate_b, odd
        self.total = Signal(len(a) + 2)

    def portable(self, module):
        bits = len(self.a)
        row_a, row_b, total = Signal(bits), Signal(bits + 1), Signal(bits + 3)
        module.comb += [
            row_a.eq(self.a ^ Replicate(self.negate_a, bits)),
            row_b.eq(Cat(self.odd, self.b) ^ Replicate(self.negate_b, bits + 1)),
            total.eq(add_with_carry(Cat(row_a[:-1], ~row_a[-1], row_a[-1]), row_b, self.negate_a & ~self.odd)),
            self.total.eq(total[1:]),
        ]

    def cells(self, module, chain):
        bits = len(self.a)
        b = Cat(self.odd, self.b)
        chain.cell(CARRY_A_NOT_B, self.negate_a, self.odd, 0, 1)
        sums = [chain.cell(TWO_SIGNS, self.a[bit], self.negate_a, b[bit], self.negate_b) for bit in range(bits - 1)]
        sums.append(chain.cell(TWO_SIGNS_NOT, self.a[-1], self.negate_a, b[bits - 1], self.negate_b))
        sums.append(chain.cell(TWO_SIGNS, self.a[-1], self.negate_a, b[bits], self.negate_b))
        module.comb += self.total.eq(Cat(*sums, chain.stop()))


class PlaneMerger:
    """LOW + 4·HIGH + 2·`late` of two `PlaneAdder` totals (w bits, bit 0 is `odd` for both).

    `total` has w + 2 bits: bits 1 and up at offset 2^(w+2) in units of bit 0.
    """

    def __init__(self, low, high, late, odd):
        self.low, self.high, self.late, self.odd = low, high, late, odd
        self.total = Signal(len(low) + 2)

    def portable(self, module):
        sign = ~self.low[-1]
        low  = Cat(self.low[:-1], sign, sign, sign)
        module.comb += self.total.eq(low + Cat(self.late, self.odd, self.high))

    def cells(self, module, chain):
        high = [self.late, self.odd, *(self.high[bit] for bit in range(len(self.high)))]
        sums = []
        for bit, partner in enumerate(high):
            top = bit >= len(self.low) - 1
            sums.append(chain.cell(NOT_PLUS if top else PLAIN, self.low[min(bit, len(self.low) - 1)], 0, partner, 1))
        module.comb += self.total.eq(Cat(*sums))
        chain.cell(STOP)


class OutputAdder:
    """(±(2·PLANES + odd) + 15·Σx)/2 with exact negation, as a signed number of `bits` bits."""

    def __init__(self, planes, negative, offset, odd, bits):
        self.planes, self.negative, self.offset, self.odd = planes, negative, offset, odd
        self.total = Signal((bits, True))

    def portable(self, module):
        bits    = len(self.total)
        planes  = Signal((bits, True))
        offset  = Signal((len(self.offset), True))
        widened = Signal((bits, True))
        total   = Signal(bits + 1)
        module.comb += [
            planes.eq(Cat(self.planes[:-1], Replicate(~self.planes[-1], bits)) ^ Replicate(self.negative, 2*bits)),
            offset.eq(self.offset),
            widened.eq(offset),
            total.eq(add_with_carry(planes, widened, self.negative | self.odd)),
            self.total.eq(total[1:]),
        ]

    def cells(self, module, chain):
        chain.cell(CARRY_A_OR_B, self.negative, self.odd, 0, 1)
        sums = []
        for bit in range(len(self.total)):
            top = bit >= len(self.planes) - 1
            sums.append(chain.cell(MINUS_PLUS if top else PLUS_MINUS,
                                   self.planes[min(bit, len(self.planes) - 1)], self.negative,
                                   self.offset[min(bit, len(self.offset) - 1)], 1))
        module.comb += self.total.eq(Cat(*sums))


