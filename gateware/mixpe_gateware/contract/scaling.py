# SPDX-License-Identifier: BSD-2-Clause
"""What stands beside a matrix's weights: the three forms in which group sums are dequantised.

    ZERO        Σ_g s·(P − z·XS)           an integer zero a group
    MINIMUM     Σ_g s·P + m·XS             a real minimum a group                          (Q4_1, Q5_1)
    TWO_LEVEL   Σ_g s·a·P + m·b·XS         real s, m a superblock; integers a, b a group   (Q4_K, Q5_K)

The last two need a build with `Config.minima`. All numbers are exact up to the one rounding of a whole channel.
"""

from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from mixpe_gateware.contract.errors import DtypeError, RangeError, ShapeError

SUPERBLOCK_GROUPS = 8   # groups that share s and m in TWO_LEVEL
TWO_LEVEL_GROUP   = 32  # its group size: so a·P is no wider than the longest group's P
FACTOR_BITS       = 6   # of a and b


class Form(IntEnum):
    """How a group's sum becomes a part of the result; the code stands in the descriptor.

    Attributes
    ----------
    text : str
        For people.
    """

    text: str

    ZERO      = 0, "an integer zero a group"
    MINIMUM   = 1, "a real minimum a group"
    TWO_LEVEL = 2, "a scale and a real minimum for eight groups, and two integers a group"

    def __new__(cls, value, text):
        form = int.__new__(cls, value)
        form._value_ = value
        form.text = text
        return form


def check_array(name, array, dtype, shape):
    """Refuse what is no array of this type and shape."""
    if not isinstance(array, np.ndarray) or array.dtype != dtype:
        found = array.dtype.name if isinstance(array, np.ndarray) else type(array).__name__
        raise DtypeError(f"{name} must be an array of {np.dtype(dtype).name}, not {found}")
    if array.shape != shape:
        raise ShapeError(f"{name} must have the shape {shape}, not {array.shape}")


@dataclass(frozen=True, eq=False)
class Scaling:
    """Scales of n channels in so many groups, and what stands beside them.

    Which of the last three are there makes the form: zeros; or minima; or minima and factors.

    Parameters
    ----------
    scales : (n, groups) float16
        TWO_LEVEL: (n, groups/8).
    zeros : (n, groups) uint8, 0 … 15, optional
    minima : float16, shape of the scales, optional
    factors : (n, groups, 2) uint8, 0 … 63, optional
        a and b of each group.

    Raises
    ------
    DtypeError, ShapeError, RangeError
    """

    scales: np.ndarray
    zeros: np.ndarray | None = None
    minima: np.ndarray | None = None
    factors: np.ndarray | None = None

    def __post_init__(self):
        if (self.zeros is None) == (self.minima is None) or (self.factors is not None and self.minima is None):
            raise ShapeError("beside scales stand zeros, or minima, or minima and factors")
        n, groups = self.scales.shape
        check_array("scales", self.scales, np.float16, (n, groups))
        if self.zeros is not None:
            check_array("zeros", self.zeros, np.uint8, (n, groups))
            return
        check_array("minima", self.minima, np.float16, (n, groups))
        if self.factors is not None:
            check_array("factors", self.factors, np.uint8, (n, SUPERBLOCK_GROUPS*groups, 2))
            if self.factors.size and self.factors.max() >> FACTOR_BITS:
                raise RangeError(f"factors are 0 … {(1 << FACTOR_BITS) - 1}, not {int(self.factors.max())}")

    @property
    def form(self):
        if self.zeros is not None:
            return Form.ZERO
        return Form.MINIMUM if self.factors is None else Form.TWO_LEVEL

    @property
    def n(self):
        """Channels."""
        return self.scales.shape[0]

    @property
    def groups(self):
        return self.scales.shape[1]*(SUPERBLOCK_GROUPS if self.form == Form.TWO_LEVEL else 1)

    def of_groups(self):
        """What a group's P and XS are multiplied by: s·a and m·b, exact.

        Returns
        -------
        scales : (n, groups) float32
        minima : (n, groups) float32, or None where zeros stand in their place
        """
        found = [None if array is None else array.astype(np.float32) for array in (self.scales, self.minima)]
        if self.factors is not None:
            found = [np.repeat(array, SUPERBLOCK_GROUPS, axis=1)*self.factors[:, :, index]
                for index, array in enumerate(found)]
        return tuple(found)

    def rows(self, rows):
        """Some channels: Scaling of views."""
        return Scaling(*(None if array is None else array[rows]
            for array in (self.scales, self.zeros, self.minima, self.factors)))


def superblocks(groups):
    """Scales a channel of TWO_LEVEL.

    Raises
    ------
    ShapeError
        Groups are no whole superblocks.
    """
    if groups % SUPERBLOCK_GROUPS:
        raise ShapeError(f"two levels need groups in whole superblocks of {SUPERBLOCK_GROUPS}, not {groups}")
    return groups//SUPERBLOCK_GROUPS


def groups_along(k, span, form):
    """Groups of `span` weights that k is padded to; two levels: whole superblocks of them."""
    groups = -(-k//span)
    return -(-groups//SUPERBLOCK_GROUPS)*SUPERBLOCK_GROUPS if form == Form.TWO_LEVEL else groups
