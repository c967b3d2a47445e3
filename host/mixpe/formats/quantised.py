# SPDX-License-Identifier: BSD-2-Clause
"""Write a checkpoint with its linear layers quantised: what `mixpe quantize` leaves.

    folder          model.safetensors, config.json, and the tokenizer's and generation's files of the source
    *.safetensors   the same, the small files beside it

Weights that are quantised already stay as they are where a device has their form. What is no linear layer keeps its
numbers. Everything is written under another name and renamed at the end; one tensor is in memory at a time, and of one
that is quantised here only the scales and zero points.
"""

import json
import math
import os
import shutil
from pathlib import Path

from mixpe.errors import ModelError
from mixpe.formats import safetensors
from mixpe.formats.brief import brief
from mixpe.formats.convert import REQUANTISED, keeps_its_codes, stored_form, stored_matrix
from mixpe.formats.hf_config import config_of
from mixpe.formats.huggingface import CONFIG
from mixpe.formats.mapping import read_bytes, read_json, release
from mixpe.formats.matrixfile import Outline, metadata_of
from mixpe.formats.requantize import requantize_into
from mixpe.formats.tensor import FloatTensor

WEIGHTS    = "model.safetensors"
GENERATION = "generation_config.json"
OTHERS     = (".gguf", ".bin", ".pt", ".pth", ".onnx")  # of model files that are not written


def companions(checkpoint):
    """The small files beside the weights: dict of name → bytes."""
    folder = checkpoint.path if checkpoint.path.is_dir() else None
    files  = {name: read_bytes(path) for name, path in checkpoint.tokenizer.files.items()}
    if folder is None:
        defaults = checkpoint.generation
        ids = {"bos_token_id": defaults.bos_token_id, "eos_token_id": list(defaults.eos_token_ids) or None}
        config = config_of(checkpoint.architecture) | {key: ids[key] for key in ids if ids[key] is not None}
        if checkpoint.tokenizer.pairs is not None:
            files["tokenizer.gguf"] = checkpoint.tokenizer.pairs.as_file()
        return files | {CONFIG: json.dumps(config, indent=1).encode()}
    if (folder/GENERATION).exists():
        files[GENERATION] = read_bytes(folder/GENERATION)
    config = read_json(folder/CONFIG)
    if "quantization_config" not in config:
        return files | {CONFIG: read_bytes(folder/CONFIG)}
    del config["quantization_config"]
    return files | {CONFIG: json.dumps(config, indent=1).encode()}


def _refuse_special(path):
    """Refuse a target that is a link, neither a file nor a folder, or no name at all."""
    try:
        path.lstat()
    except FileNotFoundError:
        pass
    except NotADirectoryError:
        raise ModelError(f"{path.parent} is no folder; make it first") from None
    except OSError as error:
        raise ModelError(f"{brief(str(path))} cannot be written: {error.strerror}") from error
    if path.is_symlink():
        raise ModelError(f"{path} is a link; name the place itself, which is written anew")
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise ModelError(f"{path} is a device or a pipe; name a file or a folder")
    if not path.parent.is_dir():
        raise ModelError(f"{path.parent} is no folder; make it first")


def check_target(target, files):
    """Refuse a target that would cost something that is there.

    Parameters
    ----------
    target : Path
        A file if its name ends with .safetensors, else a folder.
    files : dict of name → bytes
        What is written beside the weights.

    Raises
    ------
    ModelError
    """
    _refuse_special(target)
    if target.suffix in OTHERS:
        raise ModelError(f"{target} would be no {target.suffix} file: name a new folder, or a file *.safetensors")
    if target.suffix != ".safetensors":
        if target.is_file():
            raise ModelError(f"{target} is a file; name a new folder, or a file *.safetensors")
        if target.is_dir() and any(target.iterdir()):
            raise ModelError(f"{target} is a folder with something in it; name a new one")
        return
    if target.is_dir():
        raise ModelError(f"{target} is a folder; a name that ends with .safetensors must be a file")
    for name, content in files.items():
        beside = target.parent/name
        _refuse_special(beside)
        if beside.exists() and (not beside.is_file() or beside.read_bytes() != content):
            raise ModelError(f"{beside} is there already and belongs to another model; name a new folder as the target")


