# SPDX-License-Identifier: BSD-2-Clause
"""Reading a model folder: whole, in shards, tied; and every kind of damage."""

import json

import numpy as np
import pytest

from mixpe.errors import ModelError
from mixpe.formats import safetensors
from mixpe.lm import LlamaConfig, checkpoint


def test_folder_and_file_give_the_same(folder, config, tensors):
    for path in (folder, folder / "model.safetensors", str(folder)):
        found_config, found = checkpoint.read(path)
        assert found_config == config
        assert {name: array.tobytes() for name, array in found.items()} == {
            name: array.tobytes() for name, array in tensors.items()}


def test_shards_are_joined(folder, config, tensors):
    (folder / "model.safetensors").unlink()
    names = list(tensors)
    parts = {"a.safetensors": names[:5], "b.safetensors": names[5:]}
    for file, chosen in parts.items():
        safetensors.save(folder / file, {name: tensors[name] for name in chosen})
    index = {"weight_map": {name: file for file, chosen in parts.items() for name in chosen}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    assert set(checkpoint.read(folder)[1]) == set(tensors)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"x": "../outside.safetensors"}}))
    with pytest.raises(ModelError, match="not a plain file name"):
        checkpoint.read(folder)
    (folder / "model.safetensors.index.json").write_text("[]")
    with pytest.raises(ModelError, match="weight_map"):
        checkpoint.read(folder)


def test_tied_head_needs_no_tensor(folder, values, tensors):
    (folder / "config.json").write_text(json.dumps(values | {"tie_word_embeddings": True}))
    assert "lm_head.weight" not in checkpoint.read(folder)[1]
    safetensors.save(folder / "model.safetensors", {n: t for n, t in tensors.items() if n != "lm_head.weight"})
    assert len(checkpoint.read(folder)[1]) == len(tensors) - 1


@pytest.mark.parametrize("change, message", [
    (lambda t: t.pop("model.norm.weight"), r"lacks the tensor 'model.norm.weight', \(64,\)"),
    (lambda t: t.update(extra=np.zeros(3)), "has the tensor 'extra'"),
    (lambda t: t.update({"lm_head.weight": np.zeros((64, 256))}), r"must have the shape \(256, 64\)"),
    (lambda t: t.update({"lm_head.weight": np.zeros((256, 64), np.int8)}), "must be floating, not int8"),
    (lambda t: t.update({"lm_head.weight": np.full((256, 64), np.nan)}), "not finite"),
])
def test_wrong_tensors_are_refused(folder, tensors, change, message):
    change(tensors)
    safetensors.save(folder / "model.safetensors", tensors)
    with pytest.raises(ModelError, match=message):
        checkpoint.read(folder)


def test_missing_and_cut_files_are_refused(folder):
    whole = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(whole[:-1])
    with pytest.raises(ModelError, match="cut off"):
        checkpoint.read(folder)
    for path in (folder / "none", folder / "none.safetensors", folder / "config.json"):
        with pytest.raises(ModelError, match="no such file|neither a folder"):
            checkpoint.read(path)
    (folder / "config.json").write_text("{")
    with pytest.raises(ModelError, match="is not JSON"):
        checkpoint.read(folder)
    (folder / "config.json").unlink()
    with pytest.raises(ModelError, match="config.json and model.safetensors"):
        checkpoint.read(folder)


@pytest.mark.parametrize("change, message", [
    ({"model_type": "gpt2"}, "model_type 'gpt2'"),
    ({"model_type": None}, "model_type None"),
    ({"attention_bias": True}, "attention_bias = True"),
    ({"hidden_act": "gelu"}, "hidden_act = 'gelu'"),
    ({"rope_scaling": {"type": "linear"}}, "rope_scaling"),
    ({"rope_parameters": {"rope_type": "llama3"}}, "rope_type 'llama3'"),
    ({"hidden_size": 0}, "hidden_size as a whole number from 1, not 0"),
    ({"hidden_size": "64"}, "hidden_size as a whole number"),
    ({"vocab_size": None}, "vocab_size as a whole number"),
    ({"num_key_value_heads": 3}, "do not divide"),
    ({"head_dim": 15}, "odd head_dim 15"),
    ({"rms_norm_eps": -1}, "rms_norm_eps as a positive number"),
    ({"tie_word_embeddings": 1}, "tie_word_embeddings as true or false"),
])
def test_wrong_configurations_are_refused(values, change, message):
    with pytest.raises(ModelError, match=message):
        LlamaConfig.from_dict(values | change)
    with pytest.raises(ModelError, match="must be a JSON object"):
        LlamaConfig.from_dict([])


def test_defaults_of_older_configurations(values):
    for name in ("head_dim", "num_key_value_heads", "rope_theta", "rms_norm_eps", "tie_word_embeddings"):
        values.pop(name)
    config = LlamaConfig.from_dict(values | {"rope_parameters": {"rope_type": "default", "rope_theta": 5e5}})
    assert (config.head_dim, config.num_key_value_heads, config.rope_theta) == (16, 4, 5e5)
