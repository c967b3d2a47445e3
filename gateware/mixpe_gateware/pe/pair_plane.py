# SPDX-License-Identifier: BSD-2-Clause
"""The dense MixPE-A8: signed-digit bit planes over stored sums and differences of activation pairs.

Each weight bit b is read as a digit d = 2b − 1, so that 2q − 15 = Σ_b 2^b·d_b and

    Σ q·x = (Σ_b 2^b·S_b + 15·Σx)/2          S_b = Σ_l d_b,l·x_l

*Pairs.* In one plane d0·x0 + d1·x1 = d0·(d0 = d1 ? u : v) with u = x0 + x1 and v = x0 − x1. Activations are written
once and read for every output channel, so u and v are made when they are written. A pair is then one operand with a 2:1
multiplexer in place of two operands: half of the first level of adders is gone.

*Deferred signs.* Every node of the tree computes ±A + B, and its own sign, that of its last pair, waits for the next
level. All selects are exclusive ors of two weight bits, shared by all rows of an array.

*Folded multiplexers.* An ECP5 carry cell adds p(a, b) and q(a, b, c, d): B's multiplexer is folded into it. A's, with
the sign, is one LUT a bit. Four lanes of one plane cost 8 LUTs and 10 cells.

*Exact negation for no LUT.* Numbers are offset binary, where NOT is negation less one. The missing one goes in as the
carry of bit 0, a function of the sign and of the two operands' lowest bits. The lowest bit of a node is the parity
of its activations, whatever the signs, so it is stored with the activations too; bit 0 is never computed.

The activation word: for each pair 18 bits, u + 256 (9 bits), (v + 256) >> 1 (8 bits; u and v have the same lowest bit),
and the parity of one node of the tree; then floor(15·Σx/2). Block RAMs of 18 bits hold that at no extra cost.
"""

from dataclasses import dataclass
from typing import ClassVar

from migen import Cat, Module, Signal

from mixpe_gateware.pe.interface import DotProduct, check_operand
from mixpe_gateware.pe.pair_adders import (
    LeafAdder,
    NodeAdder,
    OutputAdder,
    PlaneAdder,
    PlaneMerger,
    place,
    signed_row,
)
from mixpe_gateware.pe.pair_encoder import PairEncoder
from mixpe_gateware.pe.registered import delayed, registered

PAIR_BITS = 18


@dataclass(frozen=True, kw_only=True)
class PairPlaneA8(DotProduct):
    """UINT4 × INT8 dot product over encoded activations (`encode`, or `PairEncoder` in gateware).

    Parameters
    ----------
    pipelined : bool
        A register between A's multiplexer and the first adder: one cycle more, and the broadcast of the selects has a
        cycle of its own.
    adders_per_chain : int
        Adders of the first level that follow each other in one ECP5 carry chain. nextpnr spends four LUT sites to enter
        and leave a chain; a longer chain is slower.
    """

    pipelined: bool = True
    adders_per_chain: int = 2

    name: ClassVar[str] = "dense"
    summary: ClassVar[str] = "MixPE W4A8, signed-digit bit planes over stored pair sums and differences"
    targets: ClassVar[tuple] = ("portable", "ecp5")
    lanes_min: ClassVar[int] = 4

    @property
    def pairs(self):
        return self.lanes//2

    @property
    def levels(self):
        """Adder levels over the pairs of one plane."""
        return self.pairs.bit_length() - 1

    @property
    def sum_bits(self):
        """Width of Σx."""
        return 8 + self.lanes.bit_length() - 1

    @property
    def activation_bits(self):
        return PAIR_BITS*self.pairs + self.sum_bits + 3

    @property
    def latency(self):
        return self.levels + 4 + self.pipelined

    def encode(self, x):
        x = check_operand("activations", x, 8, True, self.lanes)
        even, odd = x[0::2], x[1::2]
        parities = [0]*self.pairs + [int(value) & 1 for value in even + odd]
        for node in range(self.pairs - 1, 0, -1):
            parities[node] = parities[2*node] ^ parities[2*node + 1]
        word = 0
        for pair in range(self.pairs):
            u, v = int(even[pair] + odd[pair]) + 256, int(even[pair] - odd[pair]) + 256
            word |= (u | (v >> 1) << 9 | parities[pair] << 17) << PAIR_BITS*pair
        offset_bits = self.sum_bits + 3
        return word | ((15*int(x.sum()) >> 1) & (1 << offset_bits) - 1) << PAIR_BITS*self.pairs

    def create(self, shared=None):
        return PairPlaneUnit(self) if shared is None else PairPlaneRow(self, shared)

    def create_shared(self):
        return PairSelects(self)

    def create_encoder(self):
        return PairEncoder(self)


class PairSelects(Module):
    """Selects that the units of several rows share: exclusive ors of weight bits, which no row changes.

    Each unit asks for what it needs (`take`); what was asked for before is not made again.

    Attributes
    ----------
    weights : Signal(4·lanes), in
        Those of the units.
    """

    def __init__(self, params):
        self.weights = Signal(4*params.lanes)
        self._made   = {}

    def take(self, first, second, delay):
        """Bit `first` ^ bit `second` of the weights, a register and `delay` cycles later.

        `second` None is for the inverse of `first`.
        """
        key = first, second, delay
        if key not in self._made:
            if delay:
                self._made[key] = registered(self, self.take(first, second, delay - 1))
            else:
                other = 1 if second is None else self.weights[second]
                self._made[key] = registered(self, self.weights[first] ^ other)
        return self._made[key]


