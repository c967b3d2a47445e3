# SPDX-License-Identifier: BSD-2-Clause
"""Many quantised matrices in one safetensors file.

A matrix ``name`` is the tensors ``name.packed``, ``name.scales``, and by its form ``name.zeros``, ``name.minima``, or
``name.minima`` and ``name.factors``; its shape, group size and number of bits are in the file's metadata. Other tensors
may lie beside them.
"""

import json
import math
from dataclasses import dataclass

import numpy as np

from mixpe.errors import MixpeError, ModelError
from mixpe.formats import safetensors
from mixpe.formats.brief import brief, located
from mixpe.formats.groups import GroupedTensor, Groups
from mixpe.formats.mapping import parse_json
from mixpe.formats.words import part
from mixpe.quant.checks import check_shape, group_span
from mixpe.quant.matrix import ARRAYS, Int4Matrix, Int8Matrix
from mixpe_gateware.contract.layout import unpack_nibbles
from mixpe_gateware.contract.scaling import (
    FACTOR_BITS,
    SUPERBLOCK_GROUPS,
    TWO_LEVEL_GROUP,
    Form,
    groups_along,
)

PARTS = (*ARRAYS, "order")
KEY   = "mixpe.matrices"
KINDS = {kind.bits: kind for kind in (Int4Matrix, Int8Matrix)}
_BYTES = {"U8": 1, "F16": 2}
FORMS = {("zeros",): Form.ZERO, ("minima",): Form.MINIMUM, ("minima", "factors"): Form.TWO_LEVEL}


@dataclass(frozen=True)
class Outline:
    """A matrix without its numbers; `ordered`: it takes its columns in an order that is stored."""

    shape: tuple
    bits: int
    group_size: int
    form: Form = Form.ZERO
    ordered: bool = False

    @property
    def groups(self):
        """Groups along k, padding included."""
        return groups_along(self.shape[1], group_span(self.group_size, self.shape[1]), self.form)

    def parts(self):
        """Its tensors: dict of part → (dtype name, shape)."""
        n, k   = self.shape
        groups = self.groups
        outer  = groups//SUPERBLOCK_GROUPS if self.form == Form.TWO_LEVEL else groups
        packed = KINDS[self.bits].planes*groups*group_span(self.group_size, k)//2
        parts  = {"packed": ("U8", (n, packed)), "scales": ("F16", (n, outer))}
        if self.form == Form.ZERO:
            parts["zeros"] = "U8", (n, groups)
        else:
            parts["minima"] = "F16", (n, outer)
        if self.form == Form.TWO_LEVEL:
            parts["factors"] = "U8", (n, groups, 2)
        if self.ordered:
            parts["order"] = "I32", (k,)
        return parts

    @property
    def nbytes(self):
        """Bytes of weights, scales and what stands beside them."""
        return sum(math.prod(shape)*_BYTES[dtype] for part_name, (dtype, shape) in self.parts().items()
            if part_name != "order")

    def entries(self, name):
        """What it is in the file: dict of name → (dtype name, shape)."""
        return {f"{name}.{part_name}": entry for part_name, entry in self.parts().items()}


def metadata_of(outlines):
    """The metadata that say what the matrices of a file are: dict of str → str."""
    return {KEY: json.dumps({name: {"shape": list(form.shape), "group_size": form.group_size, "bits": form.bits}
        for name, form in outlines.items()})}


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
    tensors  = dict(others or {})
    outlines = {name: Outline(matrix.shape, matrix.bits, matrix.group_size, matrix.form)
        for name, matrix in matrices.items()}
    for name, matrix in matrices.items():
        for entry in outlines[name].entries(name):
            if entry in tensors:
                raise ModelError(f"there are two tensors {entry}")
            tensors[entry] = getattr(matrix, entry.rpartition(".")[2])
    safetensors.save(path, tensors, metadata_of(outlines))


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
        form    = self._form(name, parts, group_size)
        outline = Outline((n, k), bits, group_size, form, "order" in parts)
        try:
            check_shape(n, k)
            entries = outline.parts()
        except MixpeError as error:
            raise ModelError(f"{name}: {error}") from None
        self._arrays = {part_name: part(parts, name, part_name, (dtype,), shape)
            for part_name, (dtype, shape) in entries.items() if part_name != "order"}
        self._is_padded = outline.groups*group_span(group_size, k) != k
        super().__init__(name, (n, k), f"mixpe {bits}-bit", sum(array.nbytes for _, array in parts.values()),
            bits=bits, group_size=group_size, form=form, permutation=_order(parts, name, k))

    @staticmethod
    def _form(name, parts, group_size):
        """The form that the parts beside the scales make."""
        beside = tuple(part_name for part_name in ("zeros", "minima", "factors") if part_name in parts)
        if beside not in FORMS:
            raise ModelError(f"{name} must have zeros, or minima, or minima and factors beside its scales, not "
                             f"{' and '.join(beside) or 'nothing'}")
        form = FORMS[beside]
        if form == Form.TWO_LEVEL and group_size != TWO_LEVEL_GROUP:
            raise ModelError(f"{name} must have groups of {TWO_LEVEL_GROUP} with factors, not {group_size}")
        return form

    def _rows(self, rows):
        """Those of every array but the codes', checked."""
        found = {part_name: array[rows] for part_name, array in self._arrays.items() if part_name != "packed"}
        for part_name, bits in (("zeros", self.bits), ("factors", FACTOR_BITS)):
            array = found.get(part_name)
            if array is not None and array.size and int(array.max()) >> bits:
                raise ModelError(f"{self.name} has {array.max()} among its {part_name}; {bits} bits hold 0 … "
                                 f"{(1 << bits) - 1}")
        return found

    def stored(self, rows):
        """See `GroupedTensor`."""
        packed = self._arrays["packed"][rows]
        if self.bits == 8:
            half  = packed.shape[1]//2
            codes = (unpack_nibbles(packed[:, :half]) << 4) | unpack_nibbles(packed[:, half:])
        else:
            codes = unpack_nibbles(packed)
        return Groups(codes[:, :self.shape[1]], group_size=self.group_size, **self._rows(rows))

    def stored_packed(self, rows):
        """See `GroupedTensor`."""
        if self._is_padded:
            return super().stored_packed(rows)
        return Groups(self._arrays["packed"][rows], group_size=self.group_size, **self._rows(rows))

    def matrix(self):
        """The whole matrix, for a device."""
        arrays = {part_name: np.array(array) for part_name, array in self._arrays.items()}
        return self.kind(self.shape, group_size=self.group_size, **{"zeros": None, **arrays})


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
