# SPDX-License-Identifier: BSD-2-Clause
"""The tokenizer in the header of a GGUF file: byte-level BPE ("gpt2") or scored pieces ("llama").

Source: the section on the tokenizer in docs/gguf.md of https://github.com/ggml-org/ggml.
"""

import numpy as np

from mixpe.errors import ModelError
from mixpe.text import extras
from mixpe.text.bytealphabet import to_bytes
from mixpe.text.chat import ChatTemplate
from mixpe.text.presplit import cut
from mixpe.text.scored import Kind, Piece, ScoredTokenizer
from mixpe.text.tokenizer import MAX_TOKENS
from mixpe.text.tokenizerjson import LibraryTokenizer, guarded

_PREFIX = "tokenizer.ggml."
_ENDS   = ("eos_token_id", "eot_token_id", "eom_token_id")

# Control tokens that end an answer whether or not a key says so: files name one of them at most.
# Source: llama-vocab.cpp of llama.cpp.
_END_TEXTS = frozenset((
    "<|eot_id|>", "<|im_end|>", "<|end|>", "<end_of_turn>", "<|endoftext|>", "<|end_of_text|>", "<|eom_id|>", "<EOT>",
    "_<EOT>", "<\uff5cend\u2581of\u2581sentence\uff5c>", "<end_of_utterance>"))


def read(kvs, source="the GGUF file"):
    """Build the tokenizer of a GGUF header.

    Parameters
    ----------
    kvs : dict of str → value
        Keys and values; texts as str or UTF-8 bytes, lists as lists or arrays.
    source : str
        Name of the file, for messages.

    Returns
    -------
    Tokenizer

    Raises
    ------
    ModelError
        No tokenizer, one of another kind, an unknown rule for cutting, or values that contradict each other.
    ToolError
        The library `tokenizers` is needed and not installed.
    """
    keys  = _Keys(kvs, source)
    model = keys.text("model")
    if model not in ("gpt2", "llama"):
        raise ModelError(f"{source} has a tokenizer of the kind {model!r}; supported are 'gpt2' and 'llama'")
    texts = keys.texts("tokens")
    if not 0 < len(texts) <= MAX_TOKENS:
        raise ModelError(f"{source} has {len(texts)} tokens; 1 … {MAX_TOKENS} are read")
    kinds = keys.numbers("token_type", len(texts), [Kind.NORMAL]*len(texts))
    wrong = set(kinds) - set(Kind)
    if wrong:
        raise ModelError(f"{source} has a token of the type {min(wrong)}; types are 1 … 6")
    kinds = [Kind(number) for number in kinds]
    bos = keys.token("bos_token_id", len(texts))
    eos = keys.token("eos_token_id", len(texts))
    ends  = {keys.token(key, len(texts)) for key in _ENDS} - {None}
    ends |= {token for token, text in enumerate(texts) if kinds[token] == Kind.CONTROL and text in _END_TEXTS}
    build = _byte_level if model == "gpt2" else _scored
    return build(keys, texts, kinds, bos, eos, bos_id=bos, eos_ids=ends, chat=_chat(keys, texts, bos, eos))


def _chat(keys, texts, bos, eos):
    templates = {}
    for key, name in (("tokenizer.chat_template", "default"), ("tokenizer.chat_template.tool_use", "tool_use")):
        text = keys.text(key, None)
        if text is not None:
            templates[name] = text
    names = {"bos_token": bos, "eos_token": eos, "unk_token": keys.token("unknown_token_id", len(texts)),
             "pad_token": keys.token("padding_token_id", len(texts))}
    named = {key: texts[token] for key, token in names.items() if token is not None}
    return ChatTemplate(templates, named) if templates else None


