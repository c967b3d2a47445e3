# SPDX-License-Identifier: BSD-2-Clause
"""GGUF's byte-level BPE: against the pipelines that it was made from, and headers that lie."""

import json

import numpy as np
import pytest

from mixpe.errors import ModelError
from mixpe.text import gguf, open_tokenizer
from mixpe.text.presplit import CUTS


def header(folder, pre, **more):
    """Keys of a GGUF header for a tokenizer.json, as llama.cpp's converter writes them."""
    values = json.loads((folder/"tokenizer.json").read_text())
    tokens = sorted(values["model"]["vocab"], key=values["model"]["vocab"].get)
    special = {entry["content"] for entry in values["added_tokens"]}
    return {"tokenizer.ggml.model": "gpt2", "tokenizer.ggml.pre": pre, "tokenizer.ggml.tokens": tokens,
            "tokenizer.ggml.token_type": [3 if token in special else 1 for token in tokens],
            "tokenizer.ggml.merges": [" ".join(pair) for pair in values["model"]["merges"]],
            "tokenizer.ggml.bos_token_id": 1, "tokenizer.ggml.eos_token_id": 4, "tokenizer.ggml.unknown_token_id": 0,
            } | {f"tokenizer.ggml.{key}": value for key, value in more.items()}


@pytest.mark.parametrize("pre", ["gpt-2", "smollm", "llama-bpe", "qwen2", "tekken"])
def test_ids_and_text_are_those_of_the_json(folders, texts, pre):
    found, wanted = gguf.read(header(folders[pre], pre)), open_tokenizer(folders[pre])
    adds_bos = pre in ("llama-bpe", "tekken")
    for text in texts:
        ids = wanted.encode(text, add_special=False)
        assert found.encode(text, add_special=False) == ids, text
        assert found.encode(text) == [1] * adds_bos + ids, text
        ids = wanted.encode(text, add_special=False, parse_special=False)
        assert found.encode(text, add_special=False, parse_special=False) == ids, text
        ids = wanted.encode(text)
        assert found.decode(ids) == wanted.decode(ids)
        assert found.decode(ids, special=True) == wanted.decode(ids, special=True)
    assert (found.bos_id, found.eos_ids, found.size) == (1, {4}, 700)


def test_the_default_cut_is_falcons(texts):
    # The rule of files that name none: that of Falcon, which `tokenizers` has words for, but for
    # ` and outside of ASCII, where Falcon takes bytes for digits.
    from tokenizers import Regex
    from tokenizers import pre_tokenizers as p
    falcon = p.Sequence([p.Punctuation("contiguous"), p.ByteLevel(add_prefix_space=False),
                         p.Digits(individual_digits=False), p.Split(Regex("[0-9][0-9][0-9]"), "isolated")])
    ours = p.Sequence([p.Split(Regex(pattern), "isolated") for pattern in CUTS["default"].patterns]
                      + [p.ByteLevel(add_prefix_space=False, use_regex=False)])
    for text in texts:
        if "`" not in text and text.isascii():
            assert ours.pre_tokenize_str(text) == falcon.pre_tokenize_str(text)


def test_bytes_and_arrays_are_as_good_as_text_and_lists(folders):
    values = header(folders["smollm"], "smollm")
    other = values | {"tokenizer.ggml.tokens": [token.encode() for token in values["tokenizer.ggml.tokens"]],
                      "tokenizer.ggml.token_type": np.array(values["tokenizer.ggml.token_type"], np.int32),
                      "tokenizer.ggml.merges": np.array(values["tokenizer.ggml.merges"], object),
                      "tokenizer.ggml.eos_token_id": np.uint32(4), "tokenizer.ggml.pre": b"smollm"}
    assert gguf.read(other).encode("fox 12<|im_end|>") == gguf.read(values).encode("fox 12<|im_end|>")


def test_settings(folders):
    tokenizer = gguf.read(header(folders["smollm"], "smollm", add_bos_token=True, add_eos_token=True))
    ids = tokenizer.encode("fox", add_special=False)
    assert tokenizer.encode("fox") == [1, *ids, 4]
    assert gguf.read(header(folders["llama-bpe"], "llama-bpe", add_bos_token=False)).encode("fox")[0] != 1


