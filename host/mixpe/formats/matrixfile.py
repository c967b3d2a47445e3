# SPDX-License-Identifier: BSD-2-Clause
"""Many quantised matrices in one safetensors file.

A matrix ``name`` is the tensors ``name.packed``, ``name.scales`` and ``name.zeros``; its shape, group size and number
of bits are in the file's metadata. Other tensors may lie beside them.
"""

import json

from mixpe.errors import MixpeError, ModelError
from mixpe.formats import safetensors
from mixpe.quant.matrix import Int4Matrix, Int8Matrix

PARTS = ("packed", "scales", "zeros")
KEY   = "mixpe.matrices"
KINDS = {kind.bits: kind for kind in (Int4Matrix, Int8Matrix)}


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
    tensors, shapes = dict(others or {}), {}
    for name, matrix in matrices.items():
        shapes[name] = {"shape": list(matrix.shape), "group_size": matrix.group_size, "bits": matrix.bits}
        for part in PARTS:
            if f"{name}.{part}" in tensors:
                raise ModelError(f"there are two tensors {name}.{part}")
            tensors[f"{name}.{part}"] = getattr(matrix, part)
    safetensors.save(path, tensors, {KEY: json.dumps(shapes)})


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
    tensors = dict(safetensors.load(path))
    _, metadata, _ = safetensors.read_header(path)
    try:
        shapes = json.loads(metadata[KEY])
        matrices = {}
        for name, entry in shapes.items():
            parts = [tensors.pop(f"{name}.{part}").copy() for part in PARTS]
            n, k = entry["shape"]
            matrices[name] = KINDS[entry["bits"]]((n, k), *parts, entry["group_size"])
    except MixpeError as error:
        raise ModelError(f"{path}: the matrix {name!r} is damaged: {error}") from error
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ModelError(f"{path} is no file of quantised matrices: {type(error).__name__} {error}") from error
    return matrices, tensors
