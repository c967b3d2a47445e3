# SPDX-License-Identifier: BSD-2-Clause
"""The packaged model keeps what its card promises."""

import json
import re

import numpy as np
import pytest

from mixpe.formats import safetensors
from mixpe.formats.packaged import named
from mixpe.lm import LlamaModel, checkpoint, evaluate
from mixpe.lm.calibration import calibration_windows
from mixpe.models import corpus

PACKAGED = named("bytes").path()
WEIGHTS  = PACKAGED / "model.safetensors"


@pytest.fixture(scope="module")
def packaged():
    return checkpoint.read()


@pytest.fixture(scope="module")
def held_out():
    return corpus.load("held-out")


def test_it_is_small_and_fits_the_array(packaged):
    config, tensors = packaged
    assert WEIGHTS.stat().st_size <= 4 << 20
    assert 1e6 <= sum(tensor.size for tensor in tensors.values()) <= 4e6
    assert config.vocab_size == 256
    assert all(size % 128 == 0 for tensor in tensors.values() for size in tensor.shape)
    assert {dtype for dtype, *_ in safetensors.read_header(WEIGHTS)[0].values()} == {"F16"}


def test_it_beats_gzip_and_calibrated_w4a8_costs_at_most_two_percent(packaged, held_out):
    text  = np.frombuffer(held_out.joined(), np.uint8)
    train = np.frombuffer(corpus.load("train").joined(), np.uint8)
    calibration = calibration_windows(train, packaged[0].max_position_embeddings, 32)
    rows = evaluate.evaluate(*packaged, text, limit=32, calibration=calibration,
                             chosen=[("gptq", "a8", 128), ("nearest", "a8", 128)])
    strongest = min(evaluate.gzip_bits_per_byte([content for _, content in held_out.files]))
    assert rows[0]["bits_per_byte"] < 0.9 * strongest
    assert rows[1]["cost_percent"] < 2.0
    assert rows[1]["cost_percent"] < rows[2]["cost_percent"] < 4.0  # so few windows are a noisy measure


def test_manifest_follows_its_rule():
    manifest = corpus.read_manifest()
    names = [entry["name"] for entry in manifest["files"]]
    assert names == sorted(names)
    assert [entry["split"] for entry in manifest["files"]] == [
        "held-out" if i % corpus.HELD_OUT_EVERY == corpus.HELD_OUT_EVERY - 1 else "train" for i in range(len(names))]
    for split, key in (("train", "train_bytes"), ("held-out", "held_out_bytes")):
        assert manifest[key] == sum(entry["bytes"] for entry in manifest["files"] if entry["split"] == split)


def test_the_card_tells_the_figures_of_the_run(packaged):
    record = json.loads((PACKAGED / "training.json").read_text(encoding="utf-8"))
    card = (PACKAGED / "README.md").read_text(encoding="utf-8")
    assert record["step"] == record["steps"]
    assert re.search(rf"--steps {record['steps']}\b", card) and re.search(rf"--seed {record['seed']}\b", card)
    assert f"{record['losses'][-1]['held_out']:.4f}" in card
    assert sum(tensor.size for tensor in packaged[1].values()) == record["parameters"]


@pytest.mark.parametrize("prompt, text", [(b"if __name__ == ", b"'__main__':"), (b"raise Value", b"Error(")])
@pytest.mark.parametrize("device", [None, "reference"])
def test_default_model_knows_python(prompt, text, device):
    with LlamaModel.from_pretrained(device=device) as model:
        assert b"".join(model.generate(prompt, len(text))) == text
