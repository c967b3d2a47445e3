# SPDX-License-Identifier: BSD-2-Clause
"""The blocks of weights that a GGUF file consists of, decoded for many rows at once.

    type   weights  bytes  layout (d, m, e FP16; nibbles: byte i has q[i] low, q[i + 16] high)       weight
    Q4_0        32     18  d, 16 nibble bytes                                                        d·(q − 8)
    Q4_1        32     20  d, m, 16 nibble bytes                                                     d·q + m
    Q5_0        32     22  d, 32 fifth bits, 16 nibble bytes                                         d·(q − 16)
    Q5_1        32     24  d, m, 32 fifth bits, 16 nibble bytes                                      d·q + m
    Q8_0        32     34  d, 32 int8                                                                d·q
    Q4_K       256    144  d, e, 8 × (a, b) of 6 bits, 4 × 32 nibble bytes                           d·a·q − e·b
    Q5_K       256    176  d, e, 8 × (a, b), 32 bytes of fifth bits, 4 × 32 nibble bytes             d·a·q − e·b
    Q6_K       256    210  128 bytes of low nibbles, 64 of high pairs, 16 int8 a, d                  d·a·(q − 32)
    Q3_K       256    110  32 bytes of third bits, 64 of pairs, 16 × a of 6 bits, d                  d·(a − 32)·(q − 4)
    Q2_K       256     84  16 × (a, b) of 4 bits, 64 bytes of pairs, d, e                            d·a·q − e·b

Groups of the last three have 16 weights, which no device has: they give floats alone. Sources: ggml-common.h and
ggml-quants.c of https://github.com/ggml-org/llama.cpp.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from mixpe.formats.groups import GroupedTensor, Groups
from mixpe.formats.tensor import FloatTensor, Tensor
from mixpe.quant.matrix import Int8Matrix
from mixpe_gateware.contract.layout import split_nibbles
from mixpe_gateware.contract.scaling import Form


@dataclass(frozen=True)
class BlockType:
    """A type of tensor: `weights` of them take `nbytes`; `form` and `bits` (codes) are None where it is floats only."""

    name: str
    weights: int
    nbytes: int
    bits: int | None = None
    form: Form | None = None


TYPES = {  # by their number in the file
    0:  BlockType("F32", 1, 4),
    1:  BlockType("F16", 1, 2),
    2:  BlockType("Q4_0", 32, 18, 4, Form.ZERO),
    3:  BlockType("Q4_1", 32, 20, 4, Form.MINIMUM),
    6:  BlockType("Q5_0", 32, 22, 5, Form.ZERO),
    7:  BlockType("Q5_1", 32, 24, 5, Form.MINIMUM),
    8:  BlockType("Q8_0", 32, 34, 8, Form.ZERO),
    10: BlockType("Q2_K", 256, 84),
    11: BlockType("Q3_K", 256, 110),
    12: BlockType("Q4_K", 256, 144, 4, Form.TWO_LEVEL),
    13: BlockType("Q5_K", 256, 176, 5, Form.TWO_LEVEL),
    14: BlockType("Q6_K", 256, 210),
    30: BlockType("BF16", 1, 2),
}
UNREAD = {  # named when they are refused
    4: "Q4_2", 5: "Q4_3", 9: "Q8_1", 15: "Q8_K", 16: "IQ2_XXS", 17: "IQ2_XS", 18: "IQ3_XXS", 19: "IQ1_S", 20: "IQ4_NL",
    21: "IQ3_S", 22: "IQ2_S", 23: "IQ4_XS", 24: "I8", 25: "I16", 26: "I32", 27: "I64", 28: "F64", 29: "IQ1_M",
    31: "Q4_0_4_4", 32: "Q4_0_4_8", 33: "Q4_0_8_8", 34: "TQ1_0", 35: "TQ2_0", 36: "IQ4_NL_4_4", 37: "IQ4_NL_4_8",
    38: "IQ4_NL_8_8", 39: "MXFP4", 40: "NVFP4", 41: "Q1_0",
}
_FLOATS = {"F32": "<f4", "F16": "<f2", "BF16": "<u2"}


def _halves(blocks, start):
    """FP16 at a byte of each block: (r, b, bytes) uint8 → (r, b) float16."""
    return np.ascontiguousarray(blocks[:, :, start:start + 2]).view("<f2")[:, :, 0]


def _nibbles(qs):
    """(r, b, c, 16 or 32) bytes → (r, b, c, 2, 16 or 32) codes, low nibbles first."""
    codes = np.empty((*qs.shape[:-1], 2, qs.shape[-1]), np.uint8)
    np.bitwise_and(qs, 15, out=codes[..., 0, :])
    np.right_shift(qs, 4, out=codes[..., 1, :])
    return codes


def _flat(codes):
    return codes.reshape(codes.shape[0], -1)


def _chunks(blocks, start, chunks, width):
    """Nibble bytes, of which each chunk has two runs of neighbours: (r, b, chunks, width)."""
    return blocks[:, :, start:start + chunks*width].reshape(*blocks.shape[:2], chunks, width)


def _four(blocks, *where):
    """Four-bit codes: (r, k)."""
    return _flat(_nibbles(_chunks(blocks, *where)))


def _four_packed(blocks, *where):
    """The same two to a byte: (r, k/2)."""
    return _flat(np.stack(split_nibbles(_chunks(blocks, *where)), axis=-2))


def _fifth(blocks, start):
    """Bit 4 of the 32 codes of a block, from four bytes: (r, k), 0 or 16."""
    bits = np.unpackbits(np.ascontiguousarray(blocks[:, :, start:start + 4]), axis=-1, bitorder="little")
    return _flat(np.left_shift(bits, 4, out=bits))


# A byte's eight bits as the low bits of eight nibbles
_SPREAD = np.array([sum((byte >> i & 1) << 4*i for i in range(8)) for byte in range(256)], "<u4")


def _fifth_packed(blocks, start):
    """The high nibbles of such codes, two to a byte: (r, k/2)."""
    return _flat(_SPREAD[blocks[:, :, start:start + 4]]).view(np.uint8)


def _fifth_k(blocks):
    """Bit 4 of the 256 codes of a block of Q5_K: (r, k), 0 or 16."""
    bits = np.empty((*blocks.shape[:2], 8, 32), np.uint8)
    for group in range(8):
        bits[:, :, group] = (blocks[:, :, 16:48] >> group & 1) << 4
    return _flat(bits)


def _fifth_k_packed(blocks):
    """The high nibbles of such codes, two to a byte: (r, k/2)."""
    pairs = np.ascontiguousarray(blocks[:, :, 16:48]).view("<u2")
    bits  = np.empty((*blocks.shape[:2], 8, 16), np.uint8)
    for group in range(8):
        bits[:, :, group] = pairs >> group & 0x01 | pairs >> group + 4 & 0x10
    return _flat(bits)


def _with_zero(zero, blocks):
    scales = _halves(blocks, 0)
    return {"scales": scales, "zeros": np.full(scales.shape, zero, np.uint8)}


def _with_minimum(blocks):
    return {"scales": _halves(blocks, 0), "minima": _halves(blocks, 2)}


def _two_level(blocks):
    low, middle, high = blocks[:, :, 4:8], blocks[:, :, 8:12], blocks[:, :, 12:16]
    factors = np.empty((*blocks.shape[:2], 8, 2), np.uint8)
    factors[:, :, :4, 0] = low & 63
    factors[:, :, 4:, 0] = high & 15 | low >> 6 << 4
    factors[:, :, :4, 1] = middle & 63
    factors[:, :, 4:, 1] = high >> 4 | middle >> 6 << 4
    return {"scales": _halves(blocks, 0), "minima": -_halves(blocks, 2), "factors": factors.reshape(len(blocks), -1, 2)}


@dataclass(frozen=True)
class _Layout:
    """How a type's blocks, (r, b, bytes) uint8, are taken apart.

    Attributes
    ----------
    codes : callable
        (r, k) uint8.
    packed : callable
        (r, k/2) bytes as `Int4Matrix` has them, (r, k) as `Int8Matrix`, without a byte a code between.
    beside : callable
        What else `Groups` has: dict.
    """

    codes: Callable
    packed: Callable
    beside: Callable


def _four_bit(beside, *where):
    return _Layout(lambda blocks: _four(blocks, *where), lambda blocks: _four_packed(blocks, *where), beside)


def _five_bit(beside, fifth, fifth_packed, *where):
    return _Layout(lambda blocks: _four(blocks, *where) | fifth(blocks),
        lambda blocks: np.concatenate([fifth_packed(blocks), _four_packed(blocks, *where)], axis=1), beside)


def _q5(beside, start):
    return _five_bit(beside, partial(_fifth, start=start), partial(_fifth_packed, start=start), start + 4, 1, 16)


def _q8_0(blocks):
    return _flat(blocks[:, :, 2:] ^ 0x80)


_LAYOUTS = {
    "Q4_0": _four_bit(partial(_with_zero, 8), 2, 1, 16),
    "Q4_1": _four_bit(_with_minimum, 4, 1, 16),
    "Q5_0": _q5(partial(_with_zero, 16), 2),
    "Q5_1": _q5(_with_minimum, 4),
    "Q8_0": _Layout(_q8_0, lambda blocks: Int8Matrix.pack(_q8_0(blocks)), partial(_with_zero, 128)),
    "Q4_K": _four_bit(_two_level, 16, 4, 32),
    "Q5_K": _five_bit(_two_level, _fifth_k, _fifth_k_packed, 48, 4, 32),
}


def _pairs(qs):
    """Two-bit codes: (r, b, c, 32) bytes → (r, b, c, 4, 32), the lowest bits first."""
    codes = np.empty((*qs.shape[:-1], 4, qs.shape[-1]), np.uint8)
    for j in range(4):
        codes[..., j, :] = qs >> 2*j & 3
    return codes


def _sixteenths(codes, scale):
    """Float32 of sixteen groups of 16: codes (r, b, 256) float32 in place, times scale (r, b, 16)."""
    view  = codes.reshape(*codes.shape[:2], 16, 16)
    view *= scale[..., None]
    return view


def _q6_k(blocks):
    r, b, _ = blocks.shape
    low   = _nibbles(blocks[:, :, :128].reshape(r, b, 2, 64)).reshape(r, b, 256)
    high  = _pairs(blocks[:, :, 128:192].reshape(r, b, 2, 32)).reshape(r, b, 256)
    codes = (low | high << 4).astype(np.float32) - np.float32(32)
    scale = _halves(blocks, 208).astype(np.float32)[:, :, None]*blocks[:, :, 192:208].view(np.int8)
    return _flat(_sixteenths(codes, scale))


def _q3_k(blocks):
    r, b, _ = blocks.shape
    codes  = _pairs(blocks[:, :, 32:96].reshape(r, b, 2, 32)).reshape(r, b, 8, 32)
    third  = blocks[:, :, :32]
    for group in range(8):
        codes[:, :, group] |= (third >> group & 1) << 2
    packed = blocks[:, :, 96:108]
    low    = _nibbles(packed[:, :, :8]).reshape(r, b, 16)
    high   = np.concatenate([packed[:, :, 8:] >> shift & 3 for shift in (0, 2, 4, 6)], axis=-1)
    inner  = (low | high << 4).astype(np.float32) - np.float32(32)
    scale  = _halves(blocks, 108).astype(np.float32)[:, :, None]*inner
    return _flat(_sixteenths(codes.reshape(r, b, 256).astype(np.float32) - np.float32(4), scale))


def _q2_k(blocks):
    r, b, _ = blocks.shape
    codes   = _pairs(blocks[:, :, 16:80].reshape(r, b, 2, 32)).reshape(r, b, 256).astype(np.float32)
    scale   = _halves(blocks, 80).astype(np.float32)[:, :, None]*(blocks[:, :, :16] & 15)
    minimum = _halves(blocks, 82).astype(np.float32)[:, :, None]*(blocks[:, :, :16] >> 4)
    return _flat(_sixteenths(codes, scale) - minimum[..., None])


_FLOAT_ONLY = {"Q6_K": _q6_k, "Q3_K": _q3_k, "Q2_K": _q2_k}


class _Blocks:
    """Rows of blocks in the mapped file: (n, b, bytes) uint8, picked in the order of the weight's rows."""

    def __init__(self, kind, data, shape, order):
        self._data  = data.reshape(shape[0], shape[1]//kind.weights, kind.nbytes)
        self._order = order

    def __call__(self, rows):
        return self._data[rows if self._order is None else self._order[rows]]


class GroupedBlocks(GroupedTensor):
    """A tensor of Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q4_K or Q5_K."""

    def __init__(self, name, kind, data, shape, order=None):
        super().__init__(name, shape, kind.name, data.nbytes, bits=kind.bits, group_size=32, form=kind.form)
        self._blocks = _Blocks(kind, data, shape, order)
        self._layout = _LAYOUTS[kind.name]

    def stored(self, rows):
        """See `GroupedTensor`."""
        blocks = self._blocks(rows)
        return Groups(self._layout.codes(blocks), group_size=self.group_size, **self._layout.beside(blocks))

    def stored_packed(self, rows):
        """See `GroupedTensor`."""
        blocks = self._blocks(rows)
        return Groups(self._layout.packed(blocks), group_size=self.group_size, **self._layout.beside(blocks))


class FloatBlocks(Tensor):
    """A tensor of Q6_K, Q3_K or Q2_K."""

    def __init__(self, name, kind, data, shape, order=None):
        super().__init__(name, shape, kind.name, data.nbytes)
        self._blocks = _Blocks(kind, data, shape, order)
        self._decode = _FLOAT_ONLY[kind.name]

    def values(self, rows):
        """See `Tensor`."""
        with np.errstate(invalid="ignore"):
            return self._decode(self._blocks(rows))


def block_tensor(name, kind, data, shape, order=None):
    """The tensor of some bytes of a file.

    Parameters
    ----------
    name : str
    kind : BlockType
    data : (nbytes,) uint8
        Of the file's mapping, exactly those of the tensor.
    shape : tuple
        k, the last axis, is a multiple of the type's block; a quantised tensor has two axes.
    order : (n,) integers, optional
        Row i of the tensor is row order[i] of the file.
    """
    if kind.name in _FLOATS:
        return FloatTensor(name, kind.name, data.view(_FLOATS[kind.name]).reshape(shape), order)
    return (FloatBlocks if kind.form is None else GroupedBlocks)(name, kind, data, shape, order)
