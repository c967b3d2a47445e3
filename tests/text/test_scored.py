# SPDX-License-Identifier: BSD-2-Clause
"""Scored pieces as GGUF's "llama" and llama2.c's tokenizer.bin carry them: against sentencepiece and run.c."""

import struct

import pytest

from mixpe.errors import ModelError
from mixpe.text import gguf, open_tokenizer
from mixpe.text.merging import merge


def header(model, **more):
    """Keys of a GGUF header for a sentencepiece model, as llama.cpp's converter writes them."""
    import sentencepiece
    p = sentencepiece.SentencePieceProcessor(model_proto=model)
    tokens = range(p.get_piece_size())
    kinds  = [2 if p.is_unknown(t) else 3 if p.is_control(t) else 6 if p.is_byte(t) else 1 for t in tokens]
    return {"tokenizer.ggml.model": "llama", "tokenizer.ggml.tokens": [p.id_to_piece(t) for t in tokens],
            "tokenizer.ggml.scores": [p.get_score(t) for t in tokens], "tokenizer.ggml.token_type": kinds,
            "tokenizer.ggml.bos_token_id": 1, "tokenizer.ggml.eos_token_id": 2, "tokenizer.ggml.unknown_token_id": 0,
            } | {f"tokenizer.ggml.{key}": value for key, value in more.items()}


def binary(model):
    """The same as tokenizer.bin, as llama2.c's tokenizer.py writes it."""
    import sentencepiece
    p = sentencepiece.SentencePieceProcessor(model_proto=model)
    texts = [{1: "\n<s>\n", 2: "\n</s>\n"}.get(t, p.id_to_piece(t)).replace("▁", " ").encode()
             for t in range(p.get_piece_size())]
    return struct.pack("<I", max(map(len, texts))) + b"".join(
        struct.pack("<fI", p.get_score(t), len(text)) + text for t, text in enumerate(texts))


def run_c(data, text):
    """The encoder of run.c, step by step: characters, bytes + 3, then the best pair again and again."""
    position, texts, scores = 4, [], []
    while position < len(data):
        score, length = struct.unpack_from("<fI", data, position)
        texts.append(data[position + 8:position + 8 + length])
        scores.append(score)
        position += 8 + length
    ids_of = {text: i for i, text in enumerate(texts)}
    ids = [1] + ([ids_of[b" "]] if text else [])
    for character in text:
        content = character.encode()
        ids += [ids_of[content]] if content in ids_of else [byte + 3 for byte in content]
    while True:
        best, best_at = -1e10, -1
        for i in range(len(ids) - 1):
            union = ids_of.get(texts[ids[i]] + texts[ids[i + 1]])
            if union is not None and scores[union] > best:
                best, best_at, best_id = scores[union], i, union
        if best_at < 0:
            return ids
        ids[best_at:best_at + 2] = [best_id]


def plain(texts):
    """Texts without the names of special tokens and bytes, which the formats treat each in their own way."""
    return [text for text in texts if "<" not in text]


def test_gguf_gives_the_ids_of_sentencepiece(llama_model, texts):
    import sentencepiece
    ours, theirs = gguf.read(header(llama_model)), sentencepiece.SentencePieceProcessor(model_proto=llama_model)
    assert (ours.bos_id, ours.eos_ids, ours.size) == (1, {2}, theirs.get_piece_size())
    for text in texts:
        ids = theirs.encode(text)
        assert ours.encode(text, add_special=False, parse_special=False) == ids, text
        assert ours.encode(text, parse_special=False) == [1, *ids], text
        assert ours.decode(ids) == theirs.decode(ids), text


def test_gguf_settings(llama_model):
    text = "fox <s>fox"
    usual = gguf.read(header(llama_model))
    fox, space = usual.encode("fox", add_special=False), usual.encode(" ", add_special=False)
    assert usual.encode(text) == [1, *usual.encode("fox ", add_special=False), 1, *fox]
    bare = gguf.read(header(llama_model, add_space_prefix=False, add_bos_token=False, add_eos_token=True))
    assert bare.encode(" fox") == [*fox, 2] and bare.encode("fox") != [*fox, 2]
    assert bare.decode(bare.encode(" fox ")) == " fox " and usual.decode(usual.encode(" fox ")) == " fox "
    assert usual.decode([1, *fox, 2]) == "fox" and usual.decode([1, 2], special=True) == "<s></s>"
    assert space and usual.stream(continues=True).push(fox[0]).startswith(" ")