def _byte_level(keys, texts, kinds, bos, eos, **keywords):
    """BPE over bytes; merges in order, and the words that `pre` cuts."""
    rule   = cut(keys.text("pre", None), keys.source)
    merges = [_merge(text, keys.source) for text in keys.texts("merges")]
    ids = {}
    for token, text in enumerate(texts):
        ids.setdefault(text, token)
    library  = extras.load("tokenizers", "this GGUF file's tokenizer")
    pipeline = library.Tokenizer(guarded(
        lambda: library.models.BPE(ids, merges, ignore_merges=rule.whole_words), keys.source))
    pieces = library.pre_tokenizers
    pipeline.pre_tokenizer = pieces.Sequence(
        [pieces.Split(library.Regex(pattern), "isolated") for pattern in rule.patterns]
        + [pieces.ByteLevel(add_prefix_space=False, use_regex=False)])
    whole = {token: kind for token, kind in enumerate(kinds) if kind in (Kind.CONTROL, Kind.USER) and texts[token]}
    pipeline.add_special_tokens([library.AddedToken(texts[token], special=True, normalized=False)
                                 for token, kind in whole.items() if kind == Kind.CONTROL])
    pipeline.add_tokens([library.AddedToken(texts[token], normalized=False)
                         for token, kind in whole.items() if kind == Kind.USER])
    around = (_added(keys, "add_bos_token", rule.add_bos and bos is not None, bos),
              _added(keys, "add_eos_token", False, eos))
    return LibraryTokenizer(
        f"GGUF, byte-level BPE ({keys.text('pre', 'default')})",
        {token: text.encode() if token in whole else to_bytes(text) for token, text in enumerate(texts)},
        pipeline, around,
        special_ids=[token for token, kind in enumerate(kinds) if kind in (Kind.CONTROL, Kind.UNKNOWN)],
        unused_ids=[token for token, kind in enumerate(kinds) if kind == Kind.UNUSED], **keywords)


def _merge(text, source):
    """Both sides of a merge; the first character may be a space itself."""
    rest, _, right = text[1:].partition(" ")
    left = text[:1] + rest
    if not (left and right):
        raise ModelError(f"{source} has the merge {text[:40]!r}, which is not two tokens with a space between them")
    return left, right


def _scored(keys, texts, kinds, bos, eos, **keywords):
    """Scored pieces with byte fallback."""
    scores = keys.numbers("scores", len(texts), [0.0]*len(texts), whole=False)
    return ScoredTokenizer(
        "GGUF, scored pieces", [Piece(*entry) for entry in zip(texts, scores, kinds, strict=True)],
        space_prefix=keys.flag("add_space_prefix", True), add_bos=bool(_added(keys, "add_bos_token", True, bos)),
        add_eos=bool(_added(keys, "add_eos_token", False, eos)), **keywords)


def _added(keys, key, default, token):
    if not keys.flag(key, default):
        return []
    if token is None:
        raise ModelError(f"{keys.source} says {_PREFIX}{key} and names no such token")
    return [token]


class _Keys:
    """Typed access to the keys of a header; short names are those of the tokenizer."""

    def __init__(self, kvs, source):
        self._kvs, self.source = kvs, source

    def _get(self, key):
        return self._kvs.get(key if key.startswith("tokenizer.") else _PREFIX + key)

    def _wrong(self, key, what, value):
        return ModelError(f"{self.source} must have {_PREFIX}{key} as {what}, not {str(value)[:60]!r}")

    def text(self, key, *default):
        value = self._get(key)
        if value is None and default:
            return default[0]
        return self._as_text(key, value)

    def _as_text(self, key, value):
        if isinstance(value, (bytes, bytearray)):
            try:
                return value.decode()
            except UnicodeDecodeError:
                raise ModelError(f"{self.source}: {_PREFIX}{key} is not UTF-8: {bytes(value[:40])!r}") from None
        if not isinstance(value, str) or not value.isascii() and any("\ud800" <= c <= "\udfff" for c in value):
            raise self._wrong(key, "a text", value)
        return value

    def texts(self, key):
        value = self._get(key)
        if not isinstance(value, (list, tuple, np.ndarray)):
            raise self._wrong(key, "a list of texts", value)
        return [self._as_text(key, text) for text in value]

    def flag(self, key, default):
        value = self._get(key)
        if value is None:
            return default
        if not isinstance(value, (bool, np.bool_)):
            raise self._wrong(key, "true or false", value)
        return bool(value)

    def numbers(self, key, count, default, whole=True):
        value = self._get(key)
        if value is None:
            return default
        try:
            array = np.asarray(value)
        except ValueError:  # lists of different lengths
            raise self._wrong(key, f"{count} numbers", value) from None
        if array.shape != (count,) or array.dtype.kind not in ("iu" if whole else "iuf"):
            raise self._wrong(key, f"{count} {'whole ' if whole else ''}numbers", value)
        return array.tolist()

    def token(self, key, count):
        value = self._get(key)
        if value is None:
            return None
        if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, np.integer)) or not 0 <= value < count:
            raise self._wrong(key, f"a token, 0 … {count - 1}", value)
        return int(value)
