# SPDX-License-Identifier: BSD-2-Clause
"""Map a file, read a small one, read JSON: everything that can go wrong becomes a `ModelError`.

A path that is a device, a pipe or a socket is refused before it is opened, since opening one may wait for ever.
"""

import json
import math
import mmap
from pathlib import Path
from weakref import WeakSet

import numpy as np

from mixpe.errors import ModelError

_MAPPINGS: WeakSet = WeakSet()
JSON_BYTES = 1 << 26  # longest JSON file: an index of the largest models has 10 MB


def _regular(path):
    try:
        exists, plain, size = path.exists(), path.is_file(), path.stat().st_size if path.is_file() else 0
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the name
        raise ModelError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from error
    if not plain:
        raise ModelError(f"{path} cannot be read: {'it is not a plain file' if exists else 'there is no such file'}")
    return size


def map_file(path):
    """The whole file as a read-only (size,) uint8 array of its mapping.

    Raises
    ------
    ModelError
    """
    path = Path(path)
    if not _regular(path):
        return np.empty(0, np.uint8)
    try:
        with open(path, "rb") as file:
            mapping = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except (OSError, ValueError) as error:
        raise ModelError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from error
    _MAPPINGS.add(mapping)
    return np.frombuffer(mapping, np.uint8)


def release():
    """Let go of the pages of all mapped files; the next access brings them back."""
    if hasattr(mmap, "MADV_DONTNEED"):
        for mapping in list(_MAPPINGS):
            mapping.madvise(mmap.MADV_DONTNEED)


def read_bytes(path, count=None):
    """The first bytes of a file, or all.

    Raises
    ------
    ModelError
    """
    path = Path(path)
    _regular(path)
    try:
        with open(path, "rb") as file:
            return file.read() if count is None else file.read(count)
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror}") from error


def _constant(text):
    raise ValueError(f"{text} is no JSON number")


def _number(text):
    value = float(text)
    if not math.isfinite(value):
        raise ValueError("a number is too large")
    return value


def parse_json(text, source):
    """JSON text (bytes) that must be one object; NaN and Infinity, which JSON does not have, are refused.

    Raises
    ------
    ModelError
        It is not such an object; `source` says whose text it was.
    """
    try:
        value = json.loads(text, parse_constant=_constant, parse_float=_number)
    except (ValueError, RecursionError) as error:
        reason = "nested too deeply" if isinstance(error, RecursionError) else str(error).partition("\n")[0]
        raise ModelError(f"{source} is not JSON: {reason[:120]}") from None
    if not isinstance(value, dict):
        raise ModelError(f"{source} must be a JSON object, not {type(value).__name__}")
    return value


def read_json(path):
    """A file with one JSON object.

    Raises
    ------
    ModelError
    """
    path = Path(path)
    size = _regular(path)
    if size > JSON_BYTES:
        raise ModelError(f"{path} has {size} bytes; a JSON file of a model has at most {JSON_BYTES}")
    return parse_json(read_bytes(path), path)
