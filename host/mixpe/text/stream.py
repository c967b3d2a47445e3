# SPDX-License-Identifier: BSD-2-Clause
"""Text from tokens as they come: a token may end within a character, text never does."""

import codecs
from enum import Enum


class Leading(Enum):
    """What a vocabulary drops at the start of a text: the space that its encoder put there."""

    KEEP  = "keep"   # nothing
    ONE   = "one"    # one space
    ALL   = "all"    # every space
    FIRST = "first"  # every space of the first token


class TextStream:
    """Decodes tokens one by one.

    What `push` gave so far and `finish` gives is what `Tokenizer.decode` gives of the same tokens. Bytes that are no
    UTF-8 become U+FFFD, one for each part that cannot be continued (the practice of the Unicode standard, 3.9).

    Parameters
    ----------
    tokenizer : Tokenizer
    special : bool
        Show special tokens as text.
    continues : bool
        The text goes on from another one, so a leading space is kept.
    """

    def __init__(self, tokenizer, *, special=False, continues=False):
        self._tokenizer = tokenizer
        self._special   = special
        self._leading   = Leading.KEEP if continues else tokenizer.leading
        self._decoder   = codecs.getincrementaldecoder("utf-8")("replace")

    def push(self, token):
        """Text that a further token completes; may be empty.

        Raises
        ------
        RangeError
            The vocabulary has no such token.
        """
        piece = self._tokenizer.piece(token)
        if not self._special and token in self._tokenizer.special_ids:
            return ""
        return self._decoder.decode(self._without_leading(piece))

    def finish(self):
        """What is left at the end: U+FFFD for a character that was never completed, else nothing."""
        text = self._decoder.decode(b"", final=True)
        self._decoder.reset()
        return text

    def _without_leading(self, piece):
        if self._leading is Leading.KEEP or not piece:
            return piece
        leading, self._leading = self._leading, Leading.KEEP
        if leading is Leading.ONE:
            return piece.removeprefix(b" ")
        if leading is Leading.FIRST:
            return piece.replace(b" ", b"")
        rest = piece.lstrip(b" ")
        if not rest:
            self._leading = Leading.ALL
        return rest
