# SPDX-License-Identifier: BSD-2-Clause
"""The tokens of SmolLM2 as GGUF: against the pipeline of its published tokenizer.json, and ids that others publish."""

from pathlib import Path

import pytest

from mixpe.formats.open import open_checkpoint
from mixpe.text import gguf

pytestmark = pytest.mark.models

# Source: self-checks of programs that read the same vocabulary, each written without the others.
KNOWN = {
    "Hello, we can use":        [19556, 28, 392, 416, 722],
    "The capital of France is": [504, 3575, 282, 4649, 314],
    "\n":                       [198],
    "Hello world! 123":         [19556, 905, 17, 216, 33, 34, 35],
    "Café déjà vu.":            [51, 1939, 2756, 32564, 90, 16739, 386, 101, 30],
    "  multiple   spaces":      [216, 2701, 256, 5600],
}


@pytest.fixture(scope="module")
def header():
    """Keys of the file."""
    return open_checkpoint("smollm2").tokenizer.pairs


@pytest.fixture(scope="module")
def reference(header):
    """The pipeline of the published tokenizer.json."""
    from tokenizers import AddedToken, Tokenizer, decoders, models
    from tokenizers import pre_tokenizers as p
    tokens = header["tokenizer.ggml.tokens"]
    merges = [tuple(merge.split(" ")) for merge in header["tokenizer.ggml.merges"]]
    made = Tokenizer(models.BPE({token: i for i, token in enumerate(tokens)}, merges))
    made.pre_tokenizer = p.Sequence([p.Digits(individual_digits=True), p.ByteLevel(add_prefix_space=False)])
    made.decoder = decoders.ByteLevel()
    made.add_special_tokens([AddedToken(token, normalized=False, special=True) for token in tokens[:17]])
    return made


def test_ids_and_text(header, reference, texts):
    tokenizer = gguf.read(header)
    assert (tokenizer.size, tokenizer.bos_id) == (49152, 1) and tokenizer.eos_ids == {0, 2}
    for text in [*texts, *KNOWN, Path(__file__).read_text(encoding="utf-8")]:
        ids = reference.encode(text).ids
        assert tokenizer.encode(text) == ids, text
        for special in (False, True):
            assert tokenizer.decode(ids, special=special) == reference.decode(ids, skip_special_tokens=not special)
        stream = tokenizer.stream(special=True)
        assert "".join([stream.push(token) for token in ids] + [stream.finish()]) == text
    assert {text: tokenizer.encode(text) for text in KNOWN} == KNOWN


def test_every_token_decodes_as_the_reference(header, reference):
    tokenizer = gguf.read(header)
    for token in range(tokenizer.size):
        assert tokenizer.decode([token], special=True) == reference.decode([token], skip_special_tokens=False)


def test_chat(header, messages):
    tokenizer = gguf.read(header)
    ids = tokenizer.chat.encode(tokenizer, messages[:1])
    assert tokenizer.decode(ids, special=True) == (
        "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n"
        "<|im_start|>user\nHi there 世界<|im_end|>\n<|im_start|>assistant\n")
    assert ids.count(1) == 3 and ids.count(2) == 2 and ids[0] == 1
