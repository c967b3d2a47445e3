# SPDX-License-Identifier: BSD-2-Clause
"""Records of a program: descriptors of 16 words in memory, which the sequencer patches and hands to the engines.

Record 0 is the header. The others are run in order for every token, each begun when its fences allow. A record's words
are those of a descriptor (`contract.descriptor`) as far as they have the same meaning; where results go and how much
room they have is in the same words for all of them.

    0  op            opcode, fences, function, options, and which addresses count from the session's memory
    1  b_addr        second operand: weights, the other summand, tables, keys
    2  a_addr        first operand
    3  out_addr      results
    4  n             channels, elements of a row, positions
    5 … 7            by opcode
    8  out_bytes     room for the results
    9 … 11           by opcode
    12 check         `check_word` of the record as it lies in memory
    13 … 15          patches

A GEMM's weights are no record's results: a device may read them before the GEMM's fences allow.

A program may have passes of several tokens, its header's `rows`. The first `token_records` of its records are then run
for each of the tokens, all others once, with the last one's position.

A patch adds source·stride to one word, modulo 2^32. Addresses are byte offsets in the device's memory; those that
`relative` names count from the session's first byte, RUN's `state_addr`.

In a run of a batch (`contract.program.run`) each token of a pass is of a session of its own. A record there may name a
row, in the place of its first patch: it takes that row's position, and addresses that are the row's `own` count from
its session's memory. A VECTOR record whose results go there may write there and nowhere else.
"""

from dataclasses import dataclass
from enum import IntEnum

from mixpe_gateware.contract.descriptor import Opcode, fold_words
from mixpe_gateware.contract.fields import Field, WithFields

RECORD_WORDS = 16
RECORD_BYTES = 4*RECORD_WORDS
RECORDS_MAX  = 4096
MAGIC        = 0x5250584D  # "MXPR"
NO_TOKEN     = 0xFFFFFFFF  # an unused end-of-text id
TOP          = 64          # entries that SELECT writes at most
ROWS_MAX     = 64          # rows of a vector record: what is measured of each is kept on the chip
CHECK        = 12
PATCHES      = (13, 14, 15)
RELATIVE     = (1, 2, 3, 5, 7, 9, 10, 11)  # words that `relative` may make count from the session's memory, bit by bit
OF_ROW       = 15          # in the place of a patch's source: the record names a row


class Function(IntEnum):
    """What a VECTOR record computes; see `contract.program.execute`."""

    ADD    = 0
    NORM   = 1
    SILU   = 2
    QUANT  = 3
    ROTATE = 4
    APPEND = 5
    QUERY  = 6
    SELECT = 7


OF_HEADS    = (Function.ROTATE, Function.APPEND, Function.QUERY)  # their rows are heads of one token
OF_COLUMNS  = (Function.ADD, Function.SILU)                       # that may have operands by columns
CHOICE_BITS = 20                                                  # of an index among which SELECT chooses


class Source(IntEnum):
    """What a patch multiplies with its stride."""

    POSITION    = 0
    COUNT       = 1  # position + 1
    TOKEN_BLOCK = 2  # token >> 3, its block of the packed stream
    TOKEN_ROW   = 3  # token & 7, its channel there
    LISTED      = 4  # 1 in a run that lists the largest logits, else 0
    ROW         = 5  # of the token among those of its pass


# Options of VECTOR, bits of the field `options`.
A_SCALED   = 1  # the first operand times 2^unit of its row: results of a linear layer
B_SCALED   = 2  # the second operand likewise
HAS_B      = 4  # ADD: there is a second operand; else the first one passes
B_ONE_ROW  = 8  # ADD: the second operand is one row for all
NARROW     = 16  # QUANT: A8 with a shift a group (`contract.narrow`), else A16 (`contract.wide`)
COLUMNS    = 64  # ADD's first operand, or both of SILU: (n, rows), the results of a linear layer for several tokens
MEASURE    = 32  # ADD: the sum of squares of each row of results is kept, for the NORM that follows


@dataclass(frozen=True)
class RecordWord(WithFields):
    """A word of a record: its name and text by opcode, and its fields where it holds several numbers."""

    name: str
    text: str
    fields: tuple = ()


