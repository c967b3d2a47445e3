# SPDX-License-Identifier: BSD-2-Clause
"""Logits of small random models of every family against `transformers`.

The reference's logits are in golden/logits.json, so that no test needs torch; this file run as a program computes them
again with the torch and transformers that it finds, and where torch is installed a test compares the two:

    python tests/lm/test_architectures.py
"""

import importlib.util
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import mixpe
from mixpe.formats import safetensors
from mixpe.formats.architecture import Architecture
from mixpe.formats.hf_config import architecture_of
from mixpe.formats.rope import Rope
from mixpe.lm import LlamaModel
from mixpe.lm.exact import ExactLinear

GOLDEN = Path(__file__).parent/"golden"/"logits.json"
SEED   = 7
LENGTH = 40              # tokens
SHOWN  = (0, 9, 21, 39)  # whose logits are kept

SMALL = {"vocab_size": 96, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 3, "num_attention_heads": 4,
         "num_key_value_heads": 2, "max_position_embeddings": 64, "rms_norm_eps": 1e-5, "rope_theta": 1000.0,
         "tie_word_embeddings": False}
LLAMA3 = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
          "original_max_position_embeddings": 32}
YARN   = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 16}

CASES = {
    "llama":                  {"model_type": "llama"},
    "llama, one head a key":  {"model_type": "llama", "num_key_value_heads": 4, "rms_norm_eps": 1e-2},
    "llama, tied, one key":   {"model_type": "llama", "tie_word_embeddings": True, "num_key_value_heads": 1},
    "llama, biases":          {"model_type": "llama", "attention_bias": True, "mlp_bias": True},
    "llama, wide heads":      {"model_type": "llama", "head_dim": 32},
    "llama, linear":          {"model_type": "llama", "rope_scaling": {"rope_type": "linear", "factor": 3.0}},
    "llama, dynamic":         {"model_type": "llama", "rope_scaling": {"rope_type": "dynamic", "factor": 2.0}},
    "llama, llama3":          {"model_type": "llama", "rope_scaling": LLAMA3},
    "llama, yarn":            {"model_type": "llama", "rope_scaling": YARN},
    "llama, yarn, chosen":    {"model_type": "llama", "rope_scaling": YARN | {
                               "beta_fast": 8.0, "beta_slow": 0.5, "attention_factor": 1.3, "truncate": False}},
    "mistral, window":        {"model_type": "mistral", "sliding_window": 8, "head_dim": 16},
    "mistral, no window":     {"model_type": "mistral", "sliding_window": None, "head_dim": 24},
    "qwen2":                  {"model_type": "qwen2"},
    "qwen2, tied":            {"model_type": "qwen2", "tie_word_embeddings": True},
    "qwen2, window above":    {"model_type": "qwen2", "use_sliding_window": True, "sliding_window": 5,
                               "max_window_layers": 1},
    "qwen3":                  {"model_type": "qwen3", "head_dim": 32},
    "qwen3, biases, window":  {"model_type": "qwen3", "head_dim": 16, "attention_bias": True,
                               "use_sliding_window": True, "sliding_window": 3, "max_window_layers": 2},
    "qwen3, yarn":            {"model_type": "qwen3", "head_dim": 16, "rope_scaling": YARN},
}


def config_of(name):
    """The keys of a config.json."""
    return SMALL | CASES[name]


def architecture_for(name):
    return architecture_of(config_of(name), own_head=not config_of(name)["tie_word_embeddings"])


def random_weights(architecture):
    """Weights with unit gain; norms, heads of q and k and biases far from what would change nothing."""
    rng, weights = np.random.default_rng(SEED), {}
    for name, shape in architecture.tensor_shapes().items():
        if len(shape) == 2:
            weights[name] = rng.normal(size=shape)*(2.0/np.sqrt(shape[1]))
        else:
            weights[name] = rng.normal(size=shape) if name.endswith("bias") else rng.uniform(0.3, 1.7, shape)
        weights[name] = weights[name].astype(np.float32)
    return weights


def random_tokens(architecture):
    return np.random.default_rng(SEED + 1).integers(0, architecture.vocab_size, LENGTH)


def reference_logits(name):
    """Logits of `transformers` in float32: (LENGTH, vocab)."""
    import torch
    import transformers

    architecture = architecture_for(name)
    config = transformers.AutoConfig.for_model(**config_of(name), attn_implementation="eager")
    model = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()
    weights = {key: torch.from_numpy(weight) for key, weight in random_weights(architecture).items()}
    missing, unexpected = model.load_state_dict(weights, strict=False)
    assert not unexpected and set(missing) <= ({"lm_head.weight"} if architecture.tie_word_embeddings else set())
    with torch.no_grad():
        return model(torch.from_numpy(random_tokens(architecture)[None])).logits[0].numpy()


