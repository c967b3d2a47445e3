# SPDX-License-Identifier: BSD-2-Clause
"""A checkpoint as the model takes it: float32 tensors, made when they are asked for; notes as warnings."""

import json
from dataclasses import replace

import numpy as np
import pytest

import mixpe
from mixpe.errors import ModelError
from mixpe.formats import safetensors
from mixpe.lm import LlamaModel, checkpoint
from mixpe.lm.weights import Weights


def test_tensors_are_those_of_the_file(folder, config, tensors):
    for path in (folder, folder / "model.safetensors", str(folder)):
        architecture, found = checkpoint.read(path)
        assert architecture.tensor_shapes() == config.tensor_shapes()
        assert len(found) == len(tensors) and set(found) == set(tensors) and "nothing" not in found
        for name, tensor in tensors.items():
            assert found[name].dtype == np.float32 and np.array_equal(found[name], tensor)
        rows = np.array([3, 0, 255, 3])
        assert np.array_equal(found.rows("lm_head.weight", rows), tensors["lm_head.weight"][rows])


def test_arrays_are_as_good_as_files(config, tensors):
    weights = Weights(tensors)
    assert weights["lm_head.weight"].dtype == np.float32
    assert weights.rows("lm_head.weight", np.array([1])).dtype == np.float32
    assert LlamaModel(config, weights).logits([1, 2]).tobytes() == LlamaModel(config, tensors).logits([1, 2]).tobytes()


def test_a_tied_head_is_the_embedding(folder, values, tensors):
    (folder / "config.json").write_text(json.dumps(values | {"tie_word_embeddings": True}))
    safetensors.save(folder / "model.safetensors",
                     {name: tensor for name, tensor in tensors.items() if name != "lm_head.weight"})
    architecture, found = checkpoint.read(folder)
    wanted = LlamaModel(architecture, tensors | {"lm_head.weight": tensors["model.embed_tokens.weight"]})
    assert LlamaModel(architecture, found).logits(b"abc").tobytes() == wanted.logits(b"abc").tobytes()


def test_what_a_user_should_know_is_a_warning(folder, monkeypatch):
    opened = checkpoint.open_checkpoint(folder)
    monkeypatch.setattr(checkpoint, "open_checkpoint", lambda path: replace(opened, notes=("a zero is lost",)))
    with pytest.warns(UserWarning, match="a zero is lost"):
        checkpoint.read(folder)


def test_damage_is_refused(folder):
    whole = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(whole[:-1])
    with pytest.raises(ModelError, match="cut off"):
        mixpe.LlamaModel.from_pretrained(folder)
    with pytest.raises(ModelError, match="no such file, folder or model"):
        mixpe.LlamaModel.from_pretrained(folder / "none")
