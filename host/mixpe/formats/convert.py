# SPDX-License-Identifier: BSD-2-Clause
"""From a checkpoint's tensor to a matrix that a device takes: exactly where that can be, else by a call of its own.

    exact_matrix    the stored codes, scales and what stands beside them; refuses everything else
    rounded_matrix  the same with scales of BF16 or FP32 rounded to FP16; returns the loss
    stored_matrix   one of these where that is possible, else by `requantize`; and what it cost

A real minimum never becomes an integer zero here: that costs more than any other step.
"""

import math
from dataclasses import dataclass

import numpy as np

from mixpe.errors import ModelError, RangeError
from mixpe.formats.groups import GroupedTensor
from mixpe.formats.requantize import Loss, requantize
from mixpe.quant.matrix import W8_SCALE_MAX
from mixpe_gateware.contract.config import GROUP_SIZES
from mixpe_gateware.contract.scaling import Form, groups_along, superblocks

REQUANTISED = "requantised to 8 bits in groups of 32"


def device_group(tensor):
    """Group size that a device has and that holds this tensor's groups whole; None: there is none.

    Groups larger than the device's are cut, each part with the same scale.
    """
    k = tensor.shape[1]
    if tensor.group_size >= k and tensor.form != Form.TWO_LEVEL:
        return k
    fitting = [size for size in GROUP_SIZES if tensor.group_size % size == 0]
    return max(fitting, default=None)


