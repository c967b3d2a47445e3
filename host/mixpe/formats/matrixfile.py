# SPDX-License-Identifier: BSD-2-Clause
"""Many quantised matrices in one safetensors file.

A matrix ``name`` is the tensors ``name.packed``, ``name.scales`` and ``name.zeros``; its shape, group size and number
of bits are in the file's metadata. Other tensors may lie beside them.
"""

import json
from dataclasses import dataclass

import numpy as np

from mixpe.errors import MixpeError, ModelError
from mixpe.formats import safetensors
from mixpe.formats.brief import brief, located
from mixpe.formats.groups import GroupedTensor, IntegerZero
from mixpe.formats.mapping import parse_json
from mixpe.formats.tensor import Mode
from mixpe.formats.words import part
from mixpe.quant.matrix import Int4Matrix, Int8Matrix, check_shape, group_span
from mixpe_gateware.contract.layout import unpack_nibbles

PARTS = ("packed", "scales", "zeros", "order")
KEY   = "mixpe.matrices"
KINDS = {kind.bits: kind for kind in (Int4Matrix, Int8Matrix)}


@dataclass(frozen=True)
class Form:
    """A matrix without its numbers; `ordered`: it takes its columns in an order that is stored."""

    shape: tuple
    bits: int
    group_size: int
    ordered: bool = False

    def entries(self, name):
        """What it is in the file: dict of name → (dtype name, shape)."""
        n, k    = self.shape
        span    = group_span(self.group_size, k)
        groups  = -(-k//span)
        entries = {f"{name}.packed": ("U8", (n, KINDS[self.bits].planes*groups*span//2)),
                   f"{name}.scales": ("F16", (n, groups)), f"{name}.zeros": ("U8", (n, groups))}
        return entries | ({f"{name}.order": ("I32", (k,))} if self.ordered else {})


def metadata_of(forms):
    """The metadata that say what the matrices of a file are: dict of str → str."""
    return {KEY: json.dumps({name: {"shape": list(form.shape), "group_size": form.group_size, "bits": form.bits}
        for name, form in forms.items()})}


def save_matrices(path, matrices, others=None):
    """Write matrices, and other tensors as they are.

    Parameters
    ----------
    path : path
    matrices : dict of name → Int4Matrix or Int8Matrix
    others : dict of name → array, optional

    Raises
    ------
    ModelError
        Two tensors would have one name.
    """
    tensors = dict(others or {})
    forms   = {name: Form(matrix.shape, matrix.bits, matrix.group_size) for name, matrix in matrices.items()}
    for name, matrix in matrices.items():
        for entry in forms[name].entries(name):
            if entry in tensors:
                raise ModelError(f"there are two tensors {entry}")
            tensors[entry] = getattr(matrix, entry.rpartition(".")[2])
    safetensors.save(path, tensors, metadata_of(forms))


def _order(parts, name, k):
    """The stored order of columns, or None.

    Raises
    ------
    ModelError
        It is no permutation of k columns.
    """
    if "order" not in parts:
        return None
    order = part(parts, name, "order", ("I32",), (k,))
    if not np.array_equal(np.sort(order), np.arange(k)):
        raise ModelError(f"{name}.order must have each of the columns 0 … {k - 1} once")
    return order


class MatrixTensor(GroupedTensor):
    """A matrix of such a file, where it lies. `entry` is that of the file's metadata."""

    def __init__(self, name, parts, entry):
        try:
            (n, k), bits, group_size = entry["shape"], entry["bits"], entry["group_size"]
        except (TypeError, KeyError, ValueError):
            raise ModelError(f"{name} must have shape, bits and group_size, not {brief(entry)}") from None
        if not all(type(number) is int for number in (n, k, bits, group_size)) or bits not in KINDS:
            raise ModelError(f"{name} must have whole numbers and 4 or 8 bits, not {brief(entry)}")
        try:
            check_shape(n, k)
            self._span = group_span(group_size, k)
        except MixpeError as error:
            raise ModelError(f"{name}: {error}") from None
        groups = -(-k//self._span)
        self._packed = part(parts, name, "packed", ("U8",), (n, KINDS[bits].planes*groups*self._span//2))
        self._scales = part(parts, name, "scales", ("F16",), (n, groups))
        self._zeros  = part(parts, name, "zeros", ("U8",), (n, groups))
        super().__init__(name, (n, k), f"mixpe {bits}-bit", sum(array.nbytes for _, array in parts.values()),
            bits=bits, group_size=group_size, mode=Mode.ZERO, permutation=_order(parts, name, k))

    def stored(self, rows):
        """See `GroupedTensor`."""
        packed, zeros = self._packed[rows], self._zeros[rows]
        if zeros.size and zeros.max() >= 1 << self.bits:
            raise ModelError(f"{self.name} has the zero point {zeros.max()}; {self.bits} bits hold 0 … "
                             f"{(1 << self.bits) - 1}")
        if self.bits == 8:
            half  = packed.shape[1]//2
            codes = (unpack_nibbles(packed[:, :half]) << 4) | unpack_nibbles(packed[:, half:])
        else:
            codes = unpack_nibbles(packed)
        return IntegerZero(codes[:, :self.shape[1]], self._scales[rows], zeros, self.group_size)

    def matrix(self):
        """The whole matrix, for a device."""
        arrays = (np.array(array) for array in (self._packed, self._scales, self._zeros))
        return KINDS[self.bits](self.shape, *arrays, self.group_size)


def entries_of(metadata):
    """What the metadata of a file say of its matrices: dict of name → entry.

    Raises
    ------
    ModelError
    """
    if KEY not in metadata:
        raise ModelError(f"is no file of quantised matrices: its metadata have no {KEY}")
    return parse_json(metadata[KEY], KEY)


def load_matrices(path):
    """Read what `save_matrices` wrote; everything is checked.

    Returns
    -------
    matrices : dict of name → Int4Matrix or Int8Matrix
    others : dict of name → array

    Raises
    ------
    ModelError
        No such file, or a damaged or foreign one.
    """
    stored = safetensors.mapped(path)
    others = safetensors.load(path)
    _, metadata, _ = safetensors.read_header(path)
    try:
        matrices = {}
        for name, entry in entries_of(metadata).items():
            parts = {part_name: stored[f"{name}.{part_name}"] for part_name in PARTS if f"{name}.{part_name}" in stored}
            matrices[name] = MatrixTensor(name, parts, entry).matrix()
            for part_name in parts:
                del others[f"{name}.{part_name}"]
    except MixpeError as error:
        raise ModelError(located(path, error)) from error
    return matrices, others
