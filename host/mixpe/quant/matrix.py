# SPDX-License-Identifier: BSD-2-Clause
"""Quantised weight matrices: what `mixpe.quantize` makes and `Device.load` takes.

    ZERO        W[n,k] ≈ s[n,g]·(q[n,k] − z[n,g])
    MINIMUM     W[n,k] ≈ s[n,g]·q[n,k] + m[n,g]
    TWO_LEVEL   W[n,k] ≈ s[n,g/8]·a[n,g]·q[n,k] + m[n,g/8]·b[n,g]        (groups of 32)

Which form it is follows from the arrays that are there (`contract.scaling`). k is padded inside to whole groups, two
levels to whole superblocks of eight; activations are zero there. With zeros the padding is q = z, else q = 0. Neither
`q`, `dequantize` nor any result shows it. Arrays are read-only.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from mixpe.quant.checks import as_float16, check_codes, check_shape, group_span
from mixpe_gateware.contract.errors import DtypeError, ModelError, RangeError, ShapeError
from mixpe_gateware.contract.layout import pack_nibbles, split_nibbles, unpack_nibbles
from mixpe_gateware.contract.scaling import (
    SUPERBLOCK_GROUPS,
    TWO_LEVEL_GROUP,
    Form,
    Scaling,
    check_array,
    groups_along,
    superblocks,
)

ARRAYS       = ("packed", "scales", "zeros", "minima", "factors")  # of a matrix, where they are there
W8_SCALE_MAX = 4094                                                # of 8-bit weights: 16·s is an FP16 too


def _form(minima, factors):
    if factors is not None:
        return Form.TWO_LEVEL
    return Form.ZERO if minima is None else Form.MINIMUM


def _copy(array):
    return array.copy() if isinstance(array, np.ndarray) else array


@dataclass(frozen=True, eq=False, repr=False)
class QuantizedMatrix:
    """Base of `Int4Matrix` and `Int8Matrix`.

    Attributes
    ----------
    shape : (n, k)
        Without padding.
    packed : (n, planes·k_padded/2) uint8
        Nibbles, low nibble first; W8 has all high nibbles of a channel, then all low nibbles.
    scales : (n, groups) float16
        TWO_LEVEL: (n, groups/8), one a superblock.
    zeros : (n, groups) uint8, or None
    group_size : int
        32, 64, 128, 256 or k. TWO_LEVEL: 32.
    minima : float16, shape of the scales, or None
        m. A minus of a format (W = d·a·q − e·b) is in them.
    factors : (n, groups, 2) uint8, 0 … 63, or None
        a and b of each group.
    """

    shape: tuple
    packed: np.ndarray
    scales: np.ndarray
    zeros: np.ndarray | None
    group_size: int
    minima: np.ndarray | None = None
    factors: np.ndarray | None = None

    bits: ClassVar[int] = 0
    planes: ClassVar[int] = 0

    def __post_init__(self):
        n, k = self.shape
        check_shape(n, k)
        group_span(self.group_size, k)
        check_array("packed", self.packed, np.uint8, (n, self.planes*self.k_padded//2))
        two_level = self.form == Form.TWO_LEVEL
        if two_level and self.group_size != TWO_LEVEL_GROUP:
            raise RangeError(f"with factors group_size must be {TWO_LEVEL_GROUP}, not {self.group_size}")
        check_array("scales", self.scales, np.float16, (n, superblocks(self.groups) if two_level else self.groups))
        scaling = self.scaling  # which checks the others by the scales
        for name in ("scales", "minima"):
            if name in self.arrays and not np.isfinite(getattr(scaling, name)).all():
                raise RangeError(f"{name} must be finite FP16, found Inf or NaN")
        if self.zeros is not None:
            check_codes("zero points", self.zeros, self.bits)
        if self.planes == 2 and np.abs(self.scales).max() > W8_SCALE_MAX:
            raise RangeError(f"scales of 8-bit weights must be at most {W8_SCALE_MAX}, since 16·s must be a finite "
                "FP16")
        for array in self.arrays.values():
            array.setflags(write=False)

    def __repr__(self):
        form = f", form={self.form.name}" if self.form else ""
        return f"{type(self).__name__}(shape={self.shape}, group_size={self.group_size}{form})"

    @property
    def arrays(self):
        """Those that are there, by name: packed, scales, and what stands beside them."""
        return {name: getattr(self, name) for name in ARRAYS if getattr(self, name) is not None}

    @property
    def form(self):
        """What stands beside the scales: Form."""
        return _form(self.minima, self.factors)

    @property
    def scaling(self):
        """Scales and what stands beside them, of all channels and groups: Scaling."""
        return Scaling(self.scales, self.zeros, self.minima, self.factors)

    @property
    def n(self):
        """Output channels."""
        return self.shape[0]

    @property
    def k(self):
        """Reduction length, without padding."""
        return self.shape[1]

    @property
    def span(self):
        """Weights of one group, padding included."""
        return group_span(self.group_size, self.k)

    @property
    def groups(self):
        """Groups along k; two levels: in whole superblocks."""
        return groups_along(self.k, self.span, self.form)

    @property
    def k_padded(self):
        """k in whole groups."""
        return self.groups*self.span

    @property
    def nbytes(self):
        """Bytes of weights, scales and what stands beside them."""
        return sum(array.nbytes for array in self.arrays.values())

    def dequantize(self):
        """The weights that the matrix stands for: (n, k) float32, each its real value rounded once."""
        q = self.q_padded
        # Products are exact: 11 bits of a scale, 6 of a factor, and a code. 8 bits of it are one too many for FP32.
        wide   = self.form == Form.TWO_LEVEL and int(q.max()) > 127
        values = q.reshape(self.n, self.groups, -1).astype(np.float64 if wide else np.float32)
        scales, minima = self.scaling.of_groups()
        if self.form == Form.ZERO:
            values -= self.zeros[:, :, None]
        values *= scales[:, :, None]
        if self.form != Form.ZERO:
            values += minima[:, :, None]
        return values.reshape(self.n, -1)[:, :self.k].astype(np.float32, copy=False)

    def channels(self, rows):
        """Some output channels, a slice: a matrix of the same kind, over the same numbers."""
        arrays = {name: array[rows] for name, array in self.arrays.items()}
        return type(self)((len(arrays["packed"]), self.k), group_size=self.group_size,
            **{**dict.fromkeys(ARRAYS), **arrays})

    def _part(self, rows, start, stop):
        """Scaling of some channels and of k = start … stop."""
        scaling = self.scaling.rows(rows)
        level   = slice(start//self.span, -(-stop//self.span))
        if self.form == Form.ZERO:
            return Scaling(scaling.scales[:, level], zeros=scaling.zeros[:, level])
        if self.form == Form.MINIMUM:
            return Scaling(scaling.scales[:, level], minima=scaling.minima[:, level])
        above = slice(level.start//SUPERBLOCK_GROUPS, superblocks(level.stop))
        return Scaling(scaling.scales[:, above], minima=scaling.minima[:, above], factors=scaling.factors[:, level])

    @property
    def q(self):
        """Quantised weights, unpacked: (n, k) uint8."""
        return self.q_padded[:, :self.k]

    def save(self, path):
        """Write the matrix as an ``.npz`` file without pickled objects."""
        with open(path, "wb") as file:
            np.savez(file, bits=np.int64(self.bits), shape=np.array(self.shape, np.int64),
                group_size=np.int64(self.group_size), **self.arrays)

    @classmethod
    def load(cls, path):
        """Read a matrix that `save` wrote; everything in the file is checked.

        Raises
        ------
        ModelError
            The file is no matrix of this kind, or is damaged.
        """
        try:
            with np.load(path, allow_pickle=False) as file:
                fields = {name: file[name] for name in file.files}
            if int(fields["bits"]) != cls.bits:
                raise ModelError(f"{path} holds {int(fields['bits'])}-bit weights, not {cls.bits}-bit ones")
            n, k = (int(size) for size in fields["shape"])
            return cls((n, k), group_size=int(fields["group_size"]), **{name: fields.get(name) for name in ARRAYS})
        except FileNotFoundError:
            raise ModelError(f"no such file: {path}") from None
        except ModelError:
            raise
        except Exception as error:  # zipfile and numpy raise a dozen kinds for files that are damaged
            raise ModelError(f"{path} is no file of {cls.__name__}.save: {error}") from error

    @classmethod
    def from_parts(cls, q, scales, zeros=None, group_size=128, *, minima=None, factors=None):
        """Build a matrix from quantised weights that exist already, for instance in a checkpoint.

        Parameters
        ----------
        q : (n, k) uint8
            0 … 15 (8-bit weights: 0 … 255).
        scales : (n, groups) float16
            groups = ceil(k/G). FP32 scales are taken when every one is exactly an FP16.
            With factors: (n, superblocks), one for eight groups, superblocks = ceil(k/256).
        zeros : (n, groups) uint8, optional
            Left out where there are no minima either, the middle: 8 (8-bit weights: 128).
        group_size : int or None
            32, 64, 128, 256 or k (None). With factors: 32.
        minima : float16, optional
            Shape and types of the scales: W = s·q + m.
        factors : (n, 8·superblocks, 2) uint8, 0 … 63, optional
            a and b of each group: W = s·a·q + m·b. Only with minima.

        Raises
        ------
        DtypeError, ShapeError, RangeError
        """
        if not isinstance(q, np.ndarray) or q.dtype != np.uint8:
            raise DtypeError(f"q must be an array of uint8, not {getattr(q, 'dtype', type(q).__name__)}")
        if q.ndim != 2:
            raise ShapeError(f"q must have two axes (n, k), not the shape {q.shape}")
        n, k = q.shape
        check_shape(n, k)
        group_size = k if group_size is None else group_size
        span   = group_span(group_size, k)
        groups = groups_along(k, span, _form(minima, factors))
        check_codes("weights", q, cls.bits)
        padded = np.zeros((n, groups*span), np.uint8)
        if minima is None and factors is None:
            if zeros is None:
                zeros = np.full((n, groups), 1 << (cls.bits - 1), np.uint8)
            check_array("zeros", zeros, np.uint8, (n, groups))
            check_codes("zero points", zeros, cls.bits)
            padded[:] = np.repeat(zeros, span, axis=1)
        padded[:, :k] = q
        scales, minima = as_float16("scales", scales), as_float16("minima", minima)
        return cls((n, k), cls.pack(padded), *map(_copy, (scales, zeros)), int(group_size),
            *map(_copy, (minima, factors)))


class Int4Matrix(QuantizedMatrix):
    """4-bit weights: q and z are 0 … 15. See `QuantizedMatrix`."""

    bits   = 4
    planes = 1

    @staticmethod
    def pack(q):
        """(n, k) uint8 → (n, k/2) uint8."""
        return pack_nibbles(q)

    @property
    def q_padded(self):
        """(n, k_padded) uint8."""
        return unpack_nibbles(self.packed)

    def stream_parts(self, rows, start, stop):
        """Packed weights and Scaling of some channels and k = start … stop, as `layout.pack_stream` takes them."""
        return self.packed[rows, start//2:stop//2], self._part(rows, start, stop)


class Int8Matrix(QuantizedMatrix):
    """8-bit weights, q and z are 0 … 255, as two planes of nibbles on the 4-bit array. See `QuantizedMatrix`.

    q = 16·hi + lo and z = 16·zh + zl, so P = 16·P_hi + P_lo, and the high plane's scale is 16·s: everything exact. A
    minimum is added once, with the low plane.
    """

    bits   = 8
    planes = 2

    @staticmethod
    def pack(q):
        """(n, k) uint8 → (n, k) uint8: k/2 bytes of high nibbles, then k/2 bytes of low nibbles."""
        low, high = split_nibbles(q)
        return np.concatenate([high, low], axis=1)

    @property
    def q_padded(self):
        """(n, k_padded) uint8."""
        half = self.k_padded//2
        return (unpack_nibbles(self.packed[:, :half]) << 4) | unpack_nibbles(self.packed[:, half:])

    def stream_parts(self, rows, start, stop):
        """Packed weights and Scaling of some channels and k = start … stop, as `layout.pack_stream` takes them."""
        low, high, middle = start//2, stop//2, self.k_padded//2
        packed, part = self.packed[rows], self._part(rows, start, stop)
        scales = np.concatenate([part.scales*np.float16(16), part.scales], axis=1)
        zeros = minima = factors = None
        if self.form == Form.ZERO:
            zeros = np.concatenate([part.zeros >> 4, part.zeros & 15], axis=1)
        else:
            minima = np.concatenate([np.zeros_like(part.minima), part.minima], axis=1)
        if self.form == Form.TWO_LEVEL:
            factors = np.concatenate([part.factors, part.factors], axis=1)
        return (np.concatenate([packed[:, low:high], packed[:, middle + low:middle + high]], axis=1),
            Scaling(scales, zeros, minima, factors))


def joined(matrices):
    """Matrices of one kind, form, k and group size as one, along n.

    Raises
    ------
    ShapeError
        They differ in one of these.
    """
    first = matrices[0]
    if len({(matrix.bits, matrix.form, matrix.k, matrix.group_size) for matrix in matrices}) != 1:
        raise ShapeError(f"only matrices of one kind, form, k and group size can be joined, not {matrices}")
    if len(matrices) == 1:
        return first
    arrays = {name: np.concatenate([getattr(matrix, name) for matrix in matrices]) for name in first.arrays}
    return type(first)((sum(matrix.n for matrix in matrices), first.k), group_size=first.group_size,
        **{**dict.fromkeys(ARRAYS), **arrays})
