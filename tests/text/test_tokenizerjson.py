# SPDX-License-Identifier: BSD-2-Clause
"""tokenizer.json against `transformers`: ids, text, streams, ends, padding."""

import json

import numpy as np
import pytest

from mixpe.errors import DtypeError, ModelError, RangeError
from mixpe.text import open_tokenizer

KINDS = ("gpt-2", "smollm", "llama-bpe", "qwen2", "tekken", "byte-fallback", "no-bos", "unigram")


def reference(folder):
    from transformers import AutoTokenizer
    return AutoTokenizer.from_pretrained(folder, local_files_only=True)


@pytest.mark.parametrize("kind", KINDS)
def test_ids_are_the_references(folders, kind, texts):
    ours, theirs = open_tokenizer(folders[kind]), reference(folders[kind])
    assert ours.size == len(theirs) and ours.bos_id == theirs.bos_token_id and ours.eos_ids == {theirs.eos_token_id}
    for text in texts:
        assert ours.encode(text) == theirs(text)["input_ids"], text
        assert ours.encode(text, add_special=False) == theirs(text, add_special_tokens=False)["input_ids"], text
        assert (ours.encode(text, add_special=False, parse_special=False)
                == theirs(text, add_special_tokens=False, split_special_tokens=True)["input_ids"]), text


@pytest.mark.parametrize("kind", KINDS)
def test_text_is_the_references(folders, kind, texts):
    ours, theirs = open_tokenizer(folders[kind]), reference(folders[kind])
    for text in texts:
        ids = ours.encode(text)
        for special in (False, True):
            assert ours.decode(ids, special=special) == theirs.decode(ids, skip_special_tokens=not special), text


@pytest.mark.parametrize("kind", ["gpt-2", "smollm"])
def test_text_of_any_tokens_is_the_references(folders, kind):
    # Random tokens make bytes that are no UTF-8.
    ours, theirs = open_tokenizer(folders[kind]), reference(folders[kind])
    rng = np.random.default_rng(0)
    for _ in range(300):
        ids = rng.integers(0, ours.size, 12).tolist()
        assert ours.decode(ids, special=True) == theirs.decode(ids)


@pytest.mark.parametrize("kind", KINDS)
def test_a_stream_gives_the_text_and_never_half_a_character(folders, kind, texts):
    tokenizer = open_tokenizer(folders[kind])
    for text in texts:
        ids, stream = tokenizer.encode(text), tokenizer.stream()
        parts = [stream.push(token) for token in ids] + [stream.finish()]
        whole = tokenizer.decode(ids)
        assert "".join(parts) == whole
        if "\ufffd" not in whole:
            assert not any("\ufffd" in part for part in parts)
    # An answer goes on from its prompt: its first space is part of it.
    ids = tokenizer.encode("a b", add_special=False)
    stream = tokenizer.stream(continues=True)
    assert ("".join(map(stream.push, ids)) + stream.finish()).lstrip(" ") == "a b"


def test_chat_is_the_references(folders, messages):
    for kind in ("smollm", "llama-bpe", "byte-fallback"):
        ours, theirs = open_tokenizer(folders[kind]), reference(folders[kind])
        assert ours.chat.encode(ours, messages) == theirs.apply_chat_template(messages, add_generation_prompt=True)


def test_every_end_counts(folders, tmp_path, write_folder):
    from tokenizers import Tokenizer
    pipeline = Tokenizer.from_file(str(folders["smollm"]/"tokenizer.json"))
    folder = write_folder(tmp_path, pipeline)
    (folder/"config.json").write_text(json.dumps({"eos_token_id": 2}))
    (folder/"generation_config.json").write_text(json.dumps({"eos_token_id": [2, 5, 10**12]}))
    assert open_tokenizer(folder).eos_ids == {2, 4, 5}  # 4 is eos_token; the last one is no token


def test_rows_without_a_token_are_never_sampled(folders):
    tokenizer = open_tokenizer(folders["smollm"])
    sampled = tokenizer.sampled(tokenizer.size + 20)
    assert sampled[:tokenizer.size].all() and not sampled[tokenizer.size:].any()
    assert tokenizer.sampled(10).tolist() == [True] * 10


def test_special_tokens_named_beside_the_file_count(folders, tmp_path, write_folder):
    # transformers marks what tokenizer_config.json names; what the vocabulary lacks has no row in the model.
    from tokenizers import Tokenizer
    values = json.loads((folders["smollm"]/"tokenizer.json").read_text())
    values["added_tokens"] = [entry for entry in values["added_tokens"] if entry["content"] != "<|im_end|>"]
    folder = write_folder(tmp_path, Tokenizer.from_str(json.dumps(values)), pad_token="<nowhere>",
                          additional_special_tokens=["<|im_start|>"])
    ours, theirs = open_tokenizer(folder), reference(folder)
    text = "a<|im_end|>b<|im_start|>c"
    assert ours.encode(text) == theirs(text)["input_ids"]
    assert ours.decode(ours.encode(text)) == "abc" and ours.eos_ids == {theirs.eos_token_id}


def test_a_space_before_the_text_is_the_configurations(folders, tmp_path, write_folder):
    from tokenizers import Tokenizer, pre_tokenizers
    pipeline = Tokenizer.from_file(str(folders["gpt-2"]/"tokenizer.json"))
    for in_file in (True, False):
        pipeline.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=in_file)
        for config in ({}, {"add_prefix_space": True}, {"add_prefix_space": False}):
            folder = write_folder(tmp_path, pipeline, **config)
            assert open_tokenizer(folder).encode("fox") == reference(folder)("fox")["input_ids"], (in_file, config)