@pytest.fixture(scope="module")
def golden():
    found = json.loads(GOLDEN.read_text())
    assert found["configurations"] == {name: config_of(name) for name in CASES}  # what they were made of
    return {name: np.array(rows, np.float32) for name, rows in found["logits"].items()}


@pytest.mark.parametrize("name", CASES)
def test_logits_are_the_references(golden, name):
    architecture = architecture_for(name)
    model = LlamaModel(architecture, random_weights(architecture))
    found = model.logits(random_tokens(architecture))
    assert found.dtype == np.float32 and np.abs(golden[name]).max() > 1
    np.testing.assert_allclose(found[list(SHOWN)], golden[name], atol=2e-4, rtol=2e-4)


if importlib.util.find_spec("torch"):
    @pytest.mark.parametrize("name", CASES)
    def test_golden_logits_are_made_again(golden, name):
        np.testing.assert_allclose(reference_logits(name)[list(SHOWN)], golden[name], atol=1e-4, rtol=1e-4)


def test_every_case_says_something_of_its_own(golden):
    # Options that change nothing would not be tested: only dynamic positions, within the context, are the default.
    names = list(CASES)
    for i, a in enumerate(names):
        for b in names[:i]:
            same = np.allclose(golden[a], golden[b], atol=1e-2)
            assert same == ({a, b} == {"llama", "llama, dynamic"}), (a, b)


@pytest.mark.parametrize("name", ["llama", "mistral, window", "qwen2, window above", "qwen3, biases, window"])
@pytest.mark.parametrize("cuts", [[1], [3, 4, 5, 6], [39], list(range(1, 40))])
def test_the_cache_gives_the_same_in_pieces(name, cuts):
    architecture = architecture_for(name)
    model, tokens = LlamaModel(architecture, random_weights(architecture)), random_tokens(architecture)
    cache  = model.new_cache()
    pieces = [model.forward(piece[None], cache)[0] for piece in np.split(tokens, cuts)]
    np.testing.assert_allclose(np.concatenate(pieces), model.logits(tokens), atol=1e-4)


@pytest.mark.parametrize("name", ["mistral, window", "qwen2", "qwen3, biases, window", "llama, biases",
                                  "llama, tied, one key"])
def test_devices_give_the_bits_of_the_exact_product(tmp_path, name):
    # Biases, norms of heads and windows stay on the host; the layers are the device's.
    architecture = architecture_for(name)
    weights = random_weights(architecture)
    (tmp_path/"config.json").write_text(json.dumps(config_of(name)))
    safetensors.save(tmp_path/"model.safetensors", weights)
    tokens = random_tokens(architecture)
    exact = LlamaModel(architecture, weights, lambda _, weight: ExactLinear(mixpe.quantize(weight, 32), "a16"))
    with LlamaModel.from_pretrained(tmp_path, "reference", group_size=32, activations="a16") as model:
        assert model.logits(tokens).tobytes() == exact.logits(tokens).tobytes()


def test_divisors_of_the_frequencies_are_llama3s(golden):
    # GGUF has the scaling of Llama 3 as a tensor.
    architecture = architecture_for("llama, llama3")
    plain = Rope(theta=architecture.rope.theta)
    d = architecture.head_dim
    divisors = (plain.frequencies(d)/architecture.rope.frequencies(d)).astype(np.float32)
    assert divisors.max() == 8 and divisors.min() == 1
    other = replace(architecture, rope=Rope(theta=architecture.rope.theta, divisors=divisors))
    found = LlamaModel(other, random_weights(other)).logits(random_tokens(other))
    np.testing.assert_allclose(found[list(SHOWN)], golden["llama, llama3"], atol=2e-4, rtol=2e-4)


def test_a_long_context_costs_no_memory_before_it_is_used():
    architecture = Architecture(family="llama", **{key: SMALL[key] for key in (
        "vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads",
        "num_key_value_heads")}, head_dim=16, max_position_embeddings=1 << 26)
    model = LlamaModel(architecture, random_weights(architecture))
    cache = model.new_cache()
    model.forward([[1, 2, 3]], cache)
    assert cache.nbytes < 2 << 20
    for _ in range(5):
        model.forward(np.ones((1, 100), int), cache)
    assert cache.length == 503 and cache.nbytes < 2 << 20


def main():
    import torch
    import transformers
    logits = {name: reference_logits(name)[list(SHOWN)] for name in CASES}
    GOLDEN.write_text(json.dumps({
        "made by": f"tests/lm/test_architectures.py: transformers {transformers.__version__}, torch "
                   f"{torch.__version__}, float32, eager attention; weights and tokens by numpy, seed {SEED}; "
                   f"tokens {SHOWN} of {LENGTH}",
        "configurations": {name: config_of(name) for name in CASES},
        "logits": {name: [[float(f"{value:.6g}") for value in row] for row in rows] for name, rows in logits.items()},
    }, indent=None, separators=(",", ":")).replace('},"', '},\n"').replace("]],", "]],\n") + "\n")


if __name__ == "__main__":
    main()
