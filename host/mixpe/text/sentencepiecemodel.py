# SPDX-License-Identifier: BSD-2-Clause
"""tokenizer.model: BPE or Unigram of sentencepiece, by its library."""

import re
from functools import cached_property

from mixpe.errors import ModelError
from mixpe.formats.mapping import read_bytes
from mixpe.text import extras
from mixpe.text.scored import SPACE
from mixpe.text.stream import Leading
from mixpe.text.tokenizer import MAX_TOKENS, Tokenizer

# ModelProto.normalizer_spec.add_dummy_prefix = false, as protocol buffers write it: fields that come again override.
_NO_DUMMY_PREFIX = bytes([3 << 3 | 2, 2, 3 << 3, 0])


class SentencePieceTokenizer(Tokenizer):
    """A sentencepiece model, and tokens that were added to it later.

    Special tokens divide a text; what is between them goes to the library. In its older use (legacy) each part then
    begins with a space, in its newer one only the first.
    """

    def __init__(self, kind, pieces, processor, whole, around, legacy, **keywords):
        super().__init__(kind, pieces, **keywords)
        self._processor = processor
        self._whole     = whole
        self._around    = around
        self._legacy    = legacy
        self._splitters = {}
        for parse_special in (False, True):
            texts = [text for text, token in whole.items() if parse_special or token not in self.special_ids]
            pattern = "|".join(map(re.escape, sorted(texts, key=len, reverse=True)))
            self._splitters[parse_special] = re.compile(f"({pattern})").split if pattern else lambda text: [text]

    @cached_property
    def _continuing(self):
        """The same model without a space before the text."""
        return _load(self._processor.serialized_model_proto() + _NO_DUMMY_PREFIX, self.kind)

    def _encode(self, text, add_special, parse_special):
        before, after = self._around if add_special else ([], [])
        ids = list(before)
        for i, part in enumerate(self._splitters[parse_special](text)):
            if i % 2:
                ids.append(self._whole[part])
            elif part:
                first = i == 0 or self._legacy
                ids += (self._processor if first else self._continuing).encode(part)
        return [*ids, *after]


def read(path, settings, chat=None):
    """Read a tokenizer.model.

    Parameters
    ----------
    path : path
    settings : Settings
        Of the folder.
    chat : ChatTemplate, optional

    Returns
    -------
    SentencePieceTokenizer

    Raises
    ------
    ModelError
        Damaged; or a list of base64 words, the other kind of file with this name.
    ToolError
        The library is not installed.
    """
    data, name = read_bytes(path), str(path)
    if re.match(rb"[A-Za-z0-9+/]+=* \d+\r?\n", data):
        raise ModelError(f"{name} is a vocabulary of tiktoken, which is not supported; the model's tokenizer.json is")
    processor = _load(data, name)
    count = processor.get_piece_size()
    if not 0 < count <= MAX_TOKENS:
        raise ModelError(f"{name} has {count} pieces; 1 … {MAX_TOKENS} are read")
    pieces, special, unused, whole = {}, [], [], {}
    for token in range(count):
        try:
            text = processor.id_to_piece(token)
        except UnicodeDecodeError as error:
            raise ModelError(f"{name}: the piece {token} is not UTF-8: {error}") from None
        pieces[token] = bytes([int(text[3:5], 16)]) if processor.is_byte(token) else text.replace(SPACE, " ").encode()
        if processor.is_control(token) or processor.is_unknown(token):
            special.append(token)
            whole[text] = token
        if processor.is_unused(token):
            unused.append(token)
    for text, (token, is_special) in sorted(settings.added.items()):
        known = processor.piece_to_id(text)
        token = known if processor.id_to_piece(known) == text else token
        if token is None or not text:
            continue
        if token >= MAX_TOKENS or pieces.get(token, text.encode()) != text.replace(SPACE, " ").encode():
            raise ModelError(f"{name}: {text!r} is added as the token {token}, which is another one or over "
                             f"{MAX_TOKENS}")
        pieces[token], whole[text] = text.encode(), token
        if is_special:
            special.append(token)
    ids  = {"bos_token": processor.bos_id(), "eos_token": processor.eos_id()}
    ids |= {key: whole.get(text, processor.piece_to_id(text)) for key, text in settings.names.items()
            if text in whole or processor.id_to_piece(processor.piece_to_id(text)) == text}
    bos, eos = (ids[key] if ids[key] >= 0 else None for key in ("bos_token", "eos_token"))
    around = ([bos] if settings.add_bos is not False and bos is not None else [],
              [eos] if settings.add_eos and eos is not None else [])
    # The library's normalisation shows its settings, which it has no call for.
    prefixes, collapses = processor.normalize("a").startswith(SPACE), SPACE*2 not in processor.normalize("a  a")
    leading = Leading.ALL if collapses else Leading.ONE if prefixes else Leading.KEEP
    return SentencePieceTokenizer(
        "tokenizer.model", pieces, processor, whole, around, settings.legacy, bos_id=bos, leading=leading, chat=chat,
        eos_ids=({eos} - {None}) | {token for token in settings.eos_ids if token in pieces},
        special_ids=special, unused_ids=unused)


def _load(data, name):
    library = extras.load("sentencepiece", "tokenizer.model")
    processor = library.SentencePieceProcessor()
    try:
        processor.LoadFromSerializedProto(data)
        processor.encode("a")
    except (RuntimeError, ValueError, OSError, TypeError) as error:
        raise ModelError(f"{name} is refused by the library sentencepiece: {error}") from None
    return processor