OP = RecordWord("op", "which engine works, and when", (
    Field("opcode",          0,  8, "engine"),
    Field("fence",           8,  1, "begin when all records before have ended"),
    Field("after_gemm",      9,  1, "begin when all GEMM records before have ended"),
    Field("after_vector",    10, 1, "begin when all VECTOR records before have ended"),
    Field("after_attention", 11, 1, "begin when all ATTENTION records before have ended"),
    Field("function",        12, 4, "of VECTOR", tuple((each.value, each.name) for each in Function)),
    Field("options",         16, 8, "by opcode"),
    Field("relative",        24, 8, "bit i: word RELATIVE[i] counts from the session's memory"),
))
PATCH = RecordWord("patch", "source·stride is added to a word; a stride of 0 adds nothing", (
    Field("word",   0, 4,  "index of the word: 1 … 11"),
    Field("source", 4, 4,  "what is multiplied", tuple((each.value, each.name) for each in Source)),
    Field("stride", 8, 24, "added once for each"),
))
ROW = RecordWord("row", "the first patch's place in a record that names a row", (
    Field("word",   0,  4, "0"),
    Field("source", 4,  4, f"{OF_ROW}"),
    Field("row",    8,  8, "whose position and session the record takes"),
    Field("own",    16, 8, "bit i: if word RELATIVE[i] is relative, it counts from the memory of the row's session"),
))
HEADS = RecordWord("heads", "shape of attention", (
    Field("head_dim", 0,  12, "d, elements of a head, a multiple of 32 up to 256"),
    Field("kv_heads", 12, 8,  "c, key-value heads"),
    Field("group",    20, 8,  "query heads of each"),
))

# Words 1 … 11 of each opcode: (name, text); the missing ones are zero.
VECTOR = {
    1:  ("b_addr",     "second operand: float32, rows·n or one row; ROTATE: d/2 cosines, then d/2 sines, float32"),
    2:  ("a_addr",     "first operand: float32, rows·n"),
    3:  ("out_addr",   "float32; QUANT: activations; APPEND: codes of head 0; QUERY: int16; SELECT: index, float32"),
    4:  ("n",          "elements of a row; d where rows are heads"),
    5:  ("extra_addr", "second results: APPEND: bfloat16 scale of head 0 at this position; QUERY: int32 exponents"),
    6:  ("rows",       "rows, tokens or heads, 1 … 64; SELECT: 1"),
    7:  ("constant",   "NORM: float32 of 1/n; QUERY: float32 of log2(e)/√d; QUANT: group size; SELECT: pairs, 1 … 64"),
    8:  ("out_bytes",  "room from out_addr on"),
    9:  ("epsilon",    "NORM: float32"),
    10: ("pitch",      "APPEND: bytes from a head's codes to the next one's"),
    11: ("pitch_2",    "APPEND: bytes from a head's scale to the next one's"),
}
ATTENTION = {
    1:  ("keys_addr",   "INT8 keys: (c, context, d)"),
    2:  ("a_addr",      "int16 codes of the queries: (c·group, d)"),
    3:  ("out_addr",    "results: float32 (c·group, d)"),
    4:  ("positions",   "s, positions in the cache, the newest one included"),
    5:  ("scales_addr", "bfloat16 scales of the keys, (c, context), then those of the values"),
    6:  ("heads",       HEADS.text),
    7:  ("exponents_addr", "int32 exponents of the queries: (c·group)"),
    8:  ("out_bytes",   "room from out_addr on"),
    9:  ("window",      "positions that are seen at most, 0: all"),
    10: ("values_addr", "INT8 values: (c, context, d)"),
    11: ("context",     "positions that the cache has room for, a multiple of 64"),
}
HEADER = {
    0:  ("magic",          f"0x{MAGIC:08X}, 'MXPR'"),
    1:  ("identity",       "of program, weights and contract: RUN names it, so that none is run by mistake"),
    2:  ("records",        "of the program, this one included"),
    3:  ("prompt_records", "of them, from the first, those that are run for a token whose successor is known"),
    4:  ("context",        "positions of a session"),
    5:  ("vocabulary",     "tokens"),
    6:  ("end_0",          "id that ends a text, or 0xFFFFFFFF"),
    7:  ("end_1",          "another one"),
    8:  ("state_bytes",    "of a session's memory"),
    9:  ("end_2",          "another one"),
    10: ("end_3",          "another one"),
    11: ("rows",           "tokens of a pass, 1 … 64"),
    13: ("token_records",  "of the records, from the first, those that are run for each token of a pass"),
    14: ("session_bytes",  "of a batch: of the memory of each row's session"),
}
WORDS_OF = {Opcode.VECTOR: VECTOR, Opcode.ATTENTION: ATTENTION}


def named_words(table, words):
    """Words 1 … 11 of a record by the names that a table such as `VECTOR` gives them: dict of str → int."""
    return {name: int(words[index]) for index, (name, _) in table.items()}


def named_row(words):
    """The row that a record names, and the words of it that are the row's own, bit by bit as `relative`; else None.

    Raises
    ------
    ValueError
        What should be a row is none.
    """
    word, source, row, own = (ROW.field(name).of(words[PATCHES[0]]) for name in ("word", "source", "row", "own"))
    if source != OF_ROW:
        return None
    if word:
        raise ValueError("a row is named by word 0")
    return row, own


def check_word(words, index, identity):
    """Word 12 of a record: of its other words, its place in the program and the program's identity.

    Parameters
    ----------
    words : 16 int
        Word 12 does not count.
    index : int
        0: the header.
    identity : int
        Word 1 of the header.

    Returns
    -------
    int
    """
    return fold_words([identity ^ index, *words[:CHECK], *words[CHECK + 1:]])
