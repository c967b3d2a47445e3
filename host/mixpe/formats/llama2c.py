# SPDX-License-Identifier: BSD-2-Clause
"""Models of llama2.c: one file of numbers in a fixed order.

    legacy  7 int32; embedding; of all layers att norm, q, k, v, o, ffn norm, gate, down, up; norm; two rotary tables;
            head where vocab < 0. FP32
    v1      "24ka" (0x616b3432), int32 1, 7 int32, byte 36: shared head; data at 256: norms of all layers (att, ffn,
            last), embedding, q, k, v, o, gate, down, up, head. FP32
    v2      the same with int32 2 and an int32 group size at byte 37; norms FP32; then of each tensor its int8 codes and
            its FP32 scales. Groups run over the flat tensor and may cross rows

The 7 numbers are dim, hidden, layers, heads, key-value heads, vocabulary, context. Rows of q and k lie as in GGUF files
of llama. The base of rotary positions is 10000 and the norms' epsilon 1e-5. The vocabulary's tokenizer.bin lies beside.

Source: export.py and runq.c of https://github.com/karpathy/llama2.c.
"""

import math
import struct
from pathlib import Path

import numpy as np

from mixpe.errors import ModelError
from mixpe.formats.architecture import Architecture
from mixpe.formats.brief import located
from mixpe.formats.checkpoint import Checkpoint, GenerationDefaults, TokenizerSource, checked
from mixpe.formats.gguf_model import head_order
from mixpe.formats.groups import GroupedTensor, Groups
from mixpe.formats.mapping import map_file
from mixpe.formats.rope import Rope
from mixpe.formats.tensor import FloatTensor
from mixpe.formats.words import indices
from mixpe_gateware.contract.scaling import Form

MAGIC  = 0x616B3432
BOS, EOS = 1, 2
_HEADER_BYTES = 256
_LINEAR = ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj", "mlp.gate_proj",
    "mlp.down_proj", "mlp.up_proj")
_ATT, _FFN, _LAST = "input_layernorm", "post_attention_layernorm", "model.norm.weight"
_EMBEDDING, _HEAD = "model.embed_tokens.weight", "lm_head.weight"