def test_gguf_keeps_tokens_of_users_whole_and_never_samples_padding(llama_model):
    values = header(llama_model, eot_token_id=0)
    count = len(values["tokenizer.ggml.tokens"])
    values["tokenizer.ggml.eot_token_id"] = count + 1
    values["tokenizer.ggml.tokens"] += ["  ", "<|im_end|>", "[PAD]"]
    values["tokenizer.ggml.scores"] += [-1000.0] * 3
    values["tokenizer.ggml.token_type"] += [4, 3, 5]
    tokenizer = gguf.read(values)
    assert tokenizer.encode("a  b", add_special=False).count(count) == 1
    assert tokenizer.encode("[PAD]").count(count + 2) == 0
    assert tokenizer.eos_ids == {2, count + 1}
    assert tokenizer.sampled(count + 5).tolist() == [True] * (count + 2) + [False] * 3


def test_llama2c_gives_the_ids_of_run_c(tmp_path, llama_model, texts):
    data = binary(llama_model)
    (tmp_path/"tokenizer.bin").write_bytes(data)
    tokenizer = open_tokenizer(tmp_path)
    for text in plain(texts):
        ids = tokenizer.encode(text)
        assert ids == run_c(data, text), text
        assert tokenizer.decode(ids) == text
    assert (tokenizer.bos_id, tokenizer.eos_ids) == (1, {2})
    # The model's vocab_size says where the file ends; what follows is not read.
    (tmp_path/"tokenizer.bin").write_bytes(data + b"more")
    assert open_tokenizer(tmp_path/"tokenizer.bin", count=tokenizer.size).size == tokenizer.size


@pytest.mark.parametrize("change, count, message", [
    (lambda d: d[:-1],                                          None, "must have .* bytes, the file has"),
    (lambda d: d[:-1],                                          601,  "must have .* bytes|cut off"),
    (lambda d: d + b"\0",                                       None, "cut off"),
    (lambda d: d,                                               10**9, "cut off.*of 1000000000"),
    (lambda d: b"",                                             None, "has 0 pieces"),
    (lambda d: d[:100],                                         None, "pieces; three special|must have"),
    (lambda d: d + struct.pack("<fI", 0, 1) + b"\xff",          None, r"not UTF-8: b'\\xff'"),
    (lambda d: d + struct.pack("<fI", 0, 0xFFFFFFFF),           None, "must have 4294967295 bytes"),
    (lambda d: d + struct.pack("<fI", float("nan"), 1) + b"q",  None, "score that is no number"),
])
def test_damaged_llama2c_files_are_refused(tmp_path, llama_model, change, count, message):
    (tmp_path/"tokenizer.bin").write_bytes(change(binary(llama_model)))
    with pytest.raises(ModelError, match=message):
        open_tokenizer(tmp_path/"tokenizer.bin", count)


@pytest.mark.parametrize("change, message", [
    ({"scores": [0.0]},                         "scores as 600 numbers"),
    ({"scores": ["a"] * 600},                   "scores as 600 numbers"),
    ({"scores": [[0.0], 1.0]},                  "scores as 600 numbers"),
    ({"scores": [float("nan")] * 600},          "score that is no number"),
    ({"token_type": [1.0] * 600},               "token_type as 600 whole numbers"),
    ({"token_type": [7] * 600},                 "type 7"),
    ({"token_type": [6] * 600},                 "must be the only <0x…> of its byte"),
    ({"token_type": [1] * 600},                 "no unknown piece"),
    ({"add_space_prefix": 1},                   "add_space_prefix as true or false"),
    ({"bos_token_id": None},                    "names no such token"),
    ({"bos_token_id": 600},                     "bos_token_id as a token, 0 … 599"),
    ({"eos_token_id": -1},                      "eos_token_id as a token"),
    ({"eot_token_id": True},                    "eot_token_id as a token"),
])
def test_gguf_headers_that_contradict_themselves_are_refused(llama_model, change, message):
    values = header(llama_model)
    assert len(values["tokenizer.ggml.tokens"]) == 600
    with pytest.raises(ModelError, match=message):
        gguf.read(values | {f"tokenizer.ggml.{key}": value for key, value in change.items()})


def test_a_long_text_is_merged_in_time(llama_model):
    tokenizer = gguf.read(header(llama_model))
    assert len(tokenizer.encode("The quick brown fox 世界 " * 10_000)) > 10_000


@pytest.mark.parametrize("text, wanted", [("aaaa", ["aa", "aa"]), ("aaa", ["aa", "a"]), ("abc", ["a", "bc"]), ("", [])])
def test_of_equal_scores_the_leftmost_is_merged(text, wanted):
    assert merge(list(text), {"aa": (0.0, 1), "ab": (-1.0, 2), "bc": (0.0, 3)}) == wanted
