# SPDX-License-Identifier: BSD-2-Clause
"""A linear layer on the host with a device's bits: what evaluation over much text needs."""

import numpy as np

from mixpe.devices.activations import quantised
from mixpe.reference.product import product_of
from mixpe_gateware.contract import reference, wide


class ExactLinear:
    """A 4-bit or 8-bit linear layer, bit for bit as a device computes it.

    Parameters
    ----------
    matrix : Int4Matrix or Int8Matrix
    activations : str
        One of `plan.kinds`. The attribute may be changed.
    """

    def __init__(self, matrix, activations="a8"):
        self.activations = activations
        self._matrix = matrix
        self._product = product_of(matrix.q_padded[:, None], matrix.scaling, matrix.span)

    def __call__(self, x):
        """(m, k) float32 → (m, n) float32."""
        matrix = self._matrix
        if x.shape[1] != matrix.k_padded:
            padded = np.zeros((len(x), matrix.k_padded), np.float32)
            padded[:, :matrix.k] = x
            x = padded
        a, shifts, factors = quantised(x, self.activations, matrix.span)
        if self._product is None:
            return reference.output(self._by_groups(a, shifts), factors)
        sums, beyond = self._product(a, shifts)
        if beyond is not None:
            tokens = np.flatnonzero(beyond.any(axis=1))
            sums[tokens] = self._by_groups(a[tokens], None if shifts is None else shifts[tokens])
        return reference.output(sums, factors)

    def _by_groups(self, a, shifts):
        """Results of some tokens as the contract adds them up."""
        matrix  = self._matrix
        rows    = wide.split(a) if a.dtype == np.int16 else a
        planes  = [matrix.q_padded] if matrix.bits == 4 else [matrix.q_padded >> 4, matrix.q_padded & 15]
        partial = 0
        for plane in planes:
            partial = 16*partial + reference.partials(rows, plane, matrix.span)
        sums = reference.row_sums(rows, matrix.span)
        if rows is not a:
            partial, sums = wide.join(partial), wide.join(sums)
        return reference.dequantise(partial, sums, matrix.scaling, shifts)
