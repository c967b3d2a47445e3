# SPDX-License-Identifier: BSD-2-Clause
"""Codes of 4 or 8 bits in 32-bit words, as GPTQ, AWQ and compressed-tensors pack them, and columns in another order."""

import numpy as np

from mixpe.errors import ModelError
from mixpe.formats.brief import brief
from mixpe_gateware.contract.layout import unpack_nibbles


def part(parts, module, name, dtypes, shape=None):
    """One stored array of a module: checked for its dtype and shape.

    Parameters
    ----------
    parts : dict of name → (dtype name, array)
    module, name : str
    dtypes : tuple of str
    shape : tuple, optional
        None for an axis that may have any size.

    Returns
    -------
    array
        BF16 as uint16.

    Raises
    ------
    ModelError
    """
    if name not in parts:
        raise ModelError(f"{module} lacks {name}")
    dtype, array = parts[name]
    if dtype not in dtypes:
        raise ModelError(f"{module}.{name} must be {' or '.join(dtypes)}, not {dtype}")
    if shape is not None and (array.ndim != len(shape)
            or any(size is not None and size != found for size, found in zip(shape, array.shape, strict=True))):
        wanted = ", ".join("any" if size is None else str(size) for size in shape)
        raise ModelError(f"{module}.{name} must have the shape ({wanted}), not {array.shape}")
    return array


def scales_of(parts, module, name, shape):
    """Stored scales as an array that `widened` takes: FP16, FP32, or BF16 as uint16."""
    return part(parts, module, name, ("F16", "BF16", "F32"), shape)


def widened(scales):
    """FP16 and FP32 as they are, BF16 (uint16) as FP32."""
    if scales.dtype == np.uint16:
        return (scales.astype(np.uint32) << np.uint32(16)).view(np.float32)
    return scales


def whole_words(words, bits):
    """Codes that lie along a row: (r, w) 32-bit words → (r, w·32/bits) uint8, the lowest bits first."""
    data = np.ascontiguousarray(words).view(np.uint8)
    return data if bits == 8 else unpack_nibbles(data)


def code_of_each(words, rows, bits, places=None):
    """One code of each word column: row i of the result is code rows[i] of every line of words.

    Parameters
    ----------
    words : (lines, n·bits/32) 32-bit integers
    rows : (r,) integers
    bits : int
    places : (32/bits,) integers, optional
        Where in a word the code of each row lies; default: in order.

    Returns
    -------
    (r, lines) uint8
    """
    count  = 32//bits
    places = np.arange(count) if places is None else np.asarray(places)
    shifts = (bits*places[rows % count]).astype(np.uint32)
    chosen = words.view(np.uint32)[:, rows//count]
    return ((chosen >> shifts) & np.uint32((1 << bits) - 1)).astype(np.uint8).T


def indices(rows):
    """Rows as an index array."""
    return np.arange(rows.start, rows.stop) if isinstance(rows, slice) else rows


def column_order(g_idx, group_size, module):
    """Order of columns in which the groups of `g_idx` are contiguous.

    Parameters
    ----------
    g_idx : (k,) integers
        Group of each column.
    group_size : int

    Returns
    -------
    (k,) integers or None
        Column j of the sorted matrix is column order[j] of the model; None where they are sorted already.

    Raises
    ------
    ModelError
        A number that is no group, or a group without its `group_size` columns (the last may have fewer).
    """
    k = len(g_idx)
    contiguous = np.arange(k)//group_size
    if np.array_equal(g_idx, contiguous):
        return None
    order  = np.argsort(g_idx, kind="stable")
    ranked = g_idx[order]
    wrong  = np.flatnonzero(ranked != contiguous)
    if wrong.size:
        raise ModelError(f"{module} has columns whose groups are not of {group_size}: sorted by group, column "
                         f"{wrong[0]} belongs to group {brief(int(ranked[wrong[0]]))}, not {contiguous[wrong[0]]}")
    return order
