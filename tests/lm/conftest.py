# SPDX-License-Identifier: BSD-2-Clause
"""A small byte-level Llama with random weights, in memory and as a folder."""

import json

import numpy as np
import pytest

import mixpe
from mixpe.formats import safetensors
from mixpe.formats.hf_config import architecture_of

VALUES = {
    "model_type": "llama", "vocab_size": 256, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2,
    "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16, "max_position_embeddings": 48,
    "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "tie_word_embeddings": False,
}

TEMPLATE = "{{ bos_token }}{% for m in messages %}[{{ m.content }}]{% endfor %}"


def pytest_configure(config):
    """Name the marker of tests that build or run a simulated SoC."""
    config.addinivalue_line("markers", "slow: builds or runs a simulation")


def random_tensors(config, seed=0):
    """Weights with unit gain, so that logits are of order 1."""
    rng = np.random.default_rng(seed)
    tensors = {}
    for name, shape in config.tensor_shapes().items():
        if len(shape) == 1:
            tensors[name] = rng.uniform(0.5, 1.5, shape).astype(np.float16)
        else:
            tensors[name] = (rng.normal(size=shape) / np.sqrt(shape[1])).astype(np.float16)
    return tensors


@pytest.fixture
def device():
    with mixpe.open("reference") as device:
        yield device


@pytest.fixture
def config():
    return architecture_of(VALUES, own_head=True)


@pytest.fixture
def tensors(config):
    return random_tensors(config)


@pytest.fixture
def values():
    """The keys of a config.json, for a test to change."""
    return dict(VALUES)


@pytest.fixture
def folder(tmp_path, tensors):
    """A model folder, for a test to damage."""
    (tmp_path / "config.json").write_text(json.dumps(VALUES))
    safetensors.save(tmp_path / "model.safetensors", tensors)
    return tmp_path


@pytest.fixture
def talker(tmp_path, values):
    """A folder: a model of 300 rows whose tokenizer has 261 tokens, bytes and a few special ones."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    pipeline = Tokenizer(models.BPE({token: i for i, token in enumerate(alphabet)}, []))
    pipeline.pre_tokenizer, pipeline.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    pipeline.add_special_tokens([AddedToken(f"<{i}>", normalized=False) for i in range(5)])
    values |= {"vocab_size": 300, "eos_token_id": [258, 259]}
    pipeline.save(str(tmp_path / "tokenizer.json"))
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(
        {"bos_token": "<0>", "eos_token": "<1>", "chat_template": TEMPLATE}))
    (tmp_path / "config.json").write_text(json.dumps(values))
    rng = np.random.default_rng(3)
    safetensors.save(tmp_path / "model.safetensors", {
        name: rng.normal(size=shape).astype(np.float32)
        for name, shape in architecture_of(values, own_head=True).tensor_shapes().items()})
    return tmp_path
