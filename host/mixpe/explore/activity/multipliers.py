# SPDX-License-Identifier: BSD-2-Clause
"""The multiplier of a DSP block: an array of full adders whose toggles count as HARD, and registers around it.

What a vendor's multiplier is made of is not published. An array of carry-save adders is the plainest one, and the one
that the same product takes in a fabric's carry cells, so that both are counted alike but for the weight.
"""

from mixpe.explore.activity.cells import Block
from mixpe.explore.activity.weights import CARRY, FLIP_FLOP, HARD, LUT, SUM


class ArrayMultiplier:
    """Two's complement product of n and m bits by Baugh and Wooley's array (IEEE Trans. Computers C-22(12), 1973).

    Parameters
    ----------
    n, m : int
        Bits of the factors.
    signed : bool
    """

    def __init__(self, n, m, signed):
        self.n, self.m, self.signed = n, m, signed
        self.nodes   = [0]*2*n*m  # sum and carry of each full adder
        self.factors = None
        self.product = [0]*(n + m)

    def multiply(self, a, b, ones):
        """Product of the factors' bits, lowest first, and the weighted toggles of its adders since the last one."""
        if (a, b) == self.factors:
            return self.product, 0.0
        self.factors = a, b
        n, m, nodes  = self.n, self.m, []

        def partial(i):
            row = [x & b[i] for x in a]
            if self.signed and i < m - 1:
                row[-1] ^= ones
            elif self.signed:
                row = [x ^ ones for x in row[:-1]] + row[-1:]
            return row

        total, carry = partial(0), [0]*n
        if self.signed:  # the complements' constants, 2^(n-1) and 2^(m-1): adder j of the first row is worth 2^(j+1)
            places = [n - 1] if n == m else [n - 2, m - 2]
            for place in places:
                carry[place] = ones
        product = [total[0]]
        for i in range(1, m):
            above, total, carry_in, carry = [*total[1:], 0], [], carry, []
            for x, y, z in zip(above, carry_in, partial(i), strict=True):
                half = x ^ y
                total.append(half ^ z)
                carry.append(x & y | half & z)
            product.append(total[0])
            nodes += [*total, *carry]
        ripple, sums, carries = 0, [], []
        for x, y in zip([*total[1:], 0], carry, strict=True):
            half = x ^ y
            sums.append(half ^ ripple)
            ripple = x & y | half & ripple
            carries.append(ripple)
        nodes += [*sums, *carries]
        if self.signed:
            sums[-1] ^= ones
        toggles = 0.0
        for index, (weight, start) in enumerate([(SUM, 0), (CARRY, n)]*m):
            place = index//2*2*n + start
            toggles += weight*sum((now ^ old).bit_count() for now, old in
                                  zip(nodes[place:place + n], self.nodes[place:place + n], strict=True))
        self.nodes, self.product = nodes, product + sums
        return self.product, HARD*toggles


class MultiplierBlock(Block):
    """A multiplier with registers before, in and behind it.

    Parameters
    ----------
    a, b : list of bits
        The factors.
    outputs : list of bits
        The product, lowest first; those that nobody reads are None.
    signed : bool
    input_registers : (int, int)
        Before each factor, one behind the other.
    stages : int
        Registers of the whole product, the one at the output among them.
    enables : (list of bits, list of bits, list of bits), optional
        Clock enables of the registers before each factor and of those of the product, in the order of the data.
        None: all take every clock.
    """

    def __init__(self, a, b, outputs, signed, input_registers=(0, 0), stages=0, enables=None):
        self.factors    = list(a), list(b)
        self.product    = list(outputs)
        self.registered = [[[0]*len(bits) for _ in range(count)]
                           for bits, count in zip(self.factors, input_registers, strict=True)]
        self.pipeline   = [[0]*(len(a) + len(b)) for _ in range(stages)]
        self.enables    = enables or (["1"]*input_registers[0], ["1"]*input_registers[1], ["1"]*stages)
        self.array      = ArrayMultiplier(len(a), len(b), signed)
        places = sum(len(bits) for stages in (self.pipeline, *self.registered) for bits in stages)
        self.clocks     = HARD*places
        if not stages:
            self.inputs  = tuple(bit for bits, kept in zip(self.factors, self.registered, strict=True)
                                 if not kept for bit in bits)
            self.outputs = tuple(bit for bit in self.product if bit is not None)

    def _multiply(self, values, ones):
        return self.array.multiply(*(kept[-1] if kept else [values.get(bit, 0) for bit in bits]
                                     for bits, kept in zip(self.factors, self.registered, strict=True)), ones)

    def _moving(self, index, values, ones):
        """In which streams each register of a chain takes what is before it."""
        return [ones if enable == "1" else values.get(enable, 0) for enable in self.enables[index]]

    def evaluate(self, values, ones):
        if self.pipeline:
            return 0.0
        product, toggles = self._multiply(values, ones)
        for bit, value in zip(self.product, product, strict=False):
            if bit is not None:
                toggles += LUT*(values.get(bit, 0) ^ value).bit_count()
                values[bit] = value
        return toggles

    def clock(self, values, ones):
        toggles, changes = 0.0, ()
        if self.pipeline:
            product, toggles = self._multiply(values, ones)
            self.pipeline, inside = _shifted(self.pipeline, list(product), self._moving(2, values, ones))
            toggles += inside
            changes = [(bit, value, FLIP_FLOP) for bit, value in zip(self.product, self.pipeline[-1], strict=False)
                       if bit is not None]
        for index, bits in enumerate(self.factors):
            self.registered[index], inside = _shifted(self.registered[index], [values.get(bit, 0) for bit in bits],
                                                      self._moving(index, values, ones))
            toggles += inside
        return toggles, changes


def _shifted(stages, word, moving):
    """Registers one behind the other after the clock's edge, and their weighted toggles; `clocks` has their clock."""
    later   = [[new & take | old & ~take for new, old in zip(news, olds, strict=True)]
               for news, olds, take in zip([word, *stages], stages, moving, strict=False)]
    toggles = sum((old ^ new).bit_count() for olds, news in zip(stages, later, strict=True)
                  for old, new in zip(olds, news, strict=True))
    return later, HARD*FLIP_FLOP*toggles
