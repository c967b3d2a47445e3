# SPDX-License-Identifier: BSD-2-Clause
"""Makes the activation words of the dense MixPE-A8: pair sums and differences, parities, and the offset 15·Σx/2."""

from migen import Cat, Module, Signal

from mixpe_gateware.pe.registered import delayed


class PairEncoder(Module):
    """Makes activation words from activations, where they are written; one for a whole accelerator.

    Parameters
    ----------
    params : PairPlaneA8

    Attributes
    ----------
    activations : Signal(8·lanes), in
        Lane i's byte at bits 8·i.
    word : Signal(params.activation_bits), out
    latency : int
        Cycles from `activations` to `word`; a new input every cycle.
    """

    def __init__(self, params):
        self.activations = Signal(8*params.lanes)
        self.word        = Signal(params.activation_bits, reset_less=True)
        self.latency     = params.levels + 2

        # # #

        sums, fields, parities = [], [], {}
        for pair in range(params.pairs):
            even = Signal((8, True))
            odd  = Signal((8, True))
            u    = Signal((9, True), reset_less=True)
            v    = Signal((9, True), reset_less=True)
            self.comb += [
                even.eq(self.activations[16*pair:16*pair + 8]),
                odd.eq(self.activations[16*pair + 8:16*pair + 16]),
            ]
            self.sync += u.eq(even + odd), v.eq(even - odd)
            # u + 256 is u with its sign inverted; v's lowest bit is u's.
            field = Cat(u[:8], ~u[8], v[1:8], ~v[8])
            fields.append(delayed(self, self._named(field, 17), params.levels))
            sums.append(u)
            parities[params.pairs + pair] = u[0]
        level = 0
        while len(sums) > 1:
            level += 1
            later = []
            for a, b in zip(sums[0::2], sums[1::2], strict=True):
                node = Signal((a.nbits + 1, True), reset_less=True)
                self.sync += node.eq(a + b)
                later.append(node)
            sums = later
            for index, node in enumerate(sums):
                parities[len(sums) + index] = delayed(self, self._named(node[0], 1), params.levels - level)
        slots = [parities[pair] if pair else 0 for pair in range(params.pairs)]
        total = Signal((params.sum_bits + 4, True))
        self.comb += total.eq((sums[0] << 4) - sums[0])
        pairs = [Cat(field, slot) for field, slot in zip(fields, slots, strict=True)]
        self.sync += self.word.eq(Cat(*pairs, total[1:]))

    def _named(self, value, bits):
        signal = Signal(bits)
        self.comb += signal.eq(value)
        return signal
