# SPDX-License-Identifier: BSD-2-Clause
"""tokenizer.bin of llama2.c: scored pieces in binary.

    [longest piece: u32] then per piece [score: f32] [length: u32] [bytes]

Numbers are little-endian. The count is not stored; the model says it. Spaces are written as spaces, BOS and EOS as
"\\n<s>\\n" and "\\n</s>\\n", and kinds not at all: unknown, BOS and EOS are 0, 1 and 2, bytes are 3 … 258.

Source: tokenizer.py and run.c of https://github.com/karpathy/llama2.c.
"""

import struct

from mixpe.errors import ModelError
from mixpe.formats.mapping import read_bytes
from mixpe.text.scored import Kind, Piece, ScoredTokenizer

_SPECIAL = (Piece("<unk>", 0.0, Kind.UNKNOWN), Piece("<s>", 0.0, Kind.CONTROL), Piece("</s>", 0.0, Kind.CONTROL))
_BYTES   = len(_SPECIAL)  # id of byte 0


def read(path, count=None):
    """Read a tokenizer.bin.

    Parameters
    ----------
    path : path
    count : int, optional
        Pieces in the file, the model's vocab_size. Default: all that the file holds.

    Returns
    -------
    ScoredTokenizer

    Raises
    ------
    ModelError
        Damaged, or shorter than `count`.
    """
    data, pieces, position = read_bytes(path), [], 4
    while position < len(data) if count is None else len(pieces) < count:
        if position + 8 > len(data):
            raise ModelError(f"{path} is cut off: it ends within or before its piece {len(pieces)}"
                             + (f" of {count}" if count is not None else ""))
        score, length = struct.unpack_from("<fI", data, position)
        position += 8 + length
        if position > len(data):
            raise ModelError(f"{path}: the piece {len(pieces)} must have {length} bytes, "
                             f"the file has {len(data) - position + length} left")
        pieces.append(_piece(path, len(pieces), data[position - length:position], score))
    if len(pieces) < _BYTES + 256:
        raise ModelError(f"{path} has {len(pieces)} pieces; three special ones and 256 bytes must be among them")
    return ScoredTokenizer("tokenizer.bin", pieces, space=" ", bos_id=1, eos_ids=[2])


def _piece(path, token, content, score):
    if token < _BYTES:
        return _SPECIAL[token]
    if token < _BYTES + 256:
        return Piece(f"<0x{token - _BYTES:02X}>", score, Kind.BYTE)
    try:
        return Piece(content.decode(), score, Kind.NORMAL)
    except UnicodeDecodeError:
        raise ModelError(f"{path}: the piece {token} is not UTF-8: {content[:40]!r}") from None