def test_kinds_of_tokens(folders):
    values = header(folders["smollm"], "smollm")
    values["tokenizer.ggml.tokens"] += ["two  spaces é", "<|endoftext|>", "[PAD702]", "[PAD702]"]
    values["tokenizer.ggml.token_type"] += [4, 3, 5, 5]
    tokenizer = gguf.read(values)
    assert 700 in tokenizer.encode("a two  spaces é b") and tokenizer.decode([700]) == "two  spaces é"
    assert tokenizer.eos_ids == {4, 701}  # a control token of this name ends a text, whoever is named eos
    assert tokenizer.sampled(705).tolist() == [True] * 702 + [False] * 3
    assert tokenizer.decode([701]) == "" and tokenizer.decode([701], special=True) == "<|endoftext|>"


def test_chat_template(folders, messages):
    values = header(folders["smollm"], "smollm")
    assert gguf.read(values).chat is None
    values["tokenizer.chat_template"] = "{{ bos_token }}{{ messages[0].content }}{{ eos_token }}"
    values["tokenizer.chat_template.tool_use"] = "tools: {{ tools | length }}"
    tokenizer = gguf.read(values)
    assert tokenizer.chat.render(messages) == "<s>Hi there 世界<|im_end|>"
    assert tokenizer.chat.encode(tokenizer, messages) == [1, *tokenizer.encode("Hi there 世界"), 4]
    assert tokenizer.chat.render(messages, tools=[{}, {}]) == "tools: 2"


@pytest.mark.parametrize("change, message", [
    ({"model": "bert"},                             "kind 'bert'.*'gpt2' and 'llama'"),
    ({"model": None},                               "model as a text, not 'None'"),
    ({"model": 5},                                  "model as a text"),
    ({"model": b"\xff"},                            "not UTF-8"),
    ({"pre": "deepseek-llm"},                       "rule 'deepseek-llm'; known are .*smollm.*tokenizer.json"),
    ({"pre": 3},                                    "pre as a text"),
    ({"tokens": None},                              "tokens as a list"),
    ({"tokens": []},                                "has 0 tokens"),
    ({"tokens": "abc"},                             "tokens as a list"),
    ({"tokens": ["a", 5]},                          "tokens as a text, not '5'"),
    ({"tokens": ["a", b"\xc3\x28"]},                r"not UTF-8: b'\\xc3\("),
    ({"tokens": ["a", "\ud800"]},                   "tokens as a text"),
    ({"token_type": [1]},                           "token_type as 700 whole numbers"),
    ({"token_type": [0] * 700},                     "type 0; types are 1 … 6"),
    ({"token_type": [[1], [1, 2]]},                 "token_type as 700"),
    ({"merges": None},                              "merges as a list"),
    ({"merges": ["ab"]},                            "merge 'ab', which is not two tokens"),
    ({"merges": [" "]},                             "not two tokens"),
    ({"merges": [""]},                              "not two tokens"),
    ({"merges": ["a nowhere"]},                     "refused by the library"),
    ({"merges": [5]},                               "merges as a text"),
    ({"bos_token_id": 700},                         "bos_token_id as a token, 0 … 699, not '700'"),
    ({"bos_token_id": 1.5},                         "bos_token_id as a token"),
    ({"eos_token_id": 2**63},                       "eos_token_id as a token"),
    ({"add_bos_token": "yes"},                      "add_bos_token as true or false"),
    ({"add_bos_token": True, "bos_token_id": None}, "names no such token"),
])
def test_headers_that_lie_are_refused(folders, change, message):
    values = header(folders["smollm"], "smollm")
    with pytest.raises(ModelError, match=message):
        gguf.read(values | {f"tokenizer.ggml.{key}": value for key, value in change.items()})


def test_a_million_merges_are_read_in_time():
    letters = [chr(0x4E00 + i) for i in range(1000)]
    unions  = [a + b for a in letters for b in letters]
    tokenizer = gguf.read({"tokenizer.ggml.model": "gpt2", "tokenizer.ggml.pre": "gpt-2",
                           "tokenizer.ggml.tokens": letters + unions,
                           "tokenizer.ggml.merges": [f"{a} {b}" for a in letters for b in letters]})
    assert tokenizer.size == 1_001_000
