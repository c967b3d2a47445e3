# SPDX-License-Identifier: BSD-2-Clause
"""What every tokenizer can do, whatever file it came from."""

import operator

import numpy as np

from mixpe.errors import DtypeError, ModelError, RangeError
from mixpe.text.stream import Leading, TextStream

MAX_TOKENS = 1 << 22  # largest vocabulary that is read; the largest published ones have 2^18


class Tokenizer:
    """Text to tokens and back.

    A subclass gives `_encode`. Decoding is the same for all: each token stands for some bytes, and a text is the UTF-8
    of all bytes in a row.

    Parameters
    ----------
    kind : str
        Where the vocabulary came from, for people.
    pieces : dict of int → bytes
        What each token stands for. Ids that are missing have a row in the model at most, and are never sampled.
    bos_id : int, optional
        The token that begins a text.
    eos_ids : iterable of int
        All tokens that end a text.
    special_ids : iterable of int
        Tokens that control the model and are no text.
    unused_ids : iterable of int
        Tokens that only fill up the vocabulary; never sampled.
    leading : Leading
        What decoding drops at the start of a text.
    chat : ChatTemplate, optional
        How a conversation is written for this model.

    Raises
    ------
    ModelError
        No token at all, more than `MAX_TOKENS`, or a bos or eos that the vocabulary lacks.
    """

    def __init__(self, kind, pieces, *, bos_id=None, eos_ids=(), special_ids=(), unused_ids=(), leading=Leading.KEEP,
                 chat=None):
        if not pieces:
            raise ModelError(f"{kind}: the vocabulary has no token")
        if max(pieces) >= MAX_TOKENS:
            raise ModelError(f"{kind}: the vocabulary has the token {max(pieces)}; at most {MAX_TOKENS} are read")
        self.kind        = kind
        self.bos_id      = bos_id
        self.eos_ids     = frozenset(eos_ids)
        self.special_ids = frozenset(special_ids)
        self.leading     = leading
        self.chat        = chat
        self._pieces     = pieces
        self._unused     = frozenset(unused_ids)
        for name, token in [("bos", bos_id), *(("eos", token) for token in sorted(self.eos_ids))]:
            if token is not None and token not in pieces:
                raise ModelError(f"{kind}: {name} is the token {token}, which the vocabulary of {self.size} lacks")

    def __repr__(self):
        return f"<{type(self).__name__}: {self.kind}, {self.size} tokens>"

    @property
    def size(self):
        """Largest token + 1; a model has at least so many rows, often more."""
        return max(self._pieces) + 1

    def sampled(self, rows):
        """Which rows of a model's logits may be chosen.

        Parameters
        ----------
        rows : int
            vocab_size of the model.

        Returns
        -------
        (rows,) bool
            False where the vocabulary has no token or one that only fills it up.
        """
        known = np.zeros(rows, bool)
        known[[token for token in self._pieces if token < rows and token not in self._unused]] = True
        return known

    def encode(self, text, *, add_special=True, parse_special=True):
        """Tokens of a text.

        Parameters
        ----------
        text : str
        add_special : bool
            Put what the vocabulary's own settings put around a text, usually BOS before it or nothing. Not for what a
            chat template wrote: it writes its own.
        parse_special : bool
            The name of a special token in the text is that token. False: it is text like any other, for text that is
            not trusted.

        Returns
        -------
        list of int

        Raises
        ------
        DtypeError
            Not a str.
        RangeError
            The text holds half of a surrogate pair, which is no character.
        """
        if not isinstance(text, str):
            raise DtypeError(f"text must be a str, not {type(text).__name__}")
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise RangeError(f"text must be Unicode characters; at {error.start} stands half of a surrogate pair, "
                             f"U+{ord(text[error.start]):04X}") from None
        return self._encode(text, add_special, parse_special)

    def _encode(self, text, add_special, parse_special):
        raise NotImplementedError

    def decode(self, tokens, *, special=False):
        """Text of tokens.

        Parameters
        ----------
        tokens : iterable of int
        special : bool
            Show special tokens by their names.

        Returns
        -------
        str
            Bytes that are no UTF-8 become U+FFFD.

        Raises
        ------
        DtypeError
            Not integers.
        RangeError
            The vocabulary has no such token.
        """
        stream = self.stream(special=special)
        return "".join([stream.push(token) for token in tokens] + [stream.finish()])

    def stream(self, *, special=False, continues=False):
        """A `TextStream` over this vocabulary."""
        return TextStream(self, special=special, continues=continues)

    def piece(self, token):
        """Bytes that one token stands for.

        Raises
        ------
        DtypeError
            Not an integer.
        RangeError
            The vocabulary has no such token.
        """
        if isinstance(token, (bool, np.bool_)):
            raise DtypeError(f"a token must be an integer, not {token!r}")
        try:
            return self._pieces[operator.index(token)]
        except TypeError:
            raise DtypeError(f"a token must be an integer, not {token!r}") from None
        except KeyError:
            raise RangeError(f"{self.kind}: the vocabulary has no token {token}; tokens are 0 … {self.size - 1}"
                             ) from None
