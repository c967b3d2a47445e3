# SPDX-License-Identifier: BSD-2-Clause
"""RUN: the descriptor that runs a program, token after token, until its count or a token that ends the text.

Its words take the places of a GEMM's. Every pass runs the program's records with a token and a position; with `prompt`
the tokens are read from memory and the passes but the last end before the output head. SELECT's choice of a pass that
ran to the end is the next token: it is written to memory behind the ones before, and the position counts up.

    prompt = 0   count passes from `token`;              tokens_addr ← count tokens that were chosen
    prompt = 1   count passes, of tokens_addr's tokens;  behind these ← the token that the last one's logits chose,
                 but with `more`

Of a program with several tokens a pass, `count` counts tokens; a run that ends within a pass has no choice. Those of a
pass that was not completed do not count, though `run_tokens` may have counted them.

With `batch` each row of a pass is a session of its own. At tokens_addr lies a table of the program's `rows`, four words
each: `ROW_WORDS`. A pass runs the program with the rows' tokens, each at its row's position, those before in its row's
session; all else is in state_addr's memory. The pass makes as many choices as there are rows, in their order: these are
the rows' next tokens, and are written to memory behind the table and the passes before.

    batch = 1    count passes;                           behind the table ← rows tokens a pass
                 the run ends early behind a pass in which any row's token ends its text

Rows may repeat each other: they do the same. For the table and the tokens, room for `ROWS_MAX` rows is asked for.

`listed` is what the patches of that name multiply: a program has SELECT find as many as it lists, or one.

The run ends OK, or with the code of the first record that fails; later ones are not begun. Registers `run_tokens` and
`run_record` then say how many passes were completed and which record of the next one it was.
"""

from dataclasses import dataclass

from mixpe_gateware.contract.descriptor import INDEX, WORDS, Opcode
from mixpe_gateware.contract.fields import Field, WithFields
from mixpe_gateware.contract.program.records import ROWS_MAX


@dataclass(frozen=True)
class RunWord(WithFields):
    """A word of a RUN descriptor."""

    name: str
    text: str
    fields: tuple = ()


RUN_WORDS = (
    RunWord("op",           "the opcode; a fence is implied"),
    RunWord("program_addr", "byte offset of the program's header"),
    RunWord("tokens_addr",  "byte offset of token ids, uint32"),
    RunWord("state_addr",   "byte offset of the session's memory: nothing else is written but tokens"),
    RunWord("token",        "the first one, without `prompt` and `batch`"),
    RunWord("position",     "of the first token: so many are in the session's cache; of a batch added to each row's"),
    RunWord("identity",     "of the program, as its header has it"),
    RunWord("count",        "passes, and how tokens come", (
        Field("count",  0,  16, "passes"),
        Field("prompt", 16, 1,  "tokens are read, not chosen"),
        Field("more",   18, 1,  "of a prompt: its last pass too ends early, nothing is chosen"),
        Field("listed", 17, 1,  "the largest logits are listed; else the largest alone is found"),
        Field("batch",  19, 1,  "each row is a session; neither with `prompt` nor with `more`"),
    )),
    RunWord("state_bytes",  "size of the session's memory"),
    RunWord("tag",          "any value; returned with the result"),
)
assert len(RUN_WORDS) == len(WORDS) and RUN_WORDS[INDEX["tag"]].name == "tag"

# A row of a batch's table.
ROW_WORDS = ("token", "position", "session", "unused")
ROW_BYTES = 4*len(ROW_WORDS)

# Registers of what the last run did, in builds with a decoder.
RUN_TOKENS, RUN_RECORD = "run_tokens", "run_record"


def tokens_bytes(count, prompt, batch):
    """Bytes from `tokens_addr` on that a run may read or write."""
    return ROWS_MAX*(ROW_BYTES + 4*count) if batch else 4*(count + prompt)


def run_words(*, program_addr, tokens_addr, state_addr, state_bytes, token, position, identity, count, prompt, tag,
              listed=False, more=False, batch=False):
    """Words of a RUN descriptor, in the order in which they are written: list of int.

    Raises
    ------
    RangeError
        `count` has more than 16 bits.
    """
    word = RUN_WORDS[7]
    counted = sum(word.field(name).put(int(value)) for name, value in
        {"count": count, "prompt": prompt, "listed": listed, "more": more, "batch": batch}.items())
    return [Opcode.RUN, program_addr, tokens_addr, state_addr, token, position, identity, counted, state_bytes, tag]
