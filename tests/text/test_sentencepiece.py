# SPDX-License-Identifier: BSD-2-Clause
"""tokenizer.model: against sentencepiece itself and `transformers`, and damaged."""

import json
import random

import pytest

from mixpe.errors import ModelError, RangeError
from mixpe.text import open_tokenizer


@pytest.fixture
def folder(tmp_path, llama_model):
    """A Llama's folder with a tokenizer.model, for a test to change."""
    (tmp_path/"tokenizer.model").write_bytes(llama_model)
    (tmp_path/"tokenizer_config.json").write_text('{"tokenizer_class": "LlamaTokenizer", "legacy": true}')
    return tmp_path


@pytest.mark.parametrize("model", ["llama_model", "unigram_model"])
def test_ids_and_text_are_the_librarys(tmp_path, request, texts, model):
    import sentencepiece
    data = request.getfixturevalue(model)
    (tmp_path/"tokenizer.model").write_bytes(data)
    ours, theirs = open_tokenizer(tmp_path), sentencepiece.SentencePieceProcessor(model_proto=data)
    assert (ours.bos_id, ours.eos_ids, ours.size) == (theirs.bos_id(), {theirs.eos_id()}, theirs.get_piece_size())
    for text in texts:
        ids = theirs.encode(text)
        assert ours.encode(text, add_special=False, parse_special=False) == ids, text
        assert ours.encode(text, parse_special=False) == [theirs.bos_id(), *ids]
        assert ours.decode(ids) == theirs.decode(ids), text


@pytest.mark.parametrize("config", [
    {"legacy": True}, {"legacy": False}, {}, {"legacy": False, "add_bos_token": False, "add_eos_token": True},
    {"legacy": False, "eos_token": "<|im_end|>", "added_tokens_decoder": {"2": {"content": "</s>", "special": True},
        "600": {"content": "<|im_start|>", "special": True}, "601": {"content": "<|im_end|>", "special": True}}},
])
def test_ids_are_the_references(folder, texts, config):
    from transformers import LlamaTokenizer
    (folder/"tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "LlamaTokenizer"} | config))
    ours, theirs = open_tokenizer(folder), LlamaTokenizer.from_pretrained(folder, local_files_only=True)
    assert ours.size == len(theirs) and ours.bos_id == theirs.bos_token_id and ours.eos_ids == {theirs.eos_token_id}
    for text in texts:
        if text.strip() != text and ("<s>" in text or "<|" in text):
            continue  # the reference's slow class drops spaces around what it divides at
        assert ours.encode(text) == theirs(text)["input_ids"], text
        assert ours.encode(text, add_special=False) == theirs(text, add_special_tokens=False)["input_ids"], text


def test_a_stream_gives_the_text(folder, texts):
    tokenizer = open_tokenizer(folder)
    for text in texts:
        ids, stream = tokenizer.encode(text), tokenizer.stream()
        parts = [stream.push(token) for token in ids] + [stream.finish()]
        assert "".join(parts) == tokenizer.decode(ids)
        if "\ufffd" not in text and not set("<▁") & set(text):
            assert "".join(parts) == text and not any("\ufffd" in part for part in parts)


def test_bytes_have_tokens_where_no_piece_does(folder):
    tokenizer = open_tokenizer(folder)
    ids = tokenizer.encode("\U0010ffff", add_special=False)
    assert [tokenizer.piece(token) for token in ids[1:]] == [bytes([b]) for b in "\U0010ffff".encode()]


@pytest.mark.parametrize("data, message", [
    (b"", "refused|no token|has 0 pieces"), (b"\x00" * 100, "refused"), (b"not a model", "refused"),
    (b"IQ== 0\nIg== 1\n", "tiktoken"),
])
def test_what_is_no_model_is_refused(folder, data, message):
    (folder/"tokenizer.model").write_bytes(data)
    with pytest.raises(ModelError, match=message):
        open_tokenizer(folder)


def test_damaged_files_end_in_an_error_or_a_tokenizer(folder, llama_model):
    rng = random.Random(0)
    for _ in range(200):
        data = bytearray(llama_model)
        for _ in range(rng.choice((1, 3, 30))):
            data[rng.randrange(len(data))] = rng.randrange(256)
        (folder/"tokenizer.model").write_bytes(data[:rng.choice((len(data), rng.randrange(len(data))))])
        try:
            tokenizer = open_tokenizer(folder)
            tokenizer.decode(tokenizer.encode("Hello 世界"))
        except (ModelError, RangeError):
            pass


@pytest.mark.parametrize("added", [
    {"<x>": 5}, {"<x>": 1 << 40}, {"<x>": -1}, {"<x>": "1"}, {"<x>": True}, {"<x>": None}, ["<x>"],
])
def test_added_tokens_that_cannot_be_are_refused(folder, added):
    (folder/"added_tokens.json").write_text(json.dumps(added))
    with pytest.raises(ModelError):
        open_tokenizer(folder)
