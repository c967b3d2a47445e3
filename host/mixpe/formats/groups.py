# SPDX-License-Identifier: BSD-2-Clause
"""Quantised weights in groups along k, with their codes as they are stored.

A `GroupedTensor` gives any of its rows as `Groups`: codes, scales, and what stands beside them by the tensor's form
(`contract.scaling`). Weights are computed so that each is its real value rounded once: all products are exact (FP16 has
11 bits, a factor 6, a code 8; float32 holds 24, so both with 8 bits need float64), and one sum or one product of an
FP32 scale rounds.
"""

from abc import abstractmethod
from dataclasses import dataclass, replace

import numpy as np

from mixpe.errors import ModelError
from mixpe.formats.tensor import Tensor
from mixpe.quant.matrix import Int4Matrix, Int8Matrix
from mixpe_gateware.contract.scaling import SUPERBLOCK_GROUPS


def _by_group(array, group_size):
    """Views of (r, k) as (r, groups, G), and which groups: the whole ones, then a shorter last one."""
    r, k = array.shape
    whole = k//group_size
    if whole:
        yield array[:, :whole*group_size].reshape(r, whole, group_size), slice(0, whole)
    if k > whole*group_size:
        yield array[:, whole*group_size:].reshape(r, 1, -1), slice(whole, whole + 1)


@dataclass(frozen=True, eq=False)
class Groups:
    """Rows of s·(q − z), of s·q + m, or of s·a·q + m·b: with zeros, with minima, or with minima and factors.

    Attributes
    ----------
    codes : (r, k) uint8
    scales : (r, groups) float16, or float32 where the file has BF16 or FP32
        With factors (r, superblocks), one for eight groups.
    group_size : int
    zeros : (r, groups) uint8, optional
    minima : optional
        As the scales.
    factors : (r, groups, 2) uint8, 0 … 63, optional
        a and b; groups in whole superblocks.
    """

    codes: np.ndarray
    scales: np.ndarray
    group_size: int
    zeros: np.ndarray | None = None
    minima: np.ndarray | None = None
    factors: np.ndarray | None = None

    def weights(self):
        """(r, k) float32."""
        wide   = self.factors is not None and self.codes.size and self.codes.max() > 127
        result = self.codes.astype(np.float64 if wide else np.float32)
        with np.errstate(over="ignore", invalid="ignore"):
            scales, minima = self._of_groups(self.scales, 0), self._of_groups(self.minima, 1)
            for view, groups in _by_group(result, self.group_size):
                if self.zeros is not None:
                    view -= self.zeros[:, groups, None]
                view *= scales[:, groups, None]
                if minima is not None:
                    view += minima[:, groups, None]
            return result.astype(np.float32, copy=False)

    def _of_groups(self, outer, index):
        """Scales or minima as float32, one a group."""
        if outer is None:
            return None
        outer = outer.astype(np.float32)
        if self.factors is None:
            return outer
        return np.repeat(outer, SUPERBLOCK_GROUPS, axis=1)*self.factors[:, :, index]

    def finite(self):
        """Whether every scale and minimum is."""
        return all(bool(np.isfinite(array).all()) for array in (self.scales, self.minima) if array is not None)


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
    form : contract.scaling.Form
        What stands beside its scales.
    permutation : (k,) integers, optional
        Column j of the codes belongs to column permutation[j] of the weight: a device takes x[:, permutation].
    """

    def __init__(self, name, shape, layout, nbytes, *, bits, group_size, form, permutation=None):
        super().__init__(name, shape, layout, nbytes)
        self.bits        = bits
        self.group_size  = group_size
        self.form        = form
        self.permutation = permutation

    @property
    def kind(self):
        """The matrix that holds such codes: Int4Matrix or Int8Matrix."""
        return Int4Matrix if self.bits == 4 else Int8Matrix

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
        Groups

        Raises
        ------
        ModelError
            A scale or minimum is not finite.
        """
        return self._checked(self.stored(self._chosen(rows)))

    def packed(self, rows):
        """As `groups`, but the codes are packed as a matrix has them, (r, planes·k/2) bytes; k is even."""
        return self._checked(self.stored_packed(self._chosen(rows)))

    def stored_packed(self, rows):
        """As `stored`, for `packed`: a layout whose codes need not be taken apart for that has its own."""
        found = self.stored(rows)
        return replace(found, codes=self.kind.pack(found.codes))

    def _checked(self, found):
        if not found.finite():
            raise ModelError(f"{self.name} has scales that are not finite")
        return found

    def values(self, rows):
        """See `Tensor`."""
        weights = self.stored(rows).weights()
        if self.permutation is None:
            return weights
        result = np.empty_like(weights)
        result[:, self.permutation] = weights
        return result