def _plan(tensors, chosen, group_size, bits):
    """Outlines of the tensors that become matrices, and the entries of the file, in its order."""
    outlines, entries = {}, {}
    for name, tensor in tensors.items():
        if name in chosen:
            outlines[name] = Outline(tensor.shape, bits, tensor.shape[1] if group_size is None else group_size)
        elif not isinstance(tensor, FloatTensor):
            found = stored_form(tensor)
            outlines[name] = Outline(tensor.shape, found.bits, found.group_size, found.form, found.is_permuted)
        entries |= outlines[name].entries(name) if name in outlines else {name: (tensor.layout, tensor.shape)}
    return outlines, entries


def write_weights(path, tensors, chosen, *, group_size=128, symmetric=False, bits=4, metadata=None, progress=None):
    """Write the tensors of a model to a safetensors file.

    Parameters
    ----------
    path : path
    tensors : dict of name → Tensor
    chosen : set of str
        Floating matrices that are quantised, round to nearest.
    group_size, symmetric, bits
        See `quantize`.
    metadata : dict of str → str, optional
        Of the source.
    progress : callable, optional
        Called with the number of weights done since the last call.

    Returns
    -------
    list of dict
        Of each matrix: ``name``, ``shape``, ``bytes``, ``bits``, ``group_size``, ``sqnr_db`` (None: exact),
        ``change`` ("": its own numbers).
    """
    outlines, entries = _plan(tensors, chosen, group_size, bits)
    rows = []
    with safetensors.Writer(path, entries, (metadata or {}) | metadata_of(outlines)) as file:
        for name, tensor in tensors.items():
            if name not in outlines:
                for span in tensor.spans() if tensor.shape else [()]:
                    file.write(name, tensor.stored(span))
                release()
                continue
            if name in chosen:
                change   = f"quantised to {bits} bits"
                decibels = _write_rounded(file, name, tensor, group_size, bits, symmetric)
            elif keeps_its_codes(tensor):
                change, decibels = _write_stored(file, name, tensor, outlines[name])
            else:
                change   = REQUANTISED
                decibels = _write_rounded(file, name, tensor)
            outline = outlines[name]
            rows.append({"name": name, "shape": list(tensor.shape), "bytes": outline.nbytes, "bits": outline.bits,
                "group_size": outline.group_size, "sqnr_db": None if decibels == math.inf else round(decibels, 2),
                "change": change})
            release()
            if progress is not None:
                progress(math.prod(tensor.shape))
    return rows


def _write_rounded(file, name, tensor, *how):
    """Write a tensor quantised here, some rows at a time; returns its decibels."""
    found = requantize_into(lambda _rows, packed: file.write(f"{name}.packed", packed), tensor, *how)
    file.write(f"{name}.scales", found.scales)
    file.write(f"{name}.zeros", found.zeros)
    return found.decibels


def _write_stored(file, name, tensor, outline):
    """Write a tensor with its own codes; returns what changed, and its decibels."""
    found = stored_matrix(tensor)
    for part in outline.parts():
        array = found.permutation.astype("<i4") if part == "order" else getattr(found.matrix, part)
        file.write(f"{name}.{part}", array)
    return found.change, found.decibels


def write_model(target, files, write):
    """Write a model's files, all or none.

    Parameters
    ----------
    target : Path
        Checked by `check_target`.
    files : dict of name → bytes
        What stands beside the weights.
    write : callable
        Writes the weights to the path that it is given; its result is returned.
    """
    if target.suffix == ".safetensors":
        found = write(target)
        for name, content in files.items():
            _write_small(target.parent/name, content)
        return found
    part = target.with_name(f"{target.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    try:
        part.mkdir()
        found = write(part/WEIGHTS)
        for name, content in files.items():
            _write_small(part/name, content)
        os.rename(part, target)  # over an empty folder, too
    except OSError as error:
        raise ModelError(f"{target} cannot be written: {error.strerror}") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return found


def _write_small(path, content):
    part = Path(f"{path}.part")
    try:
        part.write_bytes(content)
        os.replace(part, path)
    except OSError as error:
        raise ModelError(f"{path} cannot be written: {error.strerror}") from error