class PairPlaneUnit(Module):
    """The unit of `PairPlaneA8`: see `DotProduct` for its ports. Inputs are registered first."""

    shared = None  # the `PairSelects` that the selects come from; without one the unit makes its own

    def __init__(self, params):
        pairs, levels = params.pairs, params.levels
        self.weights     = Signal(4*params.lanes)
        self.activations = Signal(params.activation_bits)
        self.product     = Signal((params.product_bits, True), reset_less=True)
        self.latency     = params.latency

        # # #

        extra  = int(params.pipelined)
        word   = registered(self, self.activations, params.activation_bits)
        offset = word[PAIR_BITS*pairs:]

        def digit(plane, pair, odd=0):
            return 4*(2*pair + odd) + plane

        # Nodes are numbered as in a heap: 1 is the root, node j has children 2j and 2j + 1, leaf i is pairs + i.
        def last_pair(node):
            while node < pairs:
                node = 2*node + 1
            return node - pairs

        def select(first, second, delay):
            """Exclusive or of two weight bits, a register and `delay` cycles later."""
            if self.shared is not None:
                return self.shared.take(first, second, delay)
            return delayed(self, registered(self, self.weights[first] ^ self.weights[second]), delay)

        def negate(plane, node, delay):
            return select(digit(plane, last_pair(2*node)), digit(plane, last_pair(2*node + 1)), delay)

        def values(pair, delay):
            """Both values of a pair."""
            fields = Signal(PAIR_BITS - 1)
            self.comb += fields.eq(word[PAIR_BITS*pair:PAIR_BITS*pair + 17])
            fields = delayed(self, fields, delay)
            return fields[:9], Cat(fields[0], fields[9:])

        parity = {}
        for node in range(1, pairs):
            source = Signal()
            self.comb += source.eq(word[PAIR_BITS*node + 17])
            parity[node] = delayed(self, source, levels + 1 - node.bit_length() + extra)

        # First level: pairs to nodes.
        nodes  = [{} for _ in range(4)]
        first  = range(pairs//2, pairs)
        adders = []
        for plane in range(4):
            for node in first:
                a, b   = 2*node - pairs, 2*node + 1 - pairs
                u, v   = values(a, 0)
                differ = [select(digit(plane, pair), digit(plane, pair, odd=1), extra*(pair == b)) for pair in (a, b)]
                row    = signed_row(self, u, v, differ[0], negate(plane, node, 0))
                a0     = Signal()
                self.comb += a0.eq(u[0])
                if extra:
                    row = registered(self, row, 8)
                adders.append(LeafAdder(row=row, negate=negate(plane, node, extra), a0=delayed(self, a0, extra),
                                        b=(*values(b, extra), differ[1])))
        place(self, adders, params.target, params.adders_per_chain)
        for index, adder in enumerate(adders):
            nodes[index//len(first)][first[index % len(first)]] = registered(self, adder.total, len(adder.total))

        # The levels above.
        for level in range(1, levels):
            row = range(pairs >> level + 1, pairs >> level)
            adders = [NodeAdder(
                          negate = negate(plane, node, level + extra),
                          a      = (nodes[plane][2*node], parity[2*node]),
                          b      = (nodes[plane][2*node + 1], parity[2*node + 1]))
                      for plane in range(4) for node in row]
            place(self, adders, params.target)
            for index, adder in enumerate(adders):
                nodes[index//len(row)][row[index % len(row)]] = registered(self, adder.total, len(adder.total))

        # Four planes to one, relative to the sign of the highest; its sign last, with 15·Σx.
        roots    = [nodes[plane][1] for plane in range(4)]
        last     = pairs - 1
        relative = [select(digit(plane, last), digit(3, last), levels + extra) for plane in range(3)]
        if self.shared is None:
            negative = delayed(self, registered(self, ~self.weights[digit(3, last)]), levels + 2 + extra)
        else:
            negative = self.shared.take(digit(3, last), None, levels + 2 + extra)

        low  = PlaneAdder(roots[0], relative[0], roots[1], relative[1], parity[1])
        high = PlaneAdder(roots[2], relative[2], roots[3], 0,           parity[1])
        place(self, [low, high], params.target)
        low_sum, high_sum = (registered(self, adder.total, len(adder.total)) for adder in (low, high))
        odd = delayed(self, parity[1], 1)

        merger = PlaneMerger(low_sum, high_sum, delayed(self, relative[1], 1), odd)
        place(self, [merger], params.target)
        planes = registered(self, merger.total, len(merger.total))
        odd    = delayed(self, odd, 1)

        offset = delayed(self, registered(self, offset, len(offset)), levels + 1 + extra)
        output = OutputAdder(planes, negative, offset, odd, params.product_bits)
        place(self, [output], params.target)
        self.sync += self.product.eq(output.total)


class PairPlaneRow(PairPlaneUnit):
    """A unit that leaves its selects to `PairSelects`: a row of an array, which may stand still while others move."""

    def __init__(self, params, shared):
        self.shared = shared
        super().__init__(params)
        self.weights = shared.weights
