# SPDX-License-Identifier: BSD-2-Clause
"""Records made of names: the other way around to what `execute` reads."""

from mixpe_gateware.contract.descriptor import INDEX, WORDS, Opcode
from mixpe_gateware.contract.program.records import (
    CHECK,
    HEADER,
    HEADS,
    MAGIC,
    OF_ROW,
    OP,
    PATCH,
    PATCHES,
    RECORD_WORDS,
    RELATIVE,
    ROW,
    WORDS_OF,
    check_word,
)

GEMM = {index: (word.name, word.text) for index, word in enumerate(WORDS) if index not in (INDEX["op"], INDEX["tag"])}


def table_of(opcode):
    """Words 1 … 11 of an engine's records: dict of index → (name, text)."""
    return GEMM if opcode == Opcode.GEMM else WORDS_OF[opcode]


def _packed(word, values):
    return sum(word.field(name).put(int(value)) for name, value in values.items())


def heads_word(head_dim, kv_heads, group):
    """The word `heads` of ATTENTION."""
    return _packed(HEADS, {"head_dim": head_dim, "kv_heads": kv_heads, "group": group})


def _bits_of(names, index):
    """Addresses bit by bit, as `relative` has them."""
    return sum(1 << {place: bit for bit, place in enumerate(RELATIVE)}[index[name]] for name in names)


def record_words(opcode, operands, *, relative=(), patches=(), row=None, own=(), **op):
    """Words of a record, its check word zero: list of 16 int.

    Parameters
    ----------
    opcode : Opcode
    operands : dict of str → int
        Words by the names of `table_of`; the others are zero.
    relative : tuple of str
        Of them, addresses that count from the session's memory.
    patches : tuple of (name, Source, stride)
        At most three, or two beside a row.
    row : int, optional
        That the record names.
    own : tuple of str
        Of `relative`, those that count from the memory of the row's session.
    op
        Further fields of the first word.

    Raises
    ------
    KeyError
        There is no such word, or none that may be relative.
    RangeError
        A number has more bits than its field.
    """
    index = {name: place for place, (name, _) in table_of(opcode).items()}
    words = [0]*RECORD_WORDS
    words[0] = _packed(OP, {"opcode": opcode, "relative": _bits_of(relative, index), **op})
    for name, value in operands.items():
        words[index[name]] = int(value)
    places = PATCHES
    if row is not None:
        words[PATCHES[0]] = _packed(ROW, {"source": OF_ROW, "row": row, "own": _bits_of(own, index)})
        places = PATCHES[1:]
    for place, (name, source, stride) in zip(places[:len(patches)], patches, strict=True):
        words[place] = _packed(PATCH, {"word": index[name], "source": source, "stride": stride})
    return words


def header_words(**values):
    """Words of a header, its check word zero: list of 16 int; values by the names of `HEADER` but `magic`."""
    index = {name: place for place, (name, _) in HEADER.items()}
    words = [0]*RECORD_WORDS
    for name, value in {"magic": MAGIC, **values}.items():
        words[index[name]] = int(value)
    return words


def sealed(records, identity):
    """All records of a program, the header first, with their check words: list of lists of 16 int."""
    return [[*words[:CHECK], check_word(words, index, identity), *words[CHECK + 1:]]
        for index, words in enumerate(records)]
