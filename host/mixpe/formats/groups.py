# SPDX-License-Identifier: BSD-2-Clause
"""Quantised weights in groups along k, with their codes as they are stored.

A `GroupedTensor` gives any of its rows as one of three records, which differ in what stands beside the codes. Each
computes its weights in float32 so that every weight is its real value rounded once: all products are exact (FP16 has
11 bits, an integer scale 6, a code 8), and one sum or one product of an FP32 scale rounds.
"""

from abc import abstractmethod
from dataclasses import dataclass

import numpy as np

from mixpe.errors import ModelError
from mixpe.formats.tensor import Tensor


def _by_group(array, group_size):
    """Views of (r, k) as (r, groups, G), and which groups: the whole ones, then a shorter last one."""
    r, k = array.shape
    whole = k//group_size
    if whole:
        yield array[:, :whole*group_size].reshape(r, whole, group_size), slice(0, whole)
    if k > whole*group_size:
        yield array[:, whole*group_size:].reshape(r, 1, -1), slice(whole, whole + 1)


@dataclass(frozen=True, eq=False)
class IntegerZero:
    """Rows of s·(q − z).

    Attributes
    ----------
    codes : (r, k) uint8
    scales : (r, groups) float16, or float32 where the file has BF16 or FP32
    zeros : (r, groups) uint8
    group_size : int
    """

    codes: np.ndarray
    scales: np.ndarray
    zeros: np.ndarray
    group_size: int

    def weights(self):
        """(r, k) float32."""
        result = self.codes.astype(np.float32)
        for view, groups in _by_group(result, self.group_size):
            view -= self.zeros[:, groups, None]
            with np.errstate(over="ignore", invalid="ignore"):
                view *= self.scales[:, groups, None].astype(np.float32)
        return result

    def finite(self):
        """Whether every scale is."""
        return bool(np.isfinite(self.scales).all())


@dataclass(frozen=True, eq=False)
class RealMinimum:
    """Rows of s·q + m.

    Attributes
    ----------
    codes : (r, k) uint8
    scales, minima : (r, groups) float16
    group_size : int
    """

    codes: np.ndarray
    scales: np.ndarray
    minima: np.ndarray
    group_size: int

    def weights(self):
        """(r, k) float32."""
        result = self.codes.astype(np.float32)
        for view, groups in _by_group(result, self.group_size):
            with np.errstate(invalid="ignore"):
                view *= self.scales[:, groups, None].astype(np.float32)
                view += self.minima[:, groups, None].astype(np.float32)
        return result

    def finite(self):
        """Whether every scale and minimum is."""
        return bool(np.isfinite(self.scales).all() and np.isfinite(self.minima).all())


@dataclass(frozen=True, eq=False)
class TwoLevel:
    """Rows of d·a·q − e·b: d and e belong to a superblock of eight groups, a and b to a group of 32.

    Attributes
    ----------
    codes : (r, k) uint8
    scales, minima : (r, k/256) float16
        d and e.
    group_scales, group_minima : (r, k/32) uint8, 0 … 63
        a and b.
    group_size : int
        32.
    """

    codes: np.ndarray
    scales: np.ndarray
    minima: np.ndarray
    group_scales: np.ndarray
    group_minima: np.ndarray
    group_size: int = 32

    def weights(self):
        """(r, k) float32."""
        r, superblocks = self.scales.shape
        with np.errstate(invalid="ignore"):
            scale, minimum = (outer.astype(np.float32)[:, :, None]*inner.reshape(r, superblocks, -1)
                for outer, inner in ((self.scales, self.group_scales), (self.minima, self.group_minima)))
            result = self.codes.astype(np.float32)
            view   = result.reshape(r, -1, self.group_size)
            view  *= scale.reshape(r, -1, 1)
            view  -= minimum.reshape(r, -1, 1)
        return result

    def finite(self):
        """Whether every scale and minimum of a superblock is."""
        return bool(np.isfinite(self.scales).all() and np.isfinite(self.minima).all())


class GroupedTensor(Tensor):
    """A quantised weight (n, k).

    Parameters
    ----------
    name, shape, layout, nbytes
        See `Tensor`.
    bits : int
        Of a code: 4, 5 or 8.
    group_size : int
        Weights along k that share a scale; the last group may be shorter.
    mode : Mode
        Which record `groups` gives: `IntegerZero`, `RealMinimum` or `TwoLevel`.
    permutation : (k,) integers, optional
        Column j of the codes belongs to column permutation[j] of the weight: a device takes x[:, permutation].

    Attributes
    ----------
    exact_on : Mode
    """

    def __init__(self, name, shape, layout, nbytes, *, bits, group_size, mode, permutation=None):
        super().__init__(name, shape, layout, nbytes)
        self.bits        = bits
        self.group_size  = group_size
        self.exact_on    = mode
        self.permutation = permutation

    @abstractmethod
    def stored(self, rows):
        """Codes and scales of rows (a slice with step 1, or an index array), unchecked."""

    def groups(self, rows=None):
        """Codes and scales of some rows, in the order of the codes.

        Parameters
        ----------
        rows : slice or (r,) integers, optional
            Which; the default is all of them.

        Returns
        -------
        IntegerZero, RealMinimum or TwoLevel

        Raises
        ------
        ModelError
            A scale or minimum is not finite.
        """
        stored = self.stored(self._chosen(rows))
        if not stored.finite():
            raise ModelError(f"{self.name} has scales that are not finite")
        return stored

    def values(self, rows):
        """See `Tensor`."""
        weights = self.stored(rows).weights()
        if self.permutation is None:
            return weights
        result = np.empty_like(weights)
        result[:, self.permutation] = weights
        return result
