# SPDX-License-Identifier: BSD-2-Clause
"""tokenizer.json: byte-level BPE, BPE with byte fallback, and Unigram, by the library `tokenizers`."""

import json
from functools import cached_property

from mixpe.errors import ModelError
from mixpe.formats.mapping import parse_json, read_bytes
from mixpe.text import extras
from mixpe.text.bytealphabet import to_bytes
from mixpe.text.stream import Leading
from mixpe.text.tokenizer import MAX_TOKENS, Tokenizer

_MODELS = ("BPE", "Unigram")


def guarded(call, name):
    """Call the library; whatever it raises, a panic of its compiled part too, becomes a ModelError."""
    try:
        return call()
    except (KeyboardInterrupt, SystemExit, GeneratorExit, MemoryError):
        raise
    except BaseException as error:  # pyo3's PanicException is no Exception
        raise ModelError(f"{name} is refused by the library tokenizers: {error}") from None


class LibraryTokenizer(Tokenizer):
    """A pipeline of the library `tokenizers`.

    Parameters
    ----------
    kind, pieces, keywords
        As for `Tokenizer`.
    pipeline : tokenizers.Tokenizer
    around : (list of int, list of int), optional
        Tokens before and after a text. Default: what the pipeline itself puts there.
    """

    def __init__(self, kind, pieces, pipeline, around=None, **keywords):
        super().__init__(kind, pieces, **keywords)
        self._pipeline = pipeline
        self._around   = around

    @cached_property
    def _plain(self):
        """A second pipeline, to which special tokens are text."""
        plain = type(self._pipeline).from_str(self._pipeline.to_str())
        plain.encode_special_tokens = True
        return plain

    def _encode(self, text, add_special, parse_special):
        pipeline = self._pipeline if parse_special else self._plain
        own = add_special and self._around is None
        ids = guarded(lambda: pipeline.encode(text, add_special_tokens=own).ids, self.kind)
        before, after = self._around if add_special and self._around else ([], [])
        return [*before, *ids, *after]


def read(path, settings, chat=None):
    """Read a tokenizer.json.

    Parameters
    ----------
    path : path
    settings : Settings
        Of the folder.
    chat : ChatTemplate, optional

    Returns
    -------
    LibraryTokenizer

    Raises
    ------
    ModelError
        Damaged, or of a kind that is not supported: other models than BPE and Unigram, random merges, decoders that
        are not bytes in a row.
    ToolError
        The library is not installed.
    """
    library = extras.load("tokenizers", "tokenizer.json")
    text, name = read_bytes(path), str(path)
    values = parse_json(text, name)
    model = values.get("model")
    kind = model.get("type") if isinstance(model, dict) else None
    if kind not in _MODELS:
        raise ModelError(f"{name} has a model of the type {kind!r}; supported are {' and '.join(_MODELS)}")
    if model.get("dropout"):
        raise ModelError(f"{name} merges at random (dropout {model['dropout']!r}); set it to null")
    to_piece, leading = _decoding(values.get("decoder"), name)
    first = values.get("pre_tokenizer")
    if isinstance(first, dict) and first.get("type") == "ByteLevel" and settings.add_bos is None:
        first["add_prefix_space"] = settings.add_prefix_space  # tokenizer_config.json decides, absent means false
        text = json.dumps(values).encode()
    pipeline = guarded(lambda: library.Tokenizer.from_str(text.decode()), name)
    pipeline.no_truncation()
    pipeline.no_padding()

    known = set(pipeline.get_vocab(with_added_tokens=True))
    marked = {token.content for token in pipeline.get_added_tokens_decoder().values()}
    special = {text for text, (_, is_special) in settings.added.items() if is_special} | set(settings.names.values())
    pipeline.add_special_tokens([library.AddedToken(text, special=True, normalized=False)
                                 for text in sorted(special & known - marked)])
    pipeline.add_tokens([library.AddedToken(text, normalized=False)
                         for text in sorted(set(settings.added) & known - marked - special)])

    ids = pipeline.get_vocab(with_added_tokens=True)
    if max(ids.values(), default=0) >= MAX_TOKENS:
        raise ModelError(f"{name} has the token {max(ids.values())}; at most {MAX_TOKENS} are read")
    pieces = {token: to_piece(text) for text, token in ids.items()}
    if len(pieces) < len(ids):
        raise ModelError(f"{name} gives one id to two tokens: {len(ids)} tokens have {len(pieces)} ids")
    bos, eos = ids.get(settings.names.get("bos_token")), ids.get(settings.names.get("eos_token"))
    around = None
    if settings.add_bos is not None:
        around = [bos] if settings.add_bos else [], [eos] if settings.add_eos else []
        if None in around[0] + around[1]:
            raise ModelError(f"{name} lacks the token that its tokenizer_config.json adds to each text: "
                             f"{settings.names['bos_token' if around[0] == [None] else 'eos_token']!r}")
    return LibraryTokenizer(
        f"tokenizer.json ({kind})", pieces, pipeline, around, bos_id=bos, leading=leading, chat=chat,
        eos_ids=({eos} - {None}) | {token for token in settings.eos_ids if token in pieces},
        special_ids=[token for token, entry in pipeline.get_added_tokens_decoder().items() if entry.special])


def _decoding(decoder, name):
    """How the pipeline decodes: token's text → bytes, and what is dropped at the start of a text."""
    steps = decoder.get("decoders") if isinstance(decoder, dict) and decoder.get("type") == "Sequence" else [decoder]
    calls, leading, fused = [], Leading.KEEP, False
    for step in steps if isinstance(steps, list) else [None]:
        step = step if isinstance(step, dict) else {}
        match step.get("type"):
            case "ByteLevel" if not calls:
                calls.append(to_bytes)
            case "Metaspace" if isinstance(step.get("replacement"), str):
                calls.append(_replacing(step["replacement"], " "))
                if step.get("prepend_scheme", "always") != "never" and step.get("add_prefix_space", True):
                    leading = Leading.FIRST
            case "Replace" if _is_replacement(step):
                calls.append(_replacing(step["pattern"]["String"], step["content"]))
            case "ByteFallback":
                calls.append(_byte_or_text)
            case "Fuse":
                fused = True
            case "Strip" if (fused and step.get("content"), step.get("start"), step.get("stop")) == (" ", 1, 0):
                leading = Leading.ONE
            case _:
                raise ModelError(f"{name} has the decoder {step or decoder!r}; supported are ByteLevel, Metaspace, and "
                                 "a sequence of Replace, ByteFallback, Fuse and Strip of one space at the start")

    def to_piece(text):
        for call in calls:
            if isinstance(text, bytes):
                return text
            text = call(text)
        return text if isinstance(text, bytes) else text.encode()

    return to_piece, leading


def _is_replacement(step):
    pattern = step.get("pattern")
    return isinstance(pattern, dict) and isinstance(pattern.get("String"), str) and isinstance(step.get("content"), str)


def _replacing(old, new):
    return lambda text: text.replace(old, new)


def _byte_or_text(text):
    """<0x41> is the byte 0x41."""
    if len(text) == 6 and text.startswith("<0x") and text.endswith(">"):
        try:
            return bytes([int(text[3:5], 16)])
        except ValueError:
            pass
    return text
