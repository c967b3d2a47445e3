# SPDX-License-Identifier: BSD-2-Clause
"""Read a GGUF file: its header, key-value pairs and tensors, checked before any number of it is used.

    "GGUF", u32 version, i64 tensors, i64 pairs
    pair    string key, u32 type, value         string: u64 length, UTF-8; array: u32 type, u64 length, values
    tensor  string name, u32 axes, i64 dims (the fastest first), u32 type, u64 offset
    data    each tensor at a multiple of general.alignment, one behind the other

All little-endian. The file is mapped: values and tensors are decoded when they are asked for, and nothing that a file
claims is allocated before it is known to be there.

Source: docs/gguf.md of https://github.com/ggml-org/ggml.
"""

import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mixpe.errors import ModelError
from mixpe.formats.brief import brief
from mixpe.formats.ggml_blocks import TYPES, UNREAD, BlockType
from mixpe.formats.mapping import map_file

MAGIC      = b"GGUF"
ALIGNMENT  = 32      # where the file does not say another
NAME_BYTES = 65535   # longest key or tensor name
AXES       = 4
_SCALARS   = {0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "?", 10: "<Q", 11: "<q", 12: "<d"}
_STRING, _ARRAY, _BOOL = 8, 9, 7
_PAIR_BYTES, _TENSOR_BYTES = 8 + 1 + 4 + 1, 8 + 1 + 4 + 8 + 4 + 8  # the least that one takes


@dataclass(frozen=True)
class TensorInfo:
    """Where a tensor lies: shape with k last, byte range in the file."""

    name: str
    kind: BlockType
    shape: tuple
    begin: int
    end: int


class _Cursor:
    """Takes numbers and strings from the mapping; never reads beyond it."""

    def __init__(self, path, data):
        self.path     = path
        self._data    = memoryview(data)  # slices cost less than an array's
        self.size     = len(data)
        self.position = 0

    def skip(self, count, what):
        """Move on by some bytes; returns where they began."""
        begin = self.position
        if count > self.size - begin:
            raise ModelError(f"{self.path} is cut off or damaged: {what} needs {count} bytes at {begin}, "
                             f"the file has {self.size} in all")
        self.position = begin + count
        return begin

    def number(self, code, what):
        return struct.unpack_from(code, self._data, self.skip(struct.calcsize(code), what))[0]

    def count(self, least, what):
        """A number of things of which each takes at least some bytes of what is left."""
        number = self.number("<Q", what)
        if number > (self.size - self.position)//least:
            raise ModelError(f"{self.path} is cut off or damaged: it says {number} {what}, but has only "
                             f"{self.size - self.position} bytes left for them")
        return number

    def string(self, what, limit=None):
        length = self.number("<Q", f"the length of {what}")
        if limit is not None and length > limit:
            raise ModelError(f"{self.path}: {what} has {length} bytes; at most {limit} are allowed")
        begin = self.skip(length, what)
        try:
            return bytes(self._data[begin:begin + length]).decode()
        except UnicodeDecodeError:
            raise ModelError(f"{self.path}: {what} at byte {begin} is not UTF-8") from None


class Pairs(Mapping):
    """The key-value pairs: name → int, float, bool, str, list of str, or read-only array; decoded when asked for."""

    def __init__(self, path, data):
        self.path   = path
        self._data  = data
        self._where = {}  # key: (type, element type or None, count, position)
        self._span  = (0, 0)  # bytes of the file that they take

    def add(self, cursor):
        """Take the next pair: check it, and note where its value lies."""
        begin = self._span[0] if self._where else cursor.position
        key = cursor.string("a key", NAME_BYTES)
        if key in self._where:
            raise ModelError(f"{self.path} has the key {brief(key)} twice")
        kind = cursor.number("<I", f"the type of {brief(key)}")
        element, count = None, 1
        if kind == _ARRAY:
            element = cursor.number("<I", f"the type of {brief(key)}")
            if element == _ARRAY:
                raise ModelError(f"{self.path}: {brief(key)} is an array of arrays, which no model has")
        if (kind if element is None else element) not in (*_SCALARS, _STRING):
            raise ModelError(f"{self.path}: {brief(key)} has the type {kind if element is None else element}; "
                             "known are 0 … 12")
        if kind == _ARRAY:
            least = 8 if element == _STRING else struct.calcsize(_SCALARS[element])
            count = cursor.count(least, f"elements of {brief(key)}")
        position = cursor.position
        self._where[key] = kind, element, count, position
        what = f"the value of {brief(key)}"
        plain = kind if element is None else element
        if plain == _STRING:
            for _ in range(count):
                cursor.skip(cursor.number("<Q", what), what)
        else:
            cursor.skip(count*struct.calcsize(_SCALARS[plain]), what)
        self._span = begin, cursor.position

    def as_file(self):
        """A GGUF file of these pairs and no tensor: what a tokenizer is kept in."""
        begin, end = self._span
        return MAGIC + struct.pack("<IQQ", 3, 0, len(self)) + bytes(self._data[begin:end])

    def __getitem__(self, key):
        kind, element, count, position = self._where[key]
        cursor = _Cursor(self.path, self._data)
        cursor.position = position
        what = f"the value of {brief(key)}"
        if kind == _STRING:
            return cursor.string(what)
        if element == _STRING:
            return [cursor.string(what) for _ in range(count)]
        code = _SCALARS[kind if element is None else element]
        if _BOOL in (kind, element):
            code = "<B"
        array = np.frombuffer(self._data, code, count, position)
        if _BOOL in (kind, element):
            if count and array.max() > 1:
                raise ModelError(f"{self.path}: {brief(key)} must be true (1) or false (0), not {array.max()}")
            array = array.view(bool)
        return array if kind == _ARRAY else array[0].item()

    def single(self, key, default=None):
        """A value that is no array.

        Raises
        ------
        ModelError
            It is one.
        """
        value = self.get(key, default)
        if isinstance(value, np.ndarray | list):
            raise ModelError(f"{self.path}: {brief(key)} must be a single value, not an array of {len(value)}")
        return value

    def __iter__(self):
        return iter(self._where)

    def __len__(self):
        return len(self._where)


