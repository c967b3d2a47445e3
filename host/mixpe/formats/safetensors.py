# SPDX-License-Identifier: BSD-2-Clause
"""Read and write safetensors files with numpy alone.

    [header length: 8 bytes, little-endian] [header: JSON] [data]

The header maps each tensor's name to its dtype, shape and byte range in the data. The ranges must cover the data
without holes or overlaps, so a file that was cut off or tampered with is refused before any number is used. Nothing in
the format can execute.

Source: the format section of https://github.com/huggingface/safetensors.
"""

import json
import math
import os
from contextlib import suppress
from pathlib import Path

import numpy as np

from mixpe.errors import ModelError
from mixpe.formats.brief import brief
from mixpe.formats.mapping import map_file, read_bytes

HEADER_LIMIT_BYTES = 100_000_000  # as in the format's own implementation
AXES_LIMIT         = 8            # numpy has 64, models 4
NUMBER_LIMIT       = 1 << 63      # sizes and offsets are 64-bit

_DTYPES = {
    "F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "i1",
    "U64": "<u8", "U32": "<u4", "U16": "<u2", "U8": "u1", "BOOL": "?", "BF16": "<u2",
}
_NAMES = {np.dtype(code): name for name, code in _DTYPES.items() if name != "BF16"}


def _unique(pairs):
    names = [name for name, _ in pairs]
    if len(set(names)) != len(names):
        raise ValueError("a name occurs twice")
    return dict(pairs)


def _entry(path, name, entry):
    """Check one header entry; returns (dtype name, shape, begin, end)."""
    said = f"{path}: {brief(name)}"
    try:
        dtype, shape, (begin, end) = entry["dtype"], entry["shape"], entry["data_offsets"]
    except (TypeError, KeyError, ValueError):
        raise ModelError(f"{path}: the header entry of {brief(name)} must have dtype, shape and two "
                         "data_offsets") from None
    if not isinstance(dtype, str) or dtype not in _DTYPES:
        raise ModelError(f"{said} has the dtype {brief(dtype)}; known are {', '.join(_DTYPES)}")
    numbers = [*shape, begin, end] if isinstance(shape, list) else [None]
    if not all(type(number) is int and 0 <= number < NUMBER_LIMIT for number in numbers):
        raise ModelError(f"{said} has the shape {brief(shape)} and the offsets {brief([begin, end])}; "
                         "both must be lists of whole numbers from 0")
    if len(shape) > AXES_LIMIT:
        raise ModelError(f"{said} has {len(shape)} axes; at most {AXES_LIMIT} are read")
    expected = math.prod(shape) * np.dtype(_DTYPES[dtype]).itemsize
    if end - begin != expected:
        raise ModelError(f"{said}, {dtype} {tuple(shape)}, needs {expected} bytes, "
                         f"but the header gives it {end - begin}")
    return dtype, tuple(shape), begin, end


def read_header(path):
    """Read and check the header.

    Returns
    -------
    tensors : dict of name → (dtype name, shape, begin, end)
        Byte range relative to the data.
    metadata : dict of str
    data_offset_bytes : int
        Where the data begin in the file.

    Raises
    ------
    ModelError
        No such file, no safetensors file, cut off, or a header that contradicts itself.
    """
    path   = Path(path)
    prefix = read_bytes(path, 8)
    length = int.from_bytes(prefix, "little")
    size   = path.stat().st_size
    if len(prefix) < 8 or not 2 <= length <= HEADER_LIMIT_BYTES:
        raise ModelError(f"{path} is no safetensors file: it must begin with its header's length, "
                         f"2 … {HEADER_LIMIT_BYTES}, not {prefix.hex() or 'nothing'}")
    if size < 8 + length:
        raise ModelError(f"{path} is cut off: its header has {length} bytes, the file has {size} in all")
    try:
        header = json.loads(read_bytes(path, 8 + length)[8:], object_pairs_hook=_unique)
        metadata = header.pop("__metadata__", {})
        entries = header.items()
    except (ValueError, AttributeError, TypeError, RecursionError) as error:
        reason = "nested too deeply" if isinstance(error, RecursionError) else str(error)[:120]
        raise ModelError(f"{path} is no safetensors file: its header is not a JSON object ({reason})") from None
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise ModelError(f"{path}: the header's __metadata__ must be an object of texts, not {brief(metadata)}")

    tensors = {name: _entry(path, name, entry) for name, entry in entries}
    position = 0
    for name, (_, _, begin, end) in sorted(tensors.items(), key=lambda item: item[1][2:]):
        if begin != position:
            raise ModelError(f"{path}: the data of {brief(name)} begin at {begin}, those before end at {position}")
        position = end
    data_bytes = size - 8 - length
    if data_bytes < position:
        raise ModelError(f"{path} is cut off: its tensors need {position} bytes, the file has {data_bytes}")
    if data_bytes > position:
        raise ModelError(f"{path} has {data_bytes - position} bytes after its last tensor")
    return tensors, metadata, 8 + length


