# SPDX-License-Identifier: BSD-2-Clause
"""Files with a value replaced by one of another kind: a tokenizer or a typed error, nothing else."""

import copy
import json
import random

import pytest

from mixpe.errors import MixpeError
from mixpe.text import gguf, open_tokenizer

JUNK = (None, True, False, 0, -1, 1, 7, 2**31, 2**32, 2**63, 10**400, 0.5, 1e308, float("nan"), "", "a", "▁", "\ud800",
        "\x00", "(", "(a+)+$", "x" * 1000, [], [[]], [0], ["a"], {}, {"a": {}}, {"type": "BPE"}, {"content": "a"},
        {"String": "a"})


def mutated(values, rng):
    """A copy with one to three values replaced, removed or repeated, at any depth."""
    values = copy.deepcopy(values)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        at = values
        while True:
            key = rng.choice(list(at) if isinstance(at, dict) else range(len(at)))
            if not isinstance(at[key], (dict, list)) or not at[key] or rng.random() < 0.3:
                break
            at = at[key]
        match rng.randrange(4):
            case 0:
                del at[key]
            case 1 if isinstance(at, list):
                at.append(at[key])
            case 1 | 2:
                at[key] = copy.deepcopy(rng.choice(JUNK))
            case 3:
                at[rng.choice(("", "type", "content", "▁")) if isinstance(at, dict) else key] = rng.choice(JUNK)
    return values


def try_out(make):
    """Whether there is a tokenizer after all."""
    try:
        tokenizer = make()
        for text in ("Hello 12 世界<|im_end|>", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab"):
            tokenizer.decode(tokenizer.encode(text), special=True)
            tokenizer.decode(tokenizer.encode(text, parse_special=False))
        tokenizer.sampled(tokenizer.size + 3)
        return True
    except MixpeError as error:
        assert str(error) and "\n" not in str(error)
        return False


def small(values):
    """The same tokenizer.json with a vocabulary that mutations can reach."""
    model = values["model"]
    if model["type"] == "BPE":
        model["vocab"]  = {text: token for text, token in model["vocab"].items() if token < 270}
        model["merges"] = [pair for pair in model["merges"] if "".join(pair) in model["vocab"]]
    return values


@pytest.mark.timeout(300)
@pytest.mark.parametrize("kind", ["smollm", "byte-fallback", "unigram"])
def test_tokenizer_json(folders, tmp_path, kind):
    values, rng = small(json.loads((folders[kind]/"tokenizer.json").read_text())), random.Random(kind)
    config = json.loads((folders[kind]/"tokenizer_config.json").read_text())
    config |= {"added_tokens_decoder": {"3": {"content": "<|im_start|>", "special": True}}}
    worked = 0
    for i in range(300):
        (tmp_path/"tokenizer.json").write_text(json.dumps(values if i % 3 == 2 else mutated(values, rng)))
        (tmp_path/"tokenizer_config.json").write_text(json.dumps(mutated(config, rng) if i % 3 == 2 else config))
        worked += try_out(lambda: open_tokenizer(tmp_path))
    assert 30 < worked < 270  # the mutations reach both sides


@pytest.mark.parametrize("kind", ["gpt2", "llama"])
def test_gguf(folders, kind):
    values = small(json.loads((folders["smollm"]/"tokenizer.json").read_text()))["model"]
    tokens = sorted(values["vocab"], key=values["vocab"].get)
    header = {"tokenizer.ggml.model": kind, "tokenizer.ggml.pre": "smollm", "tokenizer.ggml.tokens": tokens,
              "tokenizer.ggml.token_type": [2, 3, 3, 3, 3] + [1] * (len(tokens) - 5),
              "tokenizer.ggml.scores": [-float(i) for i in range(len(tokens))],
              "tokenizer.ggml.merges": [" ".join(pair) for pair in values["merges"]], "tokenizer.ggml.bos_token_id": 1,
              "tokenizer.ggml.eos_token_id": 4, "tokenizer.chat_template": "a", "tokenizer.ggml.add_bos_token": True}
    rng = random.Random(kind)
    worked = sum(try_out(lambda: gguf.read(mutated(header, rng))) for _ in range(400))
    assert 40 < worked < 390


def test_names_of_the_folders_files_cannot_break_anything(tmp_path):
    rng = random.Random(0)
    names = ["tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "generation_config.json",
             "config.json"]
    (tmp_path/"tokenizer.json").write_text("{}")
    for _ in range(200):
        (tmp_path/rng.choice(names)).write_text(json.dumps({rng.choice((
            "bos_token", "eos_token_id", "added_tokens_decoder", "chat_template", "additional_special_tokens", "a",
            "add_bos_token", "tokenizer_class", "model_type")): rng.choice(JUNK) for _ in range(3)}))
        assert not try_out(lambda: open_tokenizer(tmp_path))
