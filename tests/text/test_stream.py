# SPDX-License-Identifier: BSD-2-Clause
"""Streams of text from bytes, the byte vocabulary, and what is dropped at the start."""

import random

import numpy as np
import pytest

from mixpe.errors import ModelError
from mixpe.text import ByteTokenizer, Tokenizer
from mixpe.text.stream import Leading


def test_bytes_are_tokens(texts):
    tokenizer = ByteTokenizer()
    for text in texts:
        assert tokenizer.encode(text) == list(text.encode()) and tokenizer.decode(tokenizer.encode(text)) == text
    assert tokenizer.size == 256 and tokenizer.bos_id is None and not tokenizer.eos_ids
    assert tokenizer.decode(np.frombuffer("é".encode(), np.uint8)) == "é"


def test_every_cut_of_every_character():
    # Whatever comes byte by byte leaves whole: no part of a stream holds half a character.
    text = "aé世🙂\U0010ffff"
    stream = ByteTokenizer().stream()
    parts = [stream.push(byte) for byte in text.encode()]
    assert [part for part in parts if part] == list(text) and stream.finish() == ""


def test_damaged_utf8_is_replaced_as_python_does():
    rng, tokenizer = random.Random(1), ByteTokenizer()
    heads = [0x00, 0x41, 0x7F, 0x80, 0xBF, 0xC0, 0xC2, 0xDF, 0xE0, 0xED, 0xA0, 0xEF, 0xF0, 0x90, 0xF4, 0x8F, 0xF5, 0xFF]
    for _ in range(3000):
        data = bytes(rng.choice(heads) for _ in range(rng.randrange(12)))
        stream = tokenizer.stream()
        text = "".join(map(stream.push, data)) + stream.finish()
        assert text == data.decode("utf-8", "replace") == tokenizer.decode(data)


def test_what_is_never_completed_comes_at_the_end():
    stream = ByteTokenizer().stream()
    assert [stream.push(byte) for byte in "世".encode()[:2]] == ["", ""]
    assert stream.finish() == "\ufffd" and stream.finish() == ""


@pytest.mark.parametrize("leading, pieces, wanted", [
    (Leading.KEEP,  [b" ", b" a"],       "  a"),
    (Leading.ONE,   [b" ", b" a", b" "], " a "),
    (Leading.ONE,   [b"", b" a"],        "a"),
    (Leading.ONE,   [b"a", b" a"],       "a a"),
    (Leading.ALL,   [b" ", b"  a", b" "], "a "),
    (Leading.FIRST, [b"  a b", b" c"],   "ab c"),
])
def test_the_start_of_a_text(leading, pieces, wanted):
    tokenizer = Tokenizer("test", dict(enumerate(pieces)), leading=leading)
    assert tokenizer.decode(range(len(pieces))) == wanted
    stream = tokenizer.stream(continues=True)
    assert "".join(map(stream.push, range(len(pieces)))) == b"".join(pieces).decode()


@pytest.mark.parametrize("keywords, message", [
    ({"pieces": {}},                               "no token"),
    ({"pieces": {1 << 22: b"a"}},                  "token 4194304; at most"),
    ({"pieces": {0: b"a"}, "bos_id": 1},           "bos is the token 1, which the vocabulary of 1 lacks"),
    ({"pieces": {0: b"a"}, "eos_ids": [0, 2]},     "eos is the token 2"),
])
def test_vocabularies_that_cannot_be_are_refused(keywords, message):
    with pytest.raises(ModelError, match=message):
        Tokenizer("test", **keywords)