class FlatTensor(GroupedTensor):
    """A tensor whose groups run over the flat array: int8 codes, FP32 scales.

    A group that crosses rows becomes groups within a row, of the largest size that divides both.
    """

    def __init__(self, name, shape, codes, scales, group_size, order=None):
        n, k = shape
        self._codes  = codes.reshape(n, k)
        self._scales = scales
        self._flat   = group_size
        self._order  = order
        super().__init__(name, shape, "llama2.c 8-bit", codes.nbytes + scales.nbytes, bits=8,
            group_size=math.gcd(group_size, k), form=Form.ZERO)

    def stored(self, rows):
        """See `GroupedTensor`."""
        rows   = rows if self._order is None else self._order[rows]
        codes  = np.ascontiguousarray(self._codes[rows]) ^ 0x80
        k      = self.shape[1]
        starts = indices(rows)[:, None]*k + np.arange(0, k, self.group_size)
        scales = self._scales[starts//self._flat]
        return Groups(codes, scales, self.group_size, np.full(scales.shape, 128, np.uint8))


def _numbers(data, start):
    """The seven numbers of a header."""
    return struct.unpack_from("<7i", data, start)


def _architecture(numbers, tied):
    dim, hidden, layers, heads, kv_heads, vocab, context = numbers
    if heads > 0 and dim % heads:
        raise ModelError(f"has {heads} heads, which do not divide its width {dim}")
    return Architecture(family="llama", vocab_size=vocab, hidden_size=dim, intermediate_size=hidden,
        num_hidden_layers=layers, num_attention_heads=heads, num_key_value_heads=kv_heads,
        head_dim=dim//max(1, heads), max_position_embeddings=context, rms_norm_eps=1e-5, rope=Rope(theta=10000.0),
        tie_word_embeddings=tied)


def _layers(architecture, parts):
    """Names of some parts in the order of the file: all layers of the first, then of the second …"""
    return [f"model.layers.{i}.{part}.weight" for part in parts for i in range(architecture.num_hidden_layers)]


def _order(architecture, legacy):
    """Every tensor's name in the order of the file."""
    head = [] if architecture.tie_word_embeddings else [_HEAD]
    if legacy:  # the rotary tables lie between the last norm and the head
        return [_EMBEDDING, *_layers(architecture, (_ATT, *_LINEAR[:4], _FFN, *_LINEAR[4:])), _LAST, *head]
    return [*_layers(architecture, (_ATT, _FFN)), _LAST, _EMBEDDING, *_layers(architecture, _LINEAR), *head]


def _legacy(data):
    """Architecture of a legacy file, or None: it has no mark, but its size follows from its numbers."""
    if len(data) < 28:
        return None
    numbers = _numbers(data, 0)
    dim, hidden, layers, heads, kv_heads, vocab, context = numbers
    if min(dim, hidden, layers, heads, kv_heads, context) < 1 or not vocab or dim % heads or heads % kv_heads:
        return None
    kv_dim = dim//heads*kv_heads
    layer  = 2*dim + 2*dim*dim + 2*dim*kv_dim + 3*dim*hidden
    words  = abs(vocab)*dim*(1 + (vocab < 0)) + layers*layer + dim + context*(dim//heads)
    if len(data) != 28 + 4*words:
        return None
    return _architecture((*numbers[:5], abs(vocab), context), tied=vocab > 0)


def is_llama2c(data):
    """Whether a file's bytes (mapped) are a model of llama2.c: by its mark, or by its size."""
    if len(data) >= 4 and struct.unpack_from("<I", data)[0] == MAGIC:
        return True
    try:
        return _legacy(data) is not None
    except ModelError:
        return False


def _header(data):
    """(architecture, version, group size, where the data begin)."""
    if struct.unpack_from("<I", data)[0] != MAGIC:
        return _legacy(data), 0, None, 28
    if len(data) < _HEADER_BYTES:
        raise ModelError(f"is cut off: its header has {_HEADER_BYTES} bytes, the file has {len(data)}")
    version, = struct.unpack_from("<i", data, 4)
    if version not in (1, 2):
        raise ModelError(f"has the version {version} of llama2.c's format; 1, 2 and the one without a number are read")
    shared = data[36]
    if shared > 1:
        raise ModelError(f"says {shared} about its head; it must be shared (1) or not (0)")
    architecture = _architecture(_numbers(data, 8), tied=bool(shared))
    group_size = None
    if version == 2:
        group_size, = struct.unpack_from("<i", data, 37)
        if group_size < 1:
            raise ModelError(f"has groups of {group_size}; they must have 1 or more")
    return architecture, version, group_size, _HEADER_BYTES


class _Reader:
    """Takes tensors from the mapping, one behind the other."""

    def __init__(self, data, position):
        self._data    = data
        self.position = position

    def take(self, count, code, what):
        nbytes = count*np.dtype(code).itemsize
        if nbytes > len(self._data) - self.position:
            raise ModelError(f"is cut off: {what} needs {nbytes} bytes at {self.position}, the file has "
                             f"{len(self._data)} in all")
        begin = self.position
        self.position += nbytes
        return self._data[begin:self.position].view(code)


def _tensor(reader, name, shape, group_size, heads):
    count = math.prod(shape)
    if group_size is None or len(shape) == 1:
        data = reader.take(count, "<f4", name).reshape(shape)
        return FloatTensor(name, "F32", data, heads and head_order(heads, shape[0]//heads))
    if count % group_size:
        raise ModelError(f"has groups of {group_size}, which do not divide the {count} weights of {name}")
    codes  = reader.take(count, "u1", name)
    scales = reader.take(count//group_size, "<f4", f"the scales of {name}")
    return FlatTensor(name, shape, codes, scales, group_size, heads and head_order(heads, shape[0]//heads))


def read_llama2c(path):
    """Read a model of llama2.c.

    Parameters
    ----------
    path : path

    Returns
    -------
    Checkpoint

    Raises
    ------
    ModelError
        No such file, or a damaged one.
    """
    path = Path(path)
    data = map_file(path)
    if not is_llama2c(data):
        raise ModelError(f"{path} is no model of llama2.c: it has neither its mark nor the size that follows from its "
                         "first seven numbers")
    try:
        architecture, version, group_size, start = _header(data)
        if 9*architecture.num_hidden_layers > len(data):
            raise ModelError(f"is cut off: it says {architecture.num_hidden_layers} layers and has {len(data)} bytes")
        heads  = {"q_proj": architecture.num_attention_heads, "k_proj": architecture.num_key_value_heads}
        shapes, reader, tensors = architecture.tensor_shapes(), _Reader(data, start), {}
        for name in _order(architecture, version == 0):
            tensors[name] = _tensor(reader, name, shapes[name], group_size, heads.get(name.split(".")[-2]))
            if version == 0 and name == _LAST:
                reader.take(architecture.max_position_embeddings*architecture.head_dim, "<f4", "the rotary tables")
        if reader.position != len(data):
            raise ModelError(f"has {len(data) - reader.position} bytes behind its last tensor")
    except ModelError as error:
        raise ModelError(located(path, error)) from None
    beside  = path.parent/"tokenizer.bin"
    sources = {beside.name: beside} if beside.is_file() else {}
    generation = GenerationDefaults()
    if architecture.vocab_size > EOS:
        generation = GenerationDefaults(bos_token_id=BOS, eos_token_ids=(EOS,), add_bos=True)
    return Checkpoint(path, "llama2.c", architecture, checked(path, architecture, tensors), TokenizerSource(sources),
        generation)