def test_truncation_and_padding_of_the_file_do_not_count(folders, tmp_path, write_folder):
    from tokenizers import Tokenizer
    pipeline = Tokenizer.from_file(str(folders["smollm"]/"tokenizer.json"))
    pipeline.enable_truncation(2)
    pipeline.enable_padding(length=50)
    tokenizer = open_tokenizer(write_folder(tmp_path, pipeline))
    assert tokenizer.decode(tokenizer.encode("The quick brown fox")) == "The quick brown fox"


@pytest.mark.parametrize("call, error, message", [
    (lambda t: t.decode([t.size]),          RangeError, "no token 700; tokens are 0 … 699"),
    (lambda t: t.decode([-1]),              RangeError, "no token -1"),
    (lambda t: t.decode([1 << 70]),         RangeError, "no token"),
    (lambda t: t.decode([1.0]),             DtypeError, "integer, not 1.0"),
    (lambda t: t.decode([True]),            DtypeError, "integer, not True"),
    (lambda t: t.decode(["a"]),             DtypeError, "integer, not 'a'"),
    (lambda t: t.encode(b"a"),              DtypeError, "str, not bytes"),
    (lambda t: t.encode("ab\ud800c"),       RangeError, r"at 2 stands half of a surrogate pair, U\+D800"),
])
def test_wrong_requests_are_refused(folders, call, error, message):
    with pytest.raises(error, match=message):
        call(open_tokenizer(folders["smollm"]))


def damaged(**changes):
    def change(values):
        for path, value in changes.items():
            *way, last = path.split("__")
            at = values
            for key in way:
                at = at[key]
            at[last] = value
    return change


@pytest.mark.parametrize("change, message", [
    (damaged(model={"type": "WordPiece", "vocab": {}}),                          "type 'WordPiece'.*BPE and Unigram"),
    (damaged(model={"type": ["BPE"]}),                                           "type"),
    (damaged(model=7),                                                           "type None"),
    (damaged(model__dropout=0.5),                                                "random.*0.5"),
    (damaged(model__merges=[["a", "nowhere"]]),                                  "out of vocabulary|refused"),
    (damaged(model__merges=["abc"]),                                             "refused"),
    (damaged(model__vocab={"a": 0, "b": 0}, model__merges=[], added_tokens=[]),  "one id to two tokens"),
    (damaged(model__vocab={"a": 4294967295}, model__merges=[], added_tokens=[]), "token 4294967295; at most"),
    (damaged(model__vocab={"a": -1}),                                            "refused"),
    (damaged(model__vocab={"a": "b"}),                                           "refused"),
    (damaged(model__vocab=[1]),                                                  "refused"),
    (damaged(model__vocab={}, model__merges=[], added_tokens=[]),                "no token"),
    (damaged(decoder=None),                                                      "decoder None"),
    (damaged(decoder={"type": "WordPiece"}),                                     "decoder .*WordPiece"),
    (damaged(decoder={"type": "Sequence", "decoders": 5}),                       "decoder"),
    (damaged(decoder={"type": "Sequence", "decoders": [{"type": "Strip", "content": " ", "start": 1, "stop": 0}]}),
                                                                                 "decoder .*Strip"),
    (damaged(pre_tokenizer={"type": "Split", "pattern": {"Regex": "(["}, "behavior": "Isolated", "invert": False}),
                                                                                 "refused"),
    (damaged(pre_tokenizer=[[[]]]),                                              "refused"),
    (damaged(added_tokens=[{"id": 0}]),                                          "refused"),
    (damaged(version=3),                                                         "refused"),
])
def test_damaged_files_are_refused(folders, tmp_path, change, message):
    values = json.loads((folders["smollm"]/"tokenizer.json").read_text())
    change(values)
    (tmp_path/"tokenizer.json").write_text(json.dumps(values))
    with pytest.raises(ModelError, match=message):
        open_tokenizer(tmp_path)


@pytest.mark.parametrize("text, message", [
    ("{", "is not JSON"), ("[]", "must be a JSON object, not list"), ('{"model":' + "[" * 100_000, "too deeply"),
    ('{"a":' * 100_000, "too deeply"), ('{"a": 1' + "0" * 5000 + "}", "is not JSON"), ("\xff", "is not JSON"),
])
def test_what_is_no_json_is_refused(tmp_path, text, message):
    (tmp_path/"tokenizer.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(ModelError, match=message):
        open_tokenizer(tmp_path)


def test_a_million_merges_are_read_in_time(tmp_path):
    # Tokens x0 … and merges of two of them; all within the file's own size.
    letters = [chr(0x4E00 + i) for i in range(1000)]
    unions  = [a + b for a in letters for b in letters]
    vocab   = {text: i for i, text in enumerate(letters + unions)}
    values  = {"version": "1.0", "added_tokens": [], "normalizer": None,
               "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
               "pre_tokenizer": None, "post_processor": None,
               "model": {"type": "BPE", "vocab": vocab, "merges": [[a, b] for a in letters for b in letters]}}
    (tmp_path/"tokenizer.json").write_text(json.dumps(values, ensure_ascii=False), encoding="utf-8")
    tokenizer = open_tokenizer(tmp_path)
    assert tokenizer.size == 1_001_000
    assert tokenizer.encode(letters[3] + letters[4]) == [vocab[letters[3] + letters[4]]]


def test_an_expression_that_never_ends_is_refused(folders, tmp_path):
    values = json.loads((folders["smollm"]/"tokenizer.json").read_text())
    values["pre_tokenizer"] = {"type": "Split", "pattern": {"Regex": "(a|aa)+$"}, "behavior": "Isolated",
                               "invert": False}
    (tmp_path/"tokenizer.json").write_text(json.dumps(values))
    with pytest.raises(ModelError, match="refused by the library tokenizers: .*retry-limit"):
        open_tokenizer(tmp_path).encode("a" * 3000 + "x")
