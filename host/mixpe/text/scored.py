# SPDX-License-Identifier: BSD-2-Clause
"""Vocabularies of scored pieces with byte fallback: sentencepiece's BPE as GGUF and llama2.c carry it."""

import math
import re
from dataclasses import dataclass
from enum import IntEnum

from mixpe.errors import ModelError
from mixpe.text.merging import merge
from mixpe.text.stream import Leading
from mixpe.text.tokenizer import Tokenizer

SPACE = "\u2581"  # stands for a space within a piece

_BYTE = re.compile("<0x([0-9A-Fa-f]{2})>")


class Kind(IntEnum):
    """Kind of a piece; numbers as in sentencepiece's and GGUF's files."""

    NORMAL  = 1
    UNKNOWN = 2
    CONTROL = 3
    USER    = 4
    UNUSED  = 5
    BYTE    = 6


@dataclass(frozen=True)
class Piece:
    """One piece: text; score; kind."""

    text:  str
    score: float
    kind:  Kind


class ScoredTokenizer(Tokenizer):
    """Scored pieces.

    Parameters
    ----------
    name : str
        Of the source, for messages and people.
    pieces : list of Piece
        By id.
    space : str
        What the pieces write for a space.
    space_prefix : bool
        A text, and what follows a special token, begins with a space.
    add_bos, add_eos : bool
        What `encode` puts around a text.
    keywords
        bos_id, eos_ids and chat of `Tokenizer`.

    Raises
    ------
    ModelError
        A score that is no number, two pieces for one byte, or no way to write a character that is no piece.
    """

    def __init__(self, name, pieces, *, space=SPACE, space_prefix=True, add_bos=True, add_eos=False, bos_id=None,
                 eos_ids=(), **keywords):
        contents, self._tokens, self._bytes, self._whole = {}, {}, {}, {}
        self._unknown = None
        for token, piece in enumerate(pieces):
            if math.isnan(piece.score):
                raise ModelError(f"{name}: the piece {token}, {piece.text!r}, has a score that is no number")
            contents[token] = piece.text.replace(space, " ").encode()
            match piece.kind:
                case Kind.NORMAL:
                    self._tokens.setdefault(piece.text, (piece.score, token))
                case Kind.USER | Kind.CONTROL:
                    self._whole.setdefault(piece.text, token)
                case Kind.UNKNOWN:
                    self._unknown = token
                    self._whole.setdefault(piece.text, token)
                case Kind.BYTE:
                    match = _BYTE.fullmatch(piece.text)
                    if not match or int(match[1], 16) in self._bytes:
                        raise ModelError(f"{name}: the byte piece {token} must be the only <0x…> of its byte, "
                                         f"not {piece.text!r}")
                    self._bytes[int(match[1], 16)] = token
                    contents[token] = bytes([int(match[1], 16)])
        if len(self._bytes) < 256 and self._unknown is None:
            raise ModelError(f"{name} has {len(self._bytes)} of 256 bytes and no unknown piece, so not every text has "
                             "tokens")
        special = [token for token, piece in enumerate(pieces) if piece.kind in (Kind.CONTROL, Kind.UNKNOWN)]
        super().__init__(name, contents, bos_id=bos_id, eos_ids=eos_ids, special_ids=special,
                         unused_ids=[token for token, piece in enumerate(pieces) if piece.kind == Kind.UNUSED],
                         leading=Leading.ONE if space_prefix else Leading.KEEP, **keywords)
        self._space, self._space_prefix = space, space_prefix
        self._before = self._added(name, "bos", bos_id) if add_bos else []
        self._after  = self._added(name, "eos", min(self.eos_ids, default=None)) if add_eos else []
        users = [text for text, token in self._whole.items() if text and token not in self.special_ids]
        self._splitters = {False: _splitter(users), True: _splitter(filter(None, self._whole))}

    @staticmethod
    def _added(name, what, token):
        if token is None:
            raise ModelError(f"{name} adds {what} to each text and has none")
        return [token]

    def _encode(self, text, add_special, parse_special):
        ids = list(self._before) if add_special else []
        fresh = True
        for i, part in enumerate(self._splitters[parse_special](text)):
            if i % 2:
                ids.append(self._whole[part])
                fresh = True
            elif part:
                ids += self._encode_part(" " + part if fresh and self._space_prefix else part)
                fresh = False
        return ids + (self._after if add_special else [])

    def _encode_part(self, text):
        ids = []
        for symbol in merge(text.replace(" ", self._space), self._tokens):
            if symbol in self._tokens:
                ids.append(self._tokens[symbol][1])
                continue
            ids += [self._bytes[byte] for byte in symbol.encode()] if len(self._bytes) == 256 else [self._unknown]
        return ids


def _splitter(texts):
    """Function that divides a text at whole pieces, the longest first: parts at even places, pieces at odd ones."""
    pattern = "|".join(map(re.escape, sorted(texts, key=len, reverse=True)))
    return re.compile(f"({pattern})").split if pattern else lambda text: [text]
