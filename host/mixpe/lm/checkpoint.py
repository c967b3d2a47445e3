# SPDX-License-Identifier: BSD-2-Clause
"""Find and read a Llama checkpoint: a folder with config.json and safetensors, or one safetensors file beside it."""

import json
from pathlib import Path

import numpy as np

from mixpe.errors import ModelError
from mixpe.formats import safetensors
from mixpe.lm.config import LlamaConfig

PACKAGED = Path(__file__).parent.parent / "models"  # the default model


def _shards(folder):
    """Weight files of a folder: one file, or those that an index names."""
    index = folder / "model.safetensors.index.json"
    if not index.exists():
        return [folder / "model.safetensors"]
    try:
        names = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
    except (ValueError, KeyError, AttributeError, TypeError):
        raise ModelError(f"{index} must be a JSON object with a weight_map") from None
    for name in names:
        if Path(name).name != name:  # an index must not reach outside its folder
            raise ModelError(f"{index} names {name!r}, which is not a plain file name")
    return [folder / name for name in names]


def read(path=None):
    """Read a checkpoint.

    Parameters
    ----------
    path : path, optional
        Folder, or safetensors file with its config.json beside it. Default: the packaged model.

    Returns
    -------
    config : LlamaConfig
    tensors : dict of name → array
        Exactly those of `LlamaConfig.tensor_shapes`, floating, in the file's precision.

    Raises
    ------
    ModelError
        Missing or damaged file, another architecture, a tensor that is missing, unknown, not floating or not of the
        configuration's shape.
    """
    path = PACKAGED if path is None else Path(path)
    if path.is_dir():
        folder, files = path, _shards(path)
    else:
        folder, files = path.parent, [path]
        if path.suffix != ".safetensors":
            raise ModelError(f"{path} is neither a folder nor a .safetensors file"
                             + ("" if path.exists() else ": there is no such file"))
        if not path.exists():
            raise ModelError(f"{path} cannot be read: there is no such file")
    config = LlamaConfig.from_file(folder / "config.json")
    tensors = {}
    for file in files:
        tensors |= safetensors.load(file)
    shapes = config.tensor_shapes()
    ignored = {"lm_head.weight"} if config.tie_word_embeddings else set()
    for name in sorted(set(tensors) - set(shapes) - ignored):
        if not name.endswith("rotary_emb.inv_freq"):  # old exports carry this table
            raise ModelError(f"{folder} has the tensor {name!r}, which a Llama of its config.json does not have")
    for name, shape in shapes.items():
        if name not in tensors:
            raise ModelError(f"{folder} lacks the tensor {name!r}, {shape}")
        if tensors[name].shape != shape:
            raise ModelError(f"{folder}: {name!r} must have the shape {shape} by config.json, "
                             f"not {tensors[name].shape}")
        if tensors[name].dtype.kind != "f":
            raise ModelError(f"{folder}: {name!r} must be floating, not {tensors[name].dtype}")
        if not np.isfinite(tensors[name]).all():
            raise ModelError(f"{folder}: {name!r} has values that are not finite")
    return config, {name: tensors[name] for name in shapes}
