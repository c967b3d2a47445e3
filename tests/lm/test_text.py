# SPDX-License-Identifier: BSD-2-Clause
"""Text from models with a tokenizer: prompts, ends, padded rows, conversations."""

import numpy as np
import pytest

from mixpe.errors import ModelError
from mixpe.lm import LlamaModel, Sampler


def test_text_is_that_of_the_tokens(talker):
    model = LlamaModel.from_pretrained(talker)
    text  = model.write("héllo", 20, temperature=3.0, seed=1)
    parts = list(text)
    assert all(parts) and "".join(parts) == model.tokenizer.decode(text.tokens)
    # The likeliest are those that generate_tokens gives, up to the first row that is padding.
    text = model.write("héllo", 4)
    list(text)
    wanted = list(model.generate_tokens(model.tokenizer.encode("héllo"), 4))
    assert max(wanted) < 257 and list(text.tokens) == wanted


def test_padded_rows_are_never_chosen(talker):
    model = LlamaModel.from_pretrained(talker)
    logits = np.where(np.arange(300) < 261, 0, 100).astype(np.float32)
    model.forward = lambda tokens, cache, last_only: logits[None, None]
    for temperature, top_p in ((0.0, 1.0), (1.0, 1.0), (5.0, 0.5)):
        text = model.write("a", 40, temperature=temperature, top_p=top_p)
        list(text)
        assert text.tokens and max(text.tokens) < 261
    assert Sampler(allowed=np.array([False, True]))(np.array([5, 1], np.float32)) == 1


@pytest.mark.parametrize("end", [257, 258, 259])
def test_every_end_ends_the_text(talker, end):
    model = LlamaModel.from_pretrained(talker)
    wanted = iter([10, 256, 11, end, 12])
    model.forward = lambda tokens, cache, last_only: np.eye(300, dtype=np.float32)[[[next(wanted)]]]
    text  = model.write("a", 40)
    piece = model.tokenizer.decode([10, 11])
    assert "".join(text) == piece and text.tokens == (10, 256, 11, end)
    assert list(text) == [] and text.statistics() is not None


def test_a_conversation_has_one_bos(talker):
    model = LlamaModel.from_pretrained(talker)
    seen  = []
    forward = model.forward
    model.forward = lambda tokens, *rest, **keywords: (seen.append(tokens), forward(tokens, *rest, **keywords))[1]
    list(model.answer([{"role": "user", "content": "hi"}], 2))
    assert seen[0].tolist() == [[256, *model.tokenizer.encode("[hi]", add_special=False)]]


def test_the_packaged_model_has_bytes_for_tokens():
    model = LlamaModel.from_pretrained()
    assert "".join(model.write("def ", 12)).encode() == b"".join(model.generate("def ", 12))
    with pytest.raises(ModelError, match="no chat template"):
        model.answer([], 1)


def test_models_without_a_tokenizer_say_so(talker, config, tensors):
    (talker / "tokenizer.json").unlink()
    with pytest.raises(ModelError, match="has no tokenizer; use generate_tokens"):
        LlamaModel.from_pretrained(talker).write("a", 1)
    with pytest.raises(ModelError, match="made of tensors has no tokenizer"):
        LlamaModel(config, tensors).write("a", 1)
    with pytest.raises(ModelError, match="prompt is empty"):
        LlamaModel.from_pretrained().write("", 1)


@pytest.mark.models
def test_smollm2_knows_the_capital_of_france():
    model = LlamaModel.from_pretrained("smollm2")
    text  = model.answer([{"role": "user", "content": "What is the capital of France?"}], 32)
    assert "".join(text) == "The capital of France is Paris." and text.tokens[-1] == 2
