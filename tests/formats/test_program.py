# SPDX-License-Identifier: BSD-2-Clause
"""Checkpoints with their own numbers as programs: every form of weights, and the embedding from what is stored."""

import numpy as np
import pytest

from mixpe.devices import open_device
from mixpe.lm import LlamaModel


@pytest.fixture
def device():
    with open_device("reference", decoder=True, k_max=2048, rows=4, port_bits=64, context_max=64,
            mem_bytes=32 << 20) as found:
        yield found


def compared(model, length=6):
    """Tokens and their logits on the device against the model's."""
    tokens = np.random.default_rng(0).integers(0, model.config.vocab_size, length)
    logits = model.logits(tokens)
    with model.session() as session:
        assert session.read(tokens, listed=True) == logits[-1].argmax()
        top, values = session.top()
        np.testing.assert_array_equal(values, logits[-1, top])
        assert len(top) == min(64, model.config.vocab_size)


@pytest.mark.parametrize("kinds", [
    {}, {"": "Q4_0"}, {"": "Q4_1"}, {"": "Q8_0"}, {"": "Q5_1"},
    {"": "Q4_K"}, {"": "Q5_K"}, {"": "Q4_K", "v_proj": "Q6_K", "down_proj": "Q5_0", "lm_head": "Q6_K"},
    {"": "Q4_K", "embed_tokens": "F16"}, {"": "Q4_1", "embed_tokens": "Q4_K"},
], ids=lambda kinds: " ".join(kinds.values()) or "F32")
def test_forms(tmp_path, small, device, kinds):
    architecture = small.architecture(**small.wide)
    weights = small.weights(architecture)
    small.write_gguf(tmp_path/"x.gguf", architecture, weights,
        (lambda name: kinds.get(name.split(".")[-2], kinds[""])) if kinds else None)
    with LlamaModel.from_pretrained(tmp_path/"x.gguf", device, group_size=32, decoder="device") as model:
        compared(model)
        own = [note for note in model.notes if note.startswith("the embedding")]
        assert len(own) == (kinds.get("embed_tokens", kinds.get("", "F32")) in ("F32", "F16"))


@pytest.mark.parametrize("kind", ["Q8_0", "Q4_K"])
def test_a_tied_head_embeds_with_its_own_numbers(tmp_path, small, device, kind):
    architecture = small.architecture(**small.wide | {"tie_word_embeddings": True})
    small.write_gguf(tmp_path/"x.gguf", architecture, small.weights(architecture), lambda name: kind)
    with LlamaModel.from_pretrained(tmp_path/"x.gguf", device, decoder="device") as model:
        compared(model)
        assert "embedding" not in model._decoder.program.program.matrices and not model.notes
        table = model._weights.rows("model.embed_tokens.weight", np.arange(9))
        np.testing.assert_allclose(model._decoder.embedded(np.arange(9)), table, rtol=1e-6, atol=1e-6)


def test_columns_in_an_order_of_their_own_stay_on_the_host(tmp_path, small, device):
    from mixpe.cli.main import main
    architecture = small.architecture(**small.wide)
    small.write_quantised(tmp_path, "gptq", architecture, act_order=True)
    with LlamaModel.from_pretrained(tmp_path, device) as model:
        assert any("in an order of their own" in note for note in model.notes)
        assert len(list(model.generate_tokens([1, 2], 2))) == 2
    assert main(["program", str(tmp_path)]) == 2
