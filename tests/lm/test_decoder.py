# SPDX-License-Identifier: BSD-2-Clause
"""Models in the decoder's arithmetic: one pass is token by token, its cost on text, and the command."""

import json

import numpy as np
import pytest

from mixpe.cli.main import main
from mixpe.errors import RangeError
from mixpe.formats.open import open_checkpoint
from mixpe.lm import LlamaModel, checkpoint, evaluate
from mixpe.lm.exact import ExactLinear
from mixpe.lm.perplexity import evaluate_tokens
from mixpe.lm.text import tokenizer_of
from mixpe.models import corpus
from mixpe.quant.quantize import quantize
from mixpe_gateware.contract.decoder.choice import largest


def exact(_name, weight):
    return ExactLinear(quantize(weight, 32), "a16")


@pytest.mark.parametrize("change", [
    {},
    {"model_type": "qwen2", "sliding_window": 7, "use_sliding_window": True, "max_window_layers": 0},
    {"model_type": "qwen3", "head_dim": 24},
])
def test_one_pass_is_token_by_token(values, change):
    """To the bit, with biases, norms of q and k, and windows; and as any summands of a batch."""
    from mixpe.formats.hf_config import architecture_of
    config = architecture_of(values | change, own_head=True)
    rng    = np.random.default_rng(1)
    tensors = {name: (rng.normal(size=shape)/np.sqrt(shape[-1]) + ("norm" in name)).astype(np.float32)
        for name, shape in config.tensor_shapes().items()}
    model  = LlamaModel(config, tensors, exact, arithmetic="decoder")
    tokens = rng.integers(0, 256, (3, 40))
    whole  = model.forward(tokens, model.new_cache(3))
    cache  = model.new_cache()
    steps  = [model.forward(tokens[1:2, i:j], cache) for i, j in [(0, 1), (1, 2), (2, 30), (30, 31), (31, 40)]]
    np.testing.assert_array_equal(np.concatenate(steps, axis=1)[0], whole[1])
    near = LlamaModel(config, tensors, exact).logits(tokens[1])
    assert .0 < np.abs(whole[1] - near).max() < .3
    assert cache.nbytes < model.in_arithmetic("float32").new_cache().nbytes/3


def test_a_twin_has_the_same_layers(config, tensors):
    model = LlamaModel(config, tensors, exact)
    twin  = model.in_arithmetic("decoder")
    assert twin.jobs is model.jobs
    np.testing.assert_array_equal(twin.logits(b"text"),
        LlamaModel(config, tensors, exact, arithmetic="decoder").logits(b"text"))
    np.testing.assert_array_equal(model.logits(b"text"), LlamaModel(config, tensors, exact).logits(b"text"))
    with pytest.raises(RangeError, match="one of .*, not 'float16'"):
        LlamaModel(config, tensors, arithmetic="float16")


def test_what_leaves_the_range_is_refused(config, tensors):
    tensors["model.embed_tokens.weight"] = np.full((256, 64), 60000, np.float16)
    tensors["model.layers.0.self_attn.o_proj.weight"][...] = 60000
    tensors["model.layers.0.self_attn.v_proj.weight"][...] = 60000
    with pytest.raises(RangeError):
        LlamaModel(config, tensors, arithmetic="decoder").logits(b"a")


def test_greedy_text_on_a_device_is_that_of_exact_layers(config, folder):
    with LlamaModel.from_pretrained(folder, "reference", group_size=32, activations="a16",
                                    arithmetic="decoder") as model:
        text   = list(model.generate_tokens(b"ab", 8))
        logits = model.logits(np.array([*b"ab", *text[:-1]]))
    assert [int(largest(row, 1)[0]) for row in logits[1:]] == text


def test_the_packaged_model_loses_nothing():
    """At most a thousandth of its bits per byte, in either direction."""
    config, tensors = checkpoint.read(None)
    text   = np.frombuffer(corpus.load("held-out").joined(), np.uint8)
    rows   = evaluate.evaluate(config, tensors, text, limit=4, chosen=[("nearest", "a16", 128)], decoder=True)
    assert [row["format"] for row in rows] == ["FP32", "W4A16", "W4A16 decoder"]
    assert abs(rows[2]["bits_per_byte"]/rows[1]["bits_per_byte"] - 1) < .001


def test_the_command(talker, tmp_path, capsys):
    (tmp_path/"text").write_bytes(b"Ein kurzer Text. "*4)
    words = ["evaluate", "--model", str(talker), "--text", str(tmp_path/"text"), "--activations", "a16", "--decoder"]
    assert main([*words, "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["results"]
    assert [row["arithmetic"] for row in rows] == ["float32", "float32", "decoder"]
    assert rows[1]["nats_per_token"] != rows[2]["nats_per_token"] == pytest.approx(rows[1]["nats_per_token"], rel=.01)
    assert main(words) == 0
    assert "decoder" in capsys.readouterr().out


@pytest.mark.models
def test_the_decoder_costs_smollm2_at_most_half_a_percent():
    opened = open_checkpoint("smollm2")
    text   = corpus.load("held-out").joined()
    rows, count, _ = evaluate_tokens(opened, tokenizer_of(opened), text, limit=1, activations=("a16",), decoder=True)
    assert count["tokens"] >= 512 and rows[2]["arithmetic"] == "decoder"
    assert abs(rows[2]["cost_percent"]) < .5
