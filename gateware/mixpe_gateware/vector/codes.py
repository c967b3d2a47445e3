# SPDX-License-Identifier: BSD-2-Clause
"""What the codes of a group are measured by: its largest magnitude, its exponent, its shift in a row."""

from migen import If, Mux, Signal

from mixpe_gateware.contract.config import SHIFT_LIMIT
from mixpe_gateware.contract.narrow import CODE_BITS, UNIT_MIN
from mixpe_gateware.contract.wide import ALIGNED_BITS
from mixpe_gateware.contract.widths import SHIFT_BITS
from mixpe_gateware.vector.pipeline import Pipeline
from mixpe_gateware.vector.quantiser import REFERENCE_BITS
from mixpe_gateware.vector.raising import UNIT_BITS

BIAS      = 126  # magnitudes below 2^e have biased exponents up to e + BIAS
CACHE_ONE = BIAS + CODE_BITS
LOWEST    = UNIT_MIN + BIAS + CODE_BITS  # reference of the narrow unit's least


class Largest(Pipeline):
    """Largest magnitude of each group, and the exponent of the largest of all.

    Latency 1 cycle from a group's last value to `put`.

    Attributes
    ----------
    clear : Signal(), in
        Strobe: a new row.
    x : Signal(32), in; valid, first, last : Signal(), in
    put : Signal(), out; largest : Signal(31), out
        A group has ended.
    top : Signal(8), out
        Biased exponent of the row's largest so far, one cycle after `put`.
    """

    def __init__(self):
        self.clear = Signal()
        self.x     = Signal(32)
        self.valid, self.first, self.last = Signal(), Signal(), Signal()
        self.put     = Signal()
        self.largest = Signal(31)
        self.top     = Signal(8)

        # # #

        self.sync += [
            self.put.eq(self.valid & self.last),
            If(self.valid & (self.first | (self.x[:31] > self.largest)), self.largest.eq(self.x)),
            If(self.put & (self.largest[23:] > self.top), self.top.eq(self.largest[23:])),
            If(self.clear, self.top.eq(0)),
        ]


class GroupReference(Pipeline):
    """By what the values of a group are quantised.

    Latency 1 cycle from `largest` to `reference` and `exponent`, 2 to `shift`.

    Attributes
    ----------
    query, cache, narrow : Signal(), in
        Which codes; none of them: A16. They stay.
    top : Signal(8), in
        Biased exponent of the row's largest value.
    largest : Signal(31), in
        Of the group.
    reference : Signal((10, True)), out
        Of a `Quantiser`.
    exponent : Signal((10, True)), out
        e: the largest is below 2^e; 0 where it is zero.
    shift : Signal(4), out
    unit : Signal((10, True)), out
        Exponent of the row's unit.
    """

    def __init__(self):
        self.query, self.cache, self.narrow = Signal(), Signal(), Signal()
        self.top       = Signal(8)
        self.largest   = Signal(31)
        self.reference = Signal((REFERENCE_BITS, True), reset_less=True)
        self.exponent  = Signal((REFERENCE_BITS, True), reset_less=True)
        self.shift     = Signal(SHIFT_BITS)
        self.unit      = Signal((UNIT_BITS, True))

        # # #

        group = self.largest[23:]
        below = Signal((REFERENCE_BITS, True))
        base  = Signal((REFERENCE_BITS, True), reset_less=True)  # reference of shift 0
        self.comb += [
            below.eq(self.top - SHIFT_LIMIT),
            self.shift.eq(self.register((self.reference - base)[:SHIFT_BITS], SHIFT_BITS)),
        ]
        self.sync += [
            base.eq(Mux(self.narrow & (below < LOWEST), LOWEST, below)),
            If(self.cache,
                self.reference.eq(CACHE_ONE),
            ).Elif(self.query | ((group != 0) & (group > base)),
                self.reference.eq(group),
            ).Else(
                self.reference.eq(base),
            ),
            self.exponent.eq(Mux(group == 0, 0, group - BIAS)),
            self.unit.eq(base - BIAS - Mux(self.narrow, CODE_BITS, ALIGNED_BITS)),
            # A row of zeros: the unit that `contract.wide` gives it.
            If(~self.narrow & (self.top == 0), self.unit.eq(-ALIGNED_BITS)),
        ]
