# SPDX-License-Identifier: BSD-2-Clause
"""The device's arithmetic as one matrix product: what evaluation over much text needs.

The reference arithmetic adds s·(P − z·XS) over the groups exactly and rounds once. Every s·(q − z) is a whole multiple
of its channel's smallest scale step, and so is every product with an integer activation; while the sum of their
magnitudes stays below 2^53 steps, float64 holds each partial sum exactly in any order. One float64 matrix product,
rounded to float32, is then the same to the bit. Where the bound does not hold, the reference itself is used.
"""

import numpy as np

from mixpe.quant.quantize import quantize_activations
from mixpe_gateware.contract import reference, wide

_EXACT = 2.0**53


class ExactLinear:
    """A 4-bit linear layer on the host, bit for bit as a device computes it.

    Parameters
    ----------
    matrix : Int4Matrix
    activations : "a8" or "a16"
        int8 with one scale a token, or 16-bit integers aligned in each group.
    """

    def __init__(self, matrix, activations="a8"):
        self._matrix = matrix
        self._wide = activations == "a16"
        weights = matrix.dequantize().astype(np.float64)                       # (n, k), exact
        mantissa, shift = reference.split_float16(matrix.scales)
        shift = np.where(mantissa != 0, shift, 29).min(axis=1)                 # a group of zeros has no step
        step = np.ldexp(1.0, shift + reference.SCALE_UNIT_LOG2)                # (n,) smallest step of each channel
        self._limit = _EXACT / (np.abs(weights).sum(axis=1) / step).max(initial=1.0)
        self._transposed = np.ascontiguousarray(weights.T)

    def __call__(self, x):
        """(m, k) float32 → (m, n) float32."""
        return self._a16(x) if self._wide else self._a8(x)

    def _a8(self, x):
        codes, act_scales = quantize_activations(x)
        if self._limit < 128:
            return reference.output(self._by_reference(codes), act_scales)
        sums = (codes.astype(np.float64) @ self._transposed + 0.0).astype(np.float32)  # + 0.0: an exact zero is +0
        return reference.output(sums, act_scales)

    def _a16(self, x):
        matrix = self._matrix
        padded = np.zeros((len(x), matrix.k_padded), np.float32)
        padded[:, :matrix.k] = x
        a, shifts, unit = wide.align(padded, matrix.span)
        low = shifts.min(axis=1)
        steps = np.ldexp(a.astype(np.float64), np.repeat(shifts - low[:, None], matrix.span, axis=1))
        sums = (steps[:, :matrix.k] @ self._transposed + 0.0).astype(np.float32)
        sums = np.ldexp(sums, low[:, None].astype(np.int32))
        inexact = np.abs(steps).max(axis=1, initial=0) > self._limit
        if inexact.any():
            sums[inexact] = self._by_reference_a16(a[inexact], shifts[inexact])
        return reference.output(sums, unit)

    def _by_reference(self, codes):
        matrix = self._matrix
        padded = np.zeros((len(codes), matrix.k_padded), np.int8)
        padded[:, :matrix.k] = codes
        partial = reference.partials(padded, matrix.q_padded, matrix.span)
        return reference.accumulate(partial, reference.row_sums(padded, matrix.span), matrix.scales, matrix.zeros)

    def _by_reference_a16(self, a, shifts):
        matrix = self._matrix
        rows = wide.split(a)
        partial = wide.join(reference.partials(rows, matrix.q_padded, matrix.span))
        sums = wide.join(reference.row_sums(rows, matrix.span))
        return reference.accumulate(partial, sums, matrix.scales, matrix.zeros, shifts)