def mapped(path):
    """The tensors of a file where they lie.

    Parameters
    ----------
    path : path

    Returns
    -------
    dict of name → (dtype name, array)
        Read-only views of the file's mapping; BF16, which numpy lacks, as uint16.

    Raises
    ------
    ModelError
        See `read_header`.
    """
    tensors, _, offset = read_header(path)
    data = map_file(path)[offset:]
    return {name: (dtype, data[begin:end].view(_DTYPES[dtype]).reshape(shape))
            for name, (dtype, shape, begin, end) in tensors.items()}


def load(path):
    """Read all tensors of a file.

    Parameters
    ----------
    path : path

    Returns
    -------
    dict of name → array
        Read-only views of the file's mapping, in its dtypes; BF16 as float32 copies.

    Raises
    ------
    ModelError
        See `read_header`.
    """
    return {name: (array.astype(np.uint32) << np.uint32(16)).view(np.float32) if dtype == "BF16" else array
            for name, (dtype, array) in mapped(path).items()}


class Writer:
    """Writes a file tensor by tensor; it appears under its name only when it is complete.

        with Writer(path, {"a": ("F16", (4, 8))}) as file:
            file.write("a", array)          # or in pieces, one behind the other

    Parameters
    ----------
    path : path
    entries : dict of name → (dtype name, shape)
        In the order in which they are written.
    metadata : dict of str → str, optional
    """

    def __init__(self, path, entries, metadata=None):
        header, offset = {"__metadata__": dict(metadata)} if metadata else {}, 0
        self._left = {}  # bytes of each tensor that are still to come
        for name, (dtype, shape) in entries.items():
            size = math.prod(shape)*np.dtype(_DTYPES[dtype]).itemsize
            header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [offset, offset + size]}
            self._left[name] = size
            offset += size
        text = json.dumps(header, separators=(",", ":")).encode()
        text += b" " * (-len(text) % 8)  # the data begin at a multiple of 8
        self._path = Path(path)
        self._part = self._path.with_name(self._path.name + ".part")
        try:
            self._file = open(self._part, "wb")
        except OSError as error:
            raise ModelError(f"{self._path} cannot be written: {error.strerror}") from error
        try:
            self._put(len(text).to_bytes(8, "little") + text)
        except ModelError:
            self._drop()
            raise

    def _put(self, data):
        try:
            self._file.write(data)
        except OSError as error:
            raise ModelError(f"{self._path} cannot be written: {error.strerror}") from error

    def _drop(self):
        with suppress(OSError):  # closing writes what is left, on the disk that is full
            self._file.close()
        self._part.unlink()

    def write(self, name, array):
        """Write a tensor, or the next piece of it.

        Raises
        ------
        ModelError
            Another tensor is next, the piece is too long, or the disk is full.
        """
        first = next((key for key, left in self._left.items() if left), None)
        if name != first or array.nbytes > self._left[name]:
            raise ModelError(f"{self._path}: {array.nbytes} bytes of {name} do not follow; next is {first} with "
                             f"{self._left.get(first, 0)}")
        self._put(np.ascontiguousarray(array).data)
        self._left[name] -= array.nbytes

    def __enter__(self):
        return self

    def __exit__(self, kind, *_exception):
        missing = [name for name, left in self._left.items() if left]
        if kind is not None or missing:
            self._drop()
        if kind is not None:
            return
        if missing:
            raise ModelError(f"{self._path} lacks {missing[0]}")
        try:
            self._file.close()
            os.replace(self._part, self._path)
        except OSError as error:
            self._part.unlink(missing_ok=True)
            raise ModelError(f"{self._path} cannot be written: {error.strerror}") from error


def save(path, tensors, metadata=None):
    """Write arrays to a file; it appears under its name only when it is complete.

    Parameters
    ----------
    path : path
    tensors : dict of name → array
    metadata : dict of str → str, optional

    Raises
    ------
    ModelError
        An array has a dtype that the format does not know.
    """
    arrays = {}
    for name, array in tensors.items():
        array = np.asarray(array)
        dtype = array.dtype.newbyteorder("<") if array.dtype.itemsize > 1 else array.dtype
        if dtype not in _NAMES:
            raise ModelError(f"{name!r} has the dtype {array.dtype}; a safetensors file takes {', '.join(_DTYPES)}")
        arrays[name] = np.asarray(array, dtype)
    with Writer(path, {name: (_NAMES[array.dtype], array.shape) for name, array in arrays.items()}, metadata) as file:
        for name, array in arrays.items():
            if array.size:
                file.write(name, array)
