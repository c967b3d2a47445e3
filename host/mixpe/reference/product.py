# SPDX-License-Identifier: BSD-2-Clause
"""The exact sum of a fused job as one matrix product in FP64.

Every weight s·(q − z) is a whole multiple of its channel's smallest scale step, and an activation a·2^h one of its
token's smallest 2^h. While the magnitudes of a result's terms add up to less than 2^53 of the product of both steps,
FP64 holds every partial sum exactly in any order: one product, rounded to FP32, is then F of `contract.reference` to
the bit. Which results are beyond that is known before, and they are left to the caller.

Real minima are a second product, which the same holds for: weights s·a·q on the activations, and m·b on their sums of
each group. Apart each is an FP32; what a weight stands for, s·a·q + m·b, is none.
"""

import numpy as np

from mixpe_gateware.contract.reference import split_float16
from mixpe_gateware.contract.scaling import Form

EXACT     = 2.0**53*(1 - 2.0**-10)  # the bound itself is added up in FP32
CHUNK     = 1 << 16                 # weights widened to FP64 at a time: they stay in the second-level cache
BLOCK     = 1 << 18                 # weights made of codes at a time
NOT_USED  = 29                      # shift of a channel without any step


def smallest_steps(scales):
    """Smallest step of each channel: (n, groups) float16 → (n,) float64, powers of two."""
    mantissa, shift = split_float16(scales)
    shift = np.where(mantissa != 0, shift, NOT_USED).min(axis=1, initial=NOT_USED)
    return np.ldexp(1.0, shift - 24)


class ExactProduct:
    """Weights of a matrix or a job, ready to be multiplied.

    Parameters
    ----------
    weights : (n, k) float32
        Exact; k is whole groups.
    scales : (n, …) float16
        All that the weights were made with, and the minima.
    span : int
        Weights of one group.
    minima : (n, k/span) float32, optional
        Exact: what the sum of a group's activations is multiplied by.
    """

    def __init__(self, weights, scales, span, minima=None):
        n, k = weights.shape
        self._weights = weights
        self._minima  = minima
        self._span    = span
        self._bounds  = np.empty((n, k//span), np.float32)  # of each group, in steps of the channel
        steps = smallest_steps(scales)
        if minima is not None:
            self._lowest = (np.abs(minima)/steps[:, None]).astype(np.float32)
        for rows in self._chunks():
            sums = np.abs(weights[rows]).reshape(-1, k//span, span).sum(axis=2, dtype=np.float64)
            self._bounds[rows] = sums/steps[rows, None]

    @property
    def nbytes(self):
        """That are kept."""
        return self._weights.nbytes + self._bounds.nbytes + (0 if self._minima is None else 2*self._minima.nbytes)

    def widen(self):
        """Keep the weights as FP64: twice the bytes, and nothing to convert in a call."""
        self._weights = self._weights.astype(np.float64)

    def __call__(self, a, shifts=None):
        """F of integer activations.

        Parameters
        ----------
        a : (m, k) integers, at most 16 bits
        shifts : (m, k/span) integers 0 … 15, optional
            h.

        Returns
        -------
        sums : (m, n) float32
        beyond : (m, n) bool, or None
            Which sums FP64 may have rounded; None where all are exact.
        """
        m, n  = len(a), len(self._weights)
        acts  = a.astype(np.float64).reshape(m, -1, self._span)
        peaks = np.abs(acts).max(axis=2)
        low   = np.zeros((m, 1), np.int64)
        if shifts is not None:
            low    = np.where(peaks > 0, shifts, 15).min(axis=1, keepdims=True).astype(np.int64)
            above  = np.where(peaks > 0, shifts - low, 0).astype(np.int64)
            acts   = np.ldexp(acts, above[:, :, None])
            peaks  = np.ldexp(peaks, above)
        bound = peaks.astype(np.float32) @ self._bounds.T
        if self._minima is not None:
            lower  = acts.sum(axis=2)
            bound += np.abs(lower).astype(np.float32) @ self._lowest.T
        acts   = acts.reshape(m, -1)
        beyond = bound > EXACT
        sums   = np.empty((m, n), np.float64)
        for rows in self._chunks():
            np.matmul(acts, self._weights[rows].astype(np.float64, copy=False).T, out=sums[:, rows])
            if self._minima is not None:
                sums[:, rows] += lower @ self._minima[rows].astype(np.float64).T
        sums = np.ldexp(sums + 0.0, low)  # + 0.0: an exact zero is +0
        return sums.astype(np.float32), beyond if beyond.any() else None

    def _chunks(self):
        n, k = self._weights.shape
        step = n if self._weights.dtype == np.float64 else max(1, CHUNK//k)
        return [slice(start, min(n, start + step)) for start in range(0, n, step)]


def product_of(q, scaling, span):
    """Weights and what belongs to them as one product.

    Parameters
    ----------
    q : (n, passes, k) uint8
        Their codes; those of several passes add up.
    scaling : Scaling
        Of n channels, groups of all passes.
    span : int
        Weights of one group.

    Returns
    -------
    ExactProduct, or None
        None where a weight is no FP32: of passes that do not belong together, or of 8-bit codes with two levels.
    """
    n, passes, k = q.shape
    scale, minima = (None if array is None else array.reshape(n, passes, -1) for array in scaling.of_groups())
    zero = None if scaling.zeros is None else scaling.zeros.astype(np.float32).reshape(n, passes, -1)
    if minima is not None:
        minima = _added(minima)
        if minima is None:
            return None
    weights = np.empty((n, k), np.float32)
    step    = max(1, BLOCK//k)
    for start in range(0, n, step):
        rows   = slice(start, min(n, start + step))
        # 11 bits of a scale times 5, or times 6 of a factor and a code's, of which FP32 holds seven.
        wide   = scaling.form == Form.TWO_LEVEL and int(q[rows].max()) > 127
        exact  = q[rows].reshape(-1, passes, k//span, span).astype(np.float64 if wide else np.float32)
        if zero is not None:
            exact -= zero[rows, :, :, None]
        exact *= scale[rows, :, :, None]
        block  = _added(exact.reshape(-1, passes, k))
        if block is None:
            return None
        weights[rows] = block
    scales = [array for array in (scaling.scales, scaling.minima) if array is not None]
    return ExactProduct(weights, np.concatenate(scales, axis=1), span, minima)


def _added(array):
    """Passes added: (r, passes, …) floats → (r, …) float32, or None where a sum is none."""
    if array.shape[1] == 1 and array.dtype == np.float32:
        return array[:, 0]
    exact = array.sum(axis=1, dtype=np.float64)
    found = exact.astype(np.float32)
    return found if np.array_equal(found, exact) else None
