# SPDX-License-Identifier: BSD-2-Clause
"""Small random models of every kind that a device's decoder runs, and the reference device that has one."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from mixpe.devices import open_device
from mixpe.formats import safetensors
from mixpe.formats.hf_config import architecture_of
from mixpe.lm import LlamaModel

SMALL = {"vocab_size": 99, "hidden_size": 96, "intermediate_size": 160, "num_hidden_layers": 2,
    "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 32, "max_position_embeddings": 80,
    "rms_norm_eps": 1e-5, "rope_theta": 1000.0, "tie_word_embeddings": False, "model_type": "llama"}
KINDS = {
    "smollm2":   {"tie_word_embeddings": True, "num_attention_heads": 3, "num_key_value_heads": 1},
    "tinyllama": {"num_attention_heads": 8, "num_key_value_heads": 1},
    "qwen2.5":   {"model_type": "qwen2", "tie_word_embeddings": True, "rms_norm_eps": 1e-6},
    "qwen3":     {"model_type": "qwen3", "head_dim": 64, "num_key_value_heads": 4},
    "mistral":   {"model_type": "mistral", "sliding_window": 7},
    "biases":    {"attention_bias": True, "mlp_bias": True},
    "llama3":    {"rope_scaling": {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0,
                  "high_freq_factor": 4.0, "original_max_position_embeddings": 32}},
}


def config_of(name):
    """The keys of a config.json."""
    return SMALL | KINDS[name]


def architecture_for(name):
    return architecture_of(config_of(name), own_head=not config_of(name)["tie_word_embeddings"])


def random_weights(architecture, seed=3):
    rng, weights = np.random.default_rng(seed), {}
    for name, shape in architecture.tensor_shapes().items():
        if len(shape) == 2:
            weights[name] = rng.normal(size=shape)*(2.0/np.sqrt(shape[1]))
        else:
            weights[name] = rng.normal(size=shape) if name.endswith("bias") else rng.uniform(0.3, 1.7, shape)
        weights[name] = weights[name].astype(np.float32)
    return weights


@pytest.fixture
def folder(tmp_path):
    """Writes a model's folder: name → path."""
    def write(name):
        path = tmp_path/name
        path.mkdir(exist_ok=True)
        (path/"config.json").write_text(json.dumps(config_of(name)))
        safetensors.save(path/"model.safetensors", random_weights(architecture_for(name)))
        return path
    return write


@pytest.fixture
def device():
    """A small device with a decoder."""
    with open_device("reference", decoder=True, k_max=2048, rows=4, port_bits=64, context_max=256,
            mem_bytes=16 << 20) as found:
        yield found


@pytest.fixture
def model(folder, device):
    """A small model with its decoder on the device."""
    with LlamaModel.from_pretrained(folder("smollm2"), device, group_size=32, decoder="device") as found:
        yield found


@pytest.fixture
def prompt(model):
    return np.random.default_rng(5).integers(0, model.config.vocab_size, 9).tolist()


@pytest.fixture
def small():
    """The functions of this file."""
    return SimpleNamespace(config=config_of, weights=random_weights)
