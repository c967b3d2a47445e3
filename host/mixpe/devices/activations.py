# SPDX-License-Identifier: BSD-2-Clause
"""Activations on their way to the device: int8 rows, padded along k, and what brings results back to floats."""

import numpy as np

from mixpe.plan.kinds import KINDS
from mixpe.quant.quantize import quantize_rows
from mixpe_gateware.contract import narrow, wide
from mixpe_gateware.contract.errors import DtypeError, ShapeError
from mixpe_gateware.contract.layout import shift_pitch
from mixpe_gateware.contract.reference import row_sums


def check_codes(xq, k):
    """Refuse what is no (m, k) array of int8."""
    if not isinstance(xq, np.ndarray) or xq.dtype != np.int8:
        found = xq.dtype.name if isinstance(xq, np.ndarray) else type(xq).__name__
        raise DtypeError(f"xq must be an array of int8, not {found}")
    if xq.ndim != 2 or xq.shape[1] != k:
        raise ShapeError(f"activations must have the shape (m, {k}), not {xq.shape}")


def quantised(x, kind, span):
    """Float activations as integers.

    Parameters
    ----------
    x : (m, k) float16 or float32, finite; k a multiple of span
    kind : str
        Of `plan.kinds.KINDS`.
    span : int
        Weights of one group.

    Returns
    -------
    codes : (m, k) int8, or int16 (A16)
    shifts : (m, groups) uint8, or None
    factors : (m,) float32
        x ≈ codes·2^shifts·factors
    """
    if kind == "a8":
        codes, factors = quantize_rows(x)
        return codes, None, factors
    return (wide if KINDS[kind].wide else narrow).align(x, span)


class Activations:
    """Rows of the array for one call.

    Parameters
    ----------
    rows : (r, k_padded) int8
        One a token, or two (A16).
    span : int
        Weights of one group.
    factors : (m,) float32
        Scale of each token's result.
    shifts : (m, groups) uint8, optional
        Alignment shifts.
    wide : bool
        Two rows a token.
    """

    def __init__(self, rows, span, factors, shifts=None, wide=False):
        self.rows    = rows
        self.span    = span
        self.factors = factors
        self.shifts  = shifts
        self.wide    = wide
        self._sums   = None

    @classmethod
    def of(cls, x, kind, k_padded, span):
        """Quantise or align float activations for groups of span: `kind` is one of `plan.kinds`."""
        codes, shifts, factors = quantised(_padded(x, k_padded), kind, span)
        return cls(wide.split(codes) if KINDS[kind].wide else codes, span, factors, shifts, KINDS[kind].wide)

    @classmethod
    def of_codes(cls, xq, k_padded, span):
        """int8 activations as they are."""
        return cls(_padded(xq, k_padded), span, None)

    @property
    def sums(self):
        """Row sums per group, XS: (r, groups) int32."""
        if self._sums is None:
            self._sums = row_sums(self.rows, self.span)
        return self._sums

    def image(self, block, config):
        """What lies in the device's memory for a `plan.call.RowBlock`: (bytes,) uint8.

        Alignment shifts come one row after another, each padded to a beat.
        """
        codes = np.ascontiguousarray(self.rows[block.start:block.stop, block.k_start:block.k_stop])
        codes = codes.view(np.uint8).reshape(-1)
        if not block.table:
            return codes
        each   = 2 if self.wide else 1
        tokens = slice(block.start//each, block.stop//each)
        table  = self.shifts[tokens, block.k_start//self.span:-(-block.k_stop//self.span)]
        groups = table.shape[1]
        shifts = np.zeros((block.stop - block.start, shift_pitch(groups, config)), np.uint8)
        shifts[:, :groups] = np.repeat(table, each, axis=0)
        return np.concatenate([codes, shifts.reshape(-1)])

    def combine(self, partial, rows):
        """Partial sums and row sums per token of these rows: 256·hi + lo if there are two rows a token."""
        sums = self.sums[rows]
        return (wide.join(partial), wide.join(sums)) if self.wide else (partial, sums)


def _padded(x, k_padded):
    if x.shape[1] == k_padded:
        return np.ascontiguousarray(x)
    padded = np.zeros((len(x), k_padded), x.dtype)
    padded[:, :x.shape[1]] = x
    return padded
