# SPDX-License-Identifier: BSD-2-Clause
"""The PE that ANT and OliVe share: weights decoded to (integer, exponent), INT8 activations as two 4-bit halves.

    w·x = ((i·x_high) << e + 4) + ((i·x_low) << e)         w = i·2^e, x = 16·x_high + x_low

Each half is one of their 4-bit PEs: a small multiplier and a shifter. Decoders sit at the array's border: rows that
share a copy of the weights share the decoder too, since it is equal logic.
"""

from migen import Module, Signal

from mixpe_gateware.pe.adder_tree import AdderTree, lane_signals


class ExponentIntegerUnit(Module):
    """Dot product of decoded weights with INT8 activations.

    Parameters
    ----------
    params : DotProduct
        With `integer_bits` (signed), `exponent_max`, and `decode(module, weights)` giving lanes of
        (integer signal, exponent signal), registered once.
    """

    def __init__(self, params):
        self.weights     = Signal(params.weights_bits)
        self.activations = Signal(8*params.lanes)
        self.latency     = params.latency

        # # #

        products = []
        for (integer, exponent), x in zip(params.decode(self, self.weights),
                                          lane_signals(self, self.activations, 8, True), strict=True):
            low       = Signal(4, reset_less=True)
            high      = Signal((4, True), reset_less=True)
            bits      = params.integer_bits + 5
            low_half  = Signal((bits, True), reset_less=True)
            high_half = Signal((bits, True), reset_less=True)
            places    = Signal(len(exponent), reset_less=True)
            low_sum   = Signal((bits + params.exponent_max, True), reset_less=True)
            high_sum  = Signal((bits + params.exponent_max, True), reset_less=True)
            product   = Signal((params.lane_product_bits, True), reset_less=True)
            self.sync += [
                low.eq(x[:4]),
                high.eq(x[4:]),
                low_half.eq(integer*low),
                high_half.eq(integer*high),
                places.eq(exponent),
                low_sum.eq(low_half << places),
                high_sum.eq(high_half << places),
                product.eq(low_sum + (high_sum << 4)),
            ]
            products.append(product)
        self.submodules.tree = AdderTree(products)
        self.product = self.tree.total