def _tensor(cursor):
    """One entry of the list of tensors: (name, type, shape, offset in the data)."""
    name = cursor.string("a tensor's name", NAME_BYTES)
    said = f"{cursor.path}: the tensor {brief(name)}"
    axes = cursor.number("<I", f"the axes of {brief(name)}")
    if not 1 <= axes <= AXES:
        raise ModelError(f"{said} has {axes} axes; there are 1 … {AXES}")
    dims = [cursor.number("<q", f"the shape of {brief(name)}") for _ in range(axes)]
    if min(dims) < 1:
        raise ModelError(f"{said} has the shape {dims}; every axis has at least 1")
    number = cursor.number("<I", f"the type of {brief(name)}")
    offset = cursor.number("<Q", f"the offset of {brief(name)}")
    if number not in TYPES:
        known = ", ".join(kind.name for kind in TYPES.values())
        raise ModelError(f"{said} has the type {UNREAD.get(number, number)}, which is not read; known are {known}. "
                         "Take the file of the same model in one of these, for instance Q4_K_M or Q8_0")
    kind = TYPES[number]
    if dims[0] % kind.weights:
        raise ModelError(f"{said} has rows of {dims[0]}; {kind.name} takes multiples of {kind.weights}")
    return name, kind, tuple(reversed(dims)), offset


def _place(cursor, entries, alignment):
    """Byte ranges of the tensors, which must lie one behind the other and fill the rest of the file."""
    start   = -(-cursor.position//alignment)*alignment
    room    = cursor.size - start
    tensors = {}
    place = end = 0
    for name, kind, shape, offset in entries:
        nbytes = math.prod(shape)//kind.weights*kind.nbytes
        if name in tensors:
            raise ModelError(f"{cursor.path} has two tensors {brief(name)}")
        if offset != place:
            raise ModelError(f"{cursor.path}: the data of {brief(name)} begin at {offset}; aligned to "
                             f"{alignment} behind those before, they must begin at {place}")
        end = place + nbytes
        if end > room:
            raise ModelError(f"{cursor.path} is cut off or damaged: {brief(name)}, {kind.name} {shape}, needs bytes up "
                             f"to {start + end}, the file has {cursor.size}")
        tensors[name] = TensorInfo(name, kind, shape, start + place, start + end)
        place = -(-end//alignment)*alignment
    if room > place:
        raise ModelError(f"{cursor.path} has {room - place} bytes behind its last tensor")
    return tensors


class GgufFile:
    """A GGUF file, mapped.

    Parameters
    ----------
    path : path

    Attributes
    ----------
    path : Path
    pairs : Mapping
        Key → value; see `Pairs`.
    tensors : dict of name → TensorInfo

    Raises
    ------
    ModelError
        No such file, no GGUF file of version 2 or 3, cut off, or a file that contradicts itself.
    """

    def __init__(self, path):
        self.path  = Path(path)
        self._data = data = map_file(self.path)
        cursor = _Cursor(self.path, data)
        if bytes(data[:4]) != MAGIC:
            raise ModelError(f"{self.path} is no GGUF file: it begins with {bytes(data[:4])!r}, not {MAGIC!r}")
        cursor.position = 4
        version = cursor.number("<I", "the version")
        if version in (2 << 24, 3 << 24):
            raise ModelError(f"{self.path} is a big-endian GGUF file; only little-endian ones are read. "
                             "gguf-py's gguf_convert_endian turns it round")
        if version not in (2, 3):
            raise ModelError(f"{self.path} is GGUF version {version}; versions 2 and 3 are read. "
                             "Convert the model again with today's llama.cpp")
        tensors = cursor.count(_TENSOR_BYTES, "tensors")
        pairs   = cursor.count(_PAIR_BYTES, "key-value pairs")
        self.pairs = Pairs(self.path, data)
        for _ in range(pairs):
            self.pairs.add(cursor)
        alignment = self.pairs.get("general.alignment", ALIGNMENT)
        if type(alignment) is not int or alignment < 1 or alignment & (alignment - 1):
            raise ModelError(f"{self.path}: general.alignment must be a power of two, not {brief(alignment)}")
        self.tensors = _place(cursor, [_tensor(cursor) for _ in range(tensors)], alignment)

    def bytes_of(self, info):
        """The data of a tensor: (nbytes,) uint8, a read-only view of the mapping."""
        return self._data[info.begin:info.end]
