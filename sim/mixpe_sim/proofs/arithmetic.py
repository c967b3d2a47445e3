# SPDX-License-Identifier: BSD-2-Clause
"""A processing element gives the sum of the products of its weights and activations, for all of them."""

from functools import reduce
from operator import add

from migen import Mux, Signal

from mixpe_gateware.stream.fanout import delayed
from mixpe_sim.proofs.claim import Claim


class SumOfProducts(Claim):
    """product = Σ q·x of the weights and activations of `latency` cycles ago.

    The solver is given q·x as Σ_i q_i·(x << i), which is what multiplying is.

    Parameters
    ----------
    params : DotProduct
        Of weights 0 … 15 and activations −128 … 127.
    """

    def __init__(self, params):
        Claim.__init__(self)
        self.unit = unit = params.create()
        weights, activations = Signal(4*params.lanes), Signal(8*params.lanes)
        self.free |= {weights, activations}

        # # #

        self.comb += unit.weights.eq(weights), unit.activations.eq(activations)
        planes = []
        for bit in range(4):
            gated = []
            for lane in range(params.lanes):
                activation = Signal((8, True))
                self.comb += activation.eq(activations[8*lane:8*lane + 8])
                gated.append(Mux(weights[4*lane + bit], activation, 0))
            planes.append(reduce(add, gated) << bit)
        # As bits: what is compared has no sign.
        wanted, found = Signal(params.product_bits), Signal(params.product_bits)
        self.comb += wanted.eq(reduce(add, planes)), found.eq(unit.product)
        then  = delayed(self, wanted, unit.latency)
        begun = delayed(self, Signal(reset=1), unit.latency)
        self.check(~begun | (found == then))
        self.comb += self.seen.eq(begun & then[-1])
