# SPDX-License-Identifier: BSD-2-Clause
"""How byte-level BPE cuts a text before it merges, by the names in GGUF's ``tokenizer.ggml.pre``.

Each cut is a list of regular expressions that are applied one after the other: every match becomes a word of its own,
and what is between matches, too.

Source: the models' tokenizer.json, and llama-vocab.cpp of https://github.com/ggml-org/llama.cpp for the names.
"""

from dataclasses import dataclass

from mixpe.errors import ModelError

_GPT2    = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
_SHORT   = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_MARKS   = r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_LLAMA3  = rf"{_SHORT}|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|\p{{N}}{{1,3}}|{_MARKS}"
_QWEN2   = rf"{_SHORT}|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|\p{{N}}|{_MARKS}"
_UPPER, _LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
_TEKKEN  = (rf"[^\r\n\p{{L}}\p{{N}}]?{_UPPER}*{_LOWER}+|[^\r\n\p{{L}}\p{{N}}]?{_UPPER}+{_LOWER}*|\p{{N}}"
            r"| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+")


@dataclass(frozen=True)
class Cut:
    """How one family of vocabularies cuts.

    Parameters
    ----------
    patterns : tuple of str
        Regular expressions, in order.
    whole_words : bool
        A word that is a token is taken whole, without merges.
    add_bos : bool
        A text begins with BOS unless the file says otherwise.
    """

    patterns:    tuple
    whole_words: bool = False
    add_bos:     bool = False


_DEFAULT = Cut((r"[\p{P}\$\+<=>\^~\|]+", _GPT2, r"\p{N}+", r"[0-9][0-9][0-9]"))
_DIGITS  = Cut((r"\p{N}", _GPT2))
_LLAMA   = Cut((_LLAMA3,), whole_words=True, add_bos=True)

CUTS = {
    "default": _DEFAULT,
    "gpt-2": Cut((_GPT2,)), "phi-2": Cut((_GPT2,)), "olmo": Cut((_GPT2,)),
    "smollm": _DIGITS, "starcoder": _DIGITS, "refact": _DIGITS, "command-r": _DIGITS,
    "llama-bpe": _LLAMA, "llama3": _LLAMA, "llama-v3": _LLAMA,
    "smaug-bpe": Cut((_LLAMA3,)),
    "qwen2": Cut((_QWEN2,)), "deepseek-r1-qwen": Cut((_QWEN2,)),
    "tekken": Cut((_TEKKEN,), whole_words=True, add_bos=True),
}


def cut(name, source):
    """The cut of a name; None, as in old files, is "default".

    Raises
    ------
    ModelError
        The name is not known; a guess would give other tokens than the model was trained with.
    """
    name = "default" if name is None else name
    if name not in CUTS:
        raise ModelError(f"{source} cuts its text by the rule {name!r}; known are {', '.join(CUTS)}. "
                         "The model's own folder with its tokenizer.json can be read whatever the rule")
    return CUTS[name]