def _assemble(tensor, group_size, convert):
    """A matrix of the tensor's codes, by blocks of rows; `convert` makes FP16 of a block's scales or minima."""
    n, k   = tensor.shape
    kind   = tensor.kind
    span   = -(-k//32)*32 if group_size == k else group_size
    groups = groups_along(k, span, tensor.form)
    outer  = superblocks(groups) if tensor.form == Form.TWO_LEVEL else groups
    repeat = 1 if group_size == k else tensor.group_size//group_size
    packed = np.empty((n, kind.planes*groups*span//2), np.uint8)
    arrays = {"scales": np.empty((n, outer), np.float16)}
    if tensor.form == Form.ZERO:
        arrays["zeros"] = np.empty((n, groups), np.uint8)
    else:
        arrays["minima"] = np.empty((n, outer), np.float16)
    if tensor.form == Form.TWO_LEVEL:
        arrays["factors"] = np.empty((n, groups, 2), np.uint8)
    for rows in tensor.spans():
        block = tensor.packed(rows) if groups*span == k else tensor.groups(rows)
        for name, array in arrays.items():
            found = getattr(block, name)
            if array.dtype == np.float16:
                found = convert(found)
            array[rows] = found if repeat == 1 else np.repeat(found, repeat, axis=1)[:, :array.shape[1]]
        if groups*span == k:
            packed[rows] = block.codes
            continue
        padded = np.zeros((len(block.codes), groups*span), np.uint8)
        if "zeros" in arrays:
            padded[:] = np.repeat(arrays["zeros"][rows], span, axis=1)
        padded[:, :k] = block.codes
        packed[rows]  = kind.pack(padded)
    return kind((n, k), packed, group_size=group_size, **{"zeros": None, **arrays})


def _ready(tensor):
    """Device group of a tensor in groups that a device has; else `ModelError`."""
    if not isinstance(tensor, GroupedTensor):
        raise ModelError(f"{tensor.name}, {tensor.layout}, gives weights as floats, which no matrix holds exactly. "
                         "requantize makes one with a loss that it measures")
    group_size = device_group(tensor)
    if group_size is None:
        raise ModelError(f"{tensor.name} has groups of {tensor.group_size}; a device has {GROUP_SIZES} and k. "
                         "requantize makes such a matrix with a loss that it measures")
    return group_size


def exact_matrix(tensor):
    """The matrix with the tensor's own codes, scales, and zeros, or minima and factors.

    Parameters
    ----------
    tensor : Tensor

    Returns
    -------
    Int4Matrix or Int8Matrix
        In the order of the codes: where `tensor.permutation` is set, it takes x[:, permutation]. `dequantize` gives
        the tensor's weights to the bit, but for that order.

    Raises
    ------
    ModelError
        The tensor is floats, its groups fit no device's, or a scale is no FP16.
    RangeError
        A scale of codes of more than 4 bits over 4094.
    """
    def convert(scales):
        with np.errstate(over="ignore"):
            half = scales.astype(np.float16)
        if half.dtype != scales.dtype and not np.array_equal(half.astype(scales.dtype), scales):
            raise ModelError(f"{tensor.name} has scales that are no FP16; rounded_matrix rounds them and measures it")
        return half

    return _assemble(tensor, _ready(tensor), convert)


def rounded_matrix(tensor):
    """As `exact_matrix`, with scales rounded to FP16.

    Returns
    -------
    matrix : Int4Matrix or Int8Matrix
        See `exact_matrix`.
    decibels : float
        10·log10 of signal to noise against the tensor; inf where nothing was lost.

    Raises
    ------
    ModelError
        The tensor is floats, or its groups fit no device's.
    RangeError
        A scale over 65504, of codes of more than 4 bits over 4094.
    """
    changed = False

    def convert(scales):
        nonlocal changed
        with np.errstate(over="ignore"):
            half = scales.astype(np.float16)
        changed = changed or not np.array_equal(half, scales)
        return half

    matrix = _assemble(tensor, _ready(tensor), convert)
    if not changed:
        return matrix, math.inf
    loss = Loss()
    for rows in tensor.spans():
        arrays = {"zeros": None} | {name: array[rows] for name, array in matrix.arrays.items()}
        part   = type(matrix)((rows.stop - rows.start, matrix.k), group_size=matrix.group_size, **arrays)
        loss.add(tensor.groups(rows).weights(), part.dequantize())
    return matrix, loss.decibels


@dataclass(frozen=True)
class StoredMatrix:
    """What a quantised tensor becomes on a device.

    Attributes
    ----------
    matrix : Int4Matrix or Int8Matrix
    permutation : (k,) integers or None
        It takes x[:, permutation].
    change : str
        What is not the file's own; "" where everything is.
    decibels : float
        Signal to noise against the file; inf where nothing was lost.
    """

    matrix: object
    permutation: object = None
    change: str = ""
    decibels: float = math.inf


def _is_exact(tensor, minima):
    """Whether a device takes the tensor's own codes, whatever becomes of its scales."""
    return isinstance(tensor, GroupedTensor) and (minima or tensor.form == Form.ZERO) and device_group(
        tensor) is not None


def _has_wide_scales(tensor):
    """Whether a scale is beyond those of the two planes of codes of more than 4 bits."""
    return tensor.bits != 4 and any(np.abs(tensor.groups(rows).scales).max() > W8_SCALE_MAX for rows in tensor.spans())


@dataclass(frozen=True)
class StoredForm:
    """What `stored_matrix` makes, without its numbers."""

    bits: int = 8
    group_size: int = 32
    form: Form = Form.ZERO
    is_permuted: bool = False


def keeps_its_codes(tensor):
    """Whether `stored_matrix` gives a device with minima the tensor's own codes."""
    return _is_exact(tensor, True) and not _has_wide_scales(tensor)


def stored_form(tensor):
    """What `stored_matrix` makes for a device with minima, without making it: StoredForm."""
    if not keeps_its_codes(tensor):
        return StoredForm()
    return StoredForm(tensor.kind.bits, device_group(tensor), tensor.form, tensor.permutation is not None)


def stored_matrix(tensor, minima=True):
    """A quantised tensor for a device: its own numbers where a device has their form, else 8 bits in groups of 32.

    Parameters
    ----------
    tensor : Tensor
    minima : bool
        The device has real minima and two levels, `Config.minima`.

    Raises
    ------
    ModelError, RangeError
        See `requantize`.
    """
    if _is_exact(tensor, minima):
        try:
            matrix, decibels = rounded_matrix(tensor)
        except RangeError:
            if not _has_wide_scales(tensor):
                raise
        else:
            change = "" if decibels == math.inf else "scales rounded to FP16"
            return StoredMatrix(matrix, tensor.permutation, change, decibels)
    matrix, decibels = requantize(tensor)
    return StoredMatrix(matrix, None, REQUANTISED, decibels)
