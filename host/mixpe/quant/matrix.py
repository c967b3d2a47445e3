# SPDX-License-Identifier: BSD-2-Clause
"""Quantised weight matrices: what `mixpe.quantize` makes and `Device.load` takes.

    W[n,k] ≈ s[n,g]·(q[n,k] − z[n,g])

k is padded inside to whole groups with q = z, that is with zero weights; neither `q`, `dequantize` nor any result
shows the padding. Arrays are read-only.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from mixpe_gateware.contract.config import GROUP_SIZES
from mixpe_gateware.contract.errors import DtypeError, ModelError, RangeError, ShapeError
from mixpe_gateware.contract.layout import pack_nibbles, unpack_nibbles

K_UNIT  = 32     # k is padded to a multiple of this: the most lanes, and the smallest group
K_LIMIT = 65536  # longest reduction of a matrix: an int32 partial sum of W8 over one group still fits


def group_span(group_size, k):
    """Check a group size and return the number of weights of one group, padding included.

    Parameters
    ----------
    group_size : int or None
        32, 64, 128, 256, or k itself (None means k).

    Raises
    ------
    RangeError
        Another group size.
    """
    if group_size is None:
        group_size = k
    if isinstance(group_size, bool) or not isinstance(group_size, (int, np.integer)):
        raise DtypeError(f"group_size must be an int, not {group_size!r}")
    if group_size in GROUP_SIZES:
        return int(group_size)
    if group_size == k:
        return -(-k//K_UNIT)*K_UNIT
    raise RangeError(f"group_size must be one of {GROUP_SIZES} or k={k}, not {group_size}")


def check_shape(n, k):
    """Refuse empty matrices and reductions that are too long."""
    if n < 1 or not 1 <= k <= K_LIMIT:
        raise ShapeError(f"weights must be (n >= 1, 1 <= k <= {K_LIMIT}), not ({n}, {k})")


def _check_array(name, array, dtype, shape):
    if not isinstance(array, np.ndarray) or array.dtype != dtype:
        found = array.dtype.name if isinstance(array, np.ndarray) else type(array).__name__
        raise DtypeError(f"{name} must be an array of {np.dtype(dtype).name}, not {found}")
    if array.shape != shape:
        raise ShapeError(f"{name} must have the shape {shape}, not {array.shape}")


def _check_codes(name, array, bits):
    if int(array.max()) >= 1 << bits:
        raise RangeError(f"{name} are 0 … {(1 << bits) - 1}, not {int(array.max())}")


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
    zeros : (n, groups) uint8
    group_size : int
        32, 64, 128, 256 or k.
    """

    shape: tuple
    packed: np.ndarray
    scales: np.ndarray
    zeros: np.ndarray
    group_size: int

    bits: ClassVar[int] = 0
    planes: ClassVar[int] = 0

    def __post_init__(self):
        n, k = self.shape
        check_shape(n, k)
        group_span(self.group_size, k)
        _check_array("packed", self.packed, np.uint8, (n, self.planes*self.k_padded//2))
        _check_array("scales", self.scales, np.float16, (n, self.groups))
        _check_array("zeros", self.zeros, np.uint8, (n, self.groups))
        if not np.isfinite(self.scales).all():
            raise RangeError("scales must be finite FP16, found Inf or NaN")
        _check_codes("zero points", self.zeros, self.bits)
        if self.planes == 2 and np.abs(self.scales).max() > 4094:
            raise RangeError("scales of 8-bit weights must be at most 4094, since 16·s must be a finite FP16")
        for array in (self.packed, self.scales, self.zeros):
            array.setflags(write=False)

    def __repr__(self):
        return f"{type(self).__name__}(shape={self.shape}, group_size={self.group_size})"

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
        """Groups along k."""
        return -(-self.k//self.span)

    @property
    def k_padded(self):
        """k in whole groups."""
        return self.groups*self.span

    @property
    def nbytes(self):
        """Bytes of weights, scales and zero points."""
        return self.packed.nbytes + self.scales.nbytes + self.zeros.nbytes

    def dequantize(self):
        """The weights that the matrix stands for: (n, k) float32, each s·(q − z) rounded once."""
        steps = self.q_padded.reshape(self.n, self.groups, -1).astype(np.float32) - self.zeros[:, :, None]
        return (self.scales.astype(np.float32)[:, :, None]*steps).reshape(self.n, -1)[:, :self.k]

    @property
    def q(self):
        """Quantised weights, unpacked: (n, k) uint8."""
        return self.q_padded[:, :self.k]

    def save(self, path):
        """Write the matrix as an ``.npz`` file without pickled objects."""
        with open(path, "wb") as file:
            np.savez(file, bits=np.int64(self.bits), shape=np.array(self.shape, np.int64),
                group_size=np.int64(self.group_size), packed=self.packed, scales=self.scales, zeros=self.zeros)

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
                fields = {name: file[name] for name in ("bits", "shape", "group_size", "packed", "scales", "zeros")}
            if int(fields["bits"]) != cls.bits:
                raise ModelError(f"{path} holds {int(fields['bits'])}-bit weights, not {cls.bits}-bit ones")
            n, k = (int(size) for size in fields["shape"])
            return cls((n, k), fields["packed"], fields["scales"], fields["zeros"], int(fields["group_size"]))
        except FileNotFoundError:
            raise ModelError(f"no such file: {path}") from None
        except ModelError:
            raise
        except Exception as error:  # zipfile and numpy raise a dozen kinds for files that are damaged
            raise ModelError(f"{path} is no file of {cls.__name__}.save: {error}") from error

    @classmethod
    def from_parts(cls, q, scales, zeros=None, group_size=128):
        """Build a matrix from quantised weights that exist already, for instance in a checkpoint.

        Parameters
        ----------
        q : (n, k) uint8
            0 … 15 (8-bit weights: 0 … 255).
        scales : (n, groups) float16
            groups = ceil(k/G). FP32 scales are taken when every one is exactly an FP16.
        zeros : (n, groups) uint8, optional
            Left out, the middle: 8 (8-bit weights: 128).
        group_size : int or None
            32, 64, 128, 256 or k (None).

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
        span = group_span(group_size, k)
        groups = -(-k//span)
        _check_codes("weights", q, cls.bits)
        if zeros is None:
            zeros = np.full((n, groups), 1 << (cls.bits - 1), np.uint8)
        _check_array("zeros", zeros, np.uint8, (n, groups))
        _check_codes("zero points", zeros, cls.bits)
        if isinstance(scales, np.ndarray) and scales.dtype == np.float32:
            with np.errstate(over="ignore"):
                exact = scales.astype(np.float16)
            if not np.array_equal(exact.astype(np.float32), scales):
                raise RangeError("FP32 scales must be FP16 values exactly; round them with astype(np.float16) first")
            scales = exact
        _check_array("scales", scales, np.float16, (n, groups))
        padded = np.repeat(zeros, span, axis=1)
        padded[:, :k] = q
        return cls((n, k), cls.pack(padded), scales.copy(), zeros.copy(), int(group_size))


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
        """Packed weights, scales and zeros of some channels and k = start … stop as `layout.pack_stream` takes them."""
        groups = slice(start//self.span, -(-stop//self.span))
        return self.packed[rows, start//2:stop//2], self.scales[rows, groups], self.zeros[rows, groups]


class Int8Matrix(QuantizedMatrix):
    """8-bit weights, q and z are 0 … 255, as two planes of nibbles on the 4-bit array. See `QuantizedMatrix`.

    q = 16·hi + lo and z = 16·zh + zl, so P = 16·P_hi + P_lo, and the high plane's scale is 16·s: everything exact.
    """

    bits   = 8
    planes = 2

    @staticmethod
    def pack(q):
        """(n, k) uint8 → (n, k) uint8: k/2 bytes of high nibbles, then k/2 bytes of low nibbles."""
        return np.concatenate([pack_nibbles(q >> 4), pack_nibbles(q & 15)], axis=1)

    @property
    def q_padded(self):
        """(n, k_padded) uint8."""
        half = self.k_padded//2
        return (unpack_nibbles(self.packed[:, :half]) << 4) | unpack_nibbles(self.packed[:, half:])

    def stream_parts(self, rows, start, stop):
        """Packed weights, scales and zeros of some channels and k = start … stop as `layout.pack_stream` takes them."""
        groups = slice(start//self.span, -(-stop//self.span))
        low, high, middle = start//2, stop//2, self.k_padded//2
        packed, scales, zeros = self.packed[rows], self.scales[rows, groups], self.zeros[rows, groups]
        return (np.concatenate([packed[:, low:high], packed[:, middle + low:middle + high]], axis=1),
            np.concatenate([scales*np.float16(16), scales], axis=1),
            np.concatenate([zeros >> 4, zeros & 15], axis=1))


def joined(matrices):
    """Matrices of one kind, k and group size as one, along n.

    Raises
    ------
    ShapeError
        They differ in one of these.
    """
    first = matrices[0]
    if len({(matrix.bits, matrix.k, matrix.group_size) for matrix in matrices}) != 1:
        raise ShapeError(f"only matrices of one kind, k and group size can be joined, not {matrices}")
    if len(matrices) == 1:
        return first
    arrays = (np.concatenate([getattr(matrix, name) for matrix in matrices]) for name in ("packed", "scales", "zeros"))
    return type(first)((sum(matrix.n for matrix in matrices), first.k), *arrays, first.group_size)
