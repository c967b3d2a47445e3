# SPDX-License-Identifier: BSD-2-Clause
"""Lanes: a beat of keys or values against all heads at once, one multiplier a lane and head.

    keys     total[h] = Σ over the row of q[h, i]·k[i]
    values   sums[h, i] ← (first position ? 0 : sums[h, i]) + p'[h]·v[i]

    beat, step ─► query memory ─┬─► operand ─► products ─┬─► tree ─► totals       keys
    weights ────────────────────┘                        └─► sums, row by row     values
"""

from migen import Cat, If, Mux, Signal

from mixpe_gateware.attention.operands import QueryMemory, RowMemory
from mixpe_gateware.contract.decoder.attention import QUERY_BITS
from mixpe_gateware.contract.widths import log2
from mixpe_gateware.vector.pipeline import Pipeline

CODE_BITS    = 8
WEIGHT_BITS  = 17                        # of p', unsigned
OPERAND_BITS = WEIGHT_BITS + 1           # a multiplier block's
PRODUCT_BITS = WEIGHT_BITS + CODE_BITS   # signed; those of keys are smaller
TOTAL_BITS   = 32


def sum_bits(config):
    """Width of a sum of p'·v over the longest context, signed: 40 for 2^15 positions."""
    return PRODUCT_BITS + log2(config.context_max)


class Lanes(Pipeline):
    """Dot products of a row of keys, weighted sums of rows of values.

    A beat a cycle, no back-pressure. Latency 5 to 7 cycles from the beat with `last` to `done` (a register for two
    levels of the tree), 4 or 5 from a beat of values to its sums. The same row comes again after two cycles at the
    earliest, after three where rows have a latency of two (`RowMemory`).

    Parameters
    ----------
    config : Config
    depth : int
        Beats of the longest row.

    Attributes
    ----------
    beat : Signal(port_bits), in
    step : Signal(max=depth), in
        Place of the beat in its row.
    keys, values : Signal(), in
        `beat` is one of keys, of values.
    first, last : Signal(), in
        Keys: first and last beat of a row. Values: `first` for the whole row of the first position.
    weights : list of Signal(17), in
        p' of each head, with a beat of values.
    totals : list of Signal((32, True)), out; done : Signal(), out
        Dot products of a row; they hold for a cycle.
    row : Signal(max=depth), in; reading : Signal(), in
        A row of sums is read, while no values come.
    sums : list of Signal(L·sum_bits), out
        That row, one a head, `row_latency` cycles later.
    """

    def __init__(self, config, depth):
        heads, lanes, bits = config.attention_heads, config.beat_bytes, sum_bits(config)
        self.beat    = Signal(config.port_bits)
        self.step    = Signal(max=max(2, depth))
        self.keys    = Signal()
        self.values  = Signal()
        self.first   = Signal()
        self.last    = Signal()
        self.weights = [Signal(WEIGHT_BITS) for _ in range(heads)]
        self.totals  = [Signal((TOTAL_BITS, True), reset_less=True) for _ in range(heads)]
        self.done    = Signal()
        self.row     = Signal(max=max(2, depth))
        self.reading = Signal()
        self.sums    = [Signal(lanes*bits) for _ in range(heads)]

        # # #

        self.queries = queries = QueryMemory(config, depth)
        self.memory  = memory  = RowMemory(heads*lanes*bits, depth)
        operand_age  = queries.latency + 1   # cycles from a beat to the operands of the multipliers
        product_age  = operand_age + 1
        self.row_latency = memory.latency

        # Operands and products. ---------------------------------------------------------------------------------------
        beat    = self.later(self.beat, operand_age)
        weighs  = self.later(self.values, operand_age - 1)
        weights = [self.later(weight, operand_age - 1) for weight in self.weights]
        self.comb += queries.step.eq(self.step)
        products = [[self._product(Mux(weighs, weight, self._code(codes, lane)), beat, lane) for lane in range(lanes)]
            for codes, weight in zip(queries.codes, weights, strict=True)]

        # Totals: the tree has a register every two levels. ------------------------------------------------------------
        first = self.later(self.first, product_age)
        keys  = self.strobe(self.keys, product_age)
        last  = self.strobe(self.last & self.keys, product_age)
        trees = [self._tree(row) for row in products]
        age   = trees[0][1]
        first_total, add = self.later(first, age), self.strobe(keys, age)
        for total, (partial, _) in zip(self.totals, trees, strict=True):
            self.sync += If(add, total.eq(partial + Mux(first_total, 0, total)))
        self.comb += self.done.eq(self.strobe(last, age + 1))

        # Sums: a row is read before its products are there, and written with them. ------------------------------------
        read_age = product_age - memory.latency
        steps    = self.later(self.step, read_age)
        new = []
        for head, row in enumerate(products):
            self.comb += self.sums[head].eq(memory.data[lanes*bits*head:lanes*bits*(head + 1)])
            for lane, product in enumerate(row):
                old, total = Signal((bits, True)), Signal((bits, True))
                self.comb += old.eq(self.sums[head][bits*lane:bits*(lane + 1)]), total.eq(old + product)
                new.append(total)
        self.comb += [
            memory.address.eq(Mux(self.reading, self.row, steps)),
            memory.clear.eq(self.strobe(self.first & self.values, product_age - 1)),
            memory.write.eq(self.strobe(self.values, product_age)),
            memory.write_address.eq(self.later(steps, memory.latency)),
            memory.write_data.eq(Cat(*new)),
        ]

    def _code(self, codes, lane):
        """A query's code, extended to the width of an operand."""
        bits = QUERY_BITS + 1
        code = codes[bits*lane:bits*(lane + 1)]
        return Cat(code, *[code[-1]]*(OPERAND_BITS - bits))

    def _product(self, operand, beat, lane):
        left  = self.register(operand, OPERAND_BITS, signed=True)
        right = Signal((CODE_BITS, True))
        self.comb += right.eq(beat[CODE_BITS*lane:CODE_BITS*(lane + 1)])
        return self.register(left*right, PRODUCT_BITS, signed=True)

    def _tree(self, values):
        """(sum, its age in cycles)."""
        age = level = 0
        bits = PRODUCT_BITS
        while len(values) > 1:
            level, bits = level + 1, bits + 1
            sums = []
            for left, right in zip(values[0::2], values[1::2], strict=True):
                both = Signal((bits, True))
                self.comb += both.eq(left + right)
                sums.append(both)
            values = sums
            if level % 2 == 0 or len(values) == 1:
                values, age = [self.register(value, bits, signed=True) for value in values], age + 1
        return values[0], age
