# SPDX-License-Identifier: BSD-2-Clause
"""The demo on a small model with random weights: right everywhere, and red when the device is wrong in one bit."""

import json

import numpy as np
import pytest

from mixpe.cli.main import main
from mixpe.formats import safetensors
from mixpe.formats.hf_config import architecture_of
from mixpe.models import corpus
from mixpe.reference import execute

SHAPE = {"model_type": "llama", "vocab_size": 256, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2,
    "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 32, "max_position_embeddings": 64,
    "tie_word_embeddings": False}


@pytest.fixture
def model(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    shapes = architecture_of(SHAPE, own_head=True).tensor_shapes()
    (tmp_path/"config.json").write_text(json.dumps(SHAPE))
    safetensors.save(tmp_path/"model.safetensors", {name: (0.1*rng.standard_normal(shape) + ("norm" in name))
        .astype(np.float32) for name, shape in shapes.items()})
    text = corpus.Corpus((("short.py", b"x"), ("long.py", bytes(range(32, 127))*4)), (), ())
    monkeypatch.setattr(corpus, "load", lambda split: text)
    return str(tmp_path)


@pytest.mark.parametrize("options", [
    [], ["--activations", "a16"], ["--block", "1", "--tokens", "1", "--group-size", "32"],
    ["--device", "reference?fused=no&rows=2&port_bits=16"],
])
def test_demo(model, capsys, options):
    assert main(["demo", "--device", "reference", "--model", model, *options]) == 0
    out = capsys.readouterr().out
    assert "long.py, held out" in out and " 0 mismatches" in out and "15 layers" in out
    assert sum(line.startswith(("self_attn.", "mlp.")) for line in out.splitlines()) == 7


def test_json(model, capsys):
    assert main(["demo", "--device", "reference", "--model", model, "--json", "--tokens", "3"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["mismatches"] == 0 and len(found["layers"]) == 7
    down = found["layers"]["mlp.down_proj"]
    assert down["shape"] == [3, 96, 64] and down["partials"] == 3*64 and 10 < down["sqnr_db"] < 40


def test_one_wrong_partial_is_seen(model, capsys, monkeypatch):
    """A device that is wrong in one partial sum of one layer."""
    right = execute.partials_of

    def wrong(x, weights):
        partial = right(x, weights).copy()
        if weights.shape[0]*weights.shape[1] >= 96:
            partial[-1, 5, 0] += 1
        return partial

    monkeypatch.setattr(execute, "partials_of", wrong)
    assert main(["demo", "--device", "reference", "--model", model, "--json", "--group-size", "32"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert found["layers"]["mlp.down_proj"]["mismatches"] == 1
    assert found["layers"]["self_attn.q_proj"]["mismatches"] == 0


@pytest.mark.parametrize("options, text", [
    (["--tokens", "0"], "--tokens"), (["--tokens", "65"], "--tokens"), (["--block", "2"], "--block"),
    (["--context", "100"], "--context"), (["--group-size", "7"], "group_size"), (["--model", "/none"], "/none"),
    (["--device", "nowhere"], "nowhere"),
])
def test_errors(model, capsys, options, text):
    assert main(["demo", "--device", "reference", "--model", model, *options]) == 2
    assert text in capsys.readouterr().err
