# SPDX-License-Identifier: BSD-2-Clause
"""The Llama in numpy: against a plain formula, against itself in pieces, against devices, and wrong requests."""

import numpy as np
import pytest

import mixpe
from mixpe.errors import DtypeError, ModelError, RangeError, ShapeError
from mixpe.formats.hf_config import architecture_of
from mixpe.lm import LlamaModel
from mixpe.lm.exact import ExactLinear

PROMPT = b"def f(x):\n    return x"


def plain_logits(config, tensors, tokens):
    """Llama in float64, one token, head and pair at a time, straight from the formulas."""
    w = {name: tensor.astype(np.float64) for name, tensor in tensors.items()}
    d, half = config.head_dim, config.head_dim // 2
    repeat = config.num_attention_heads // config.num_key_value_heads

    def norm(x, name):
        return x / np.sqrt((x**2).mean() + config.rms_norm_eps) * w[name]

    def turn(x, position):
        out = np.empty_like(x)
        for i in range(half):
            angle = position * config.rope.theta ** (-2 * i / d)
            out[i] = x[i] * np.cos(angle) - x[i + half] * np.sin(angle)
            out[i + half] = x[i + half] * np.cos(angle) + x[i] * np.sin(angle)
        return out

    xs = [w["model.embed_tokens.weight"][token] for token in tokens]
    for layer in range(config.num_hidden_layers):
        p = f"model.layers.{layer}."
        ys = [norm(x, p + "input_layernorm.weight") for x in xs]
        q = [(w[p + "self_attn.q_proj.weight"] @ y).reshape(-1, d) for y in ys]
        k = [(w[p + "self_attn.k_proj.weight"] @ y).reshape(-1, d) for y in ys]
        v = [(w[p + "self_attn.v_proj.weight"] @ y).reshape(-1, d) for y in ys]
        for t in range(len(tokens)):
            heads = []
            for h in range(config.num_attention_heads):
                query = turn(q[t][h], t)
                scores = np.array([query @ turn(k[s][h // repeat], s) / np.sqrt(d) for s in range(t + 1)])
                weight = np.exp(scores - scores.max())
                heads.append(sum(a * v[s][h // repeat] for s, a in enumerate(weight / weight.sum())))
            xs[t] = xs[t] + w[p + "self_attn.o_proj.weight"] @ np.concatenate(heads)
        for t, x in enumerate(xs):
            y = norm(x, p + "post_attention_layernorm.weight")
            gate, up = w[p + "mlp.gate_proj.weight"] @ y, w[p + "mlp.up_proj.weight"] @ y
            xs[t] = x + w[p + "mlp.down_proj.weight"] @ (gate / (1 + np.exp(-gate)) * up)
    return np.stack([w["lm_head.weight"] @ norm(x, "model.norm.weight") for x in xs])


def test_logits_follow_the_formulas(config, tensors):
    found = LlamaModel(config, tensors).logits(PROMPT)
    assert found.dtype == np.float32 and found.shape == (len(PROMPT), 256)
    np.testing.assert_allclose(found, plain_logits(config, tensors, list(PROMPT)), atol=2e-5)


def test_logits_agree_with_transformers(folder, config, tensors):
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    theirs = transformers.LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    with torch.no_grad():
        wanted = theirs(torch.tensor([list(PROMPT)])).logits[0].numpy()
    np.testing.assert_allclose(LlamaModel(config, tensors).logits(PROMPT), wanted, atol=2e-5)


@pytest.mark.parametrize("cuts", [[1], [7], [1, 2, 3, 4], [20]])
def test_cache_gives_the_same_in_pieces(config, tensors, cuts):
    model = LlamaModel(config, tensors)
    cache, tokens = model.new_cache(), np.frombuffer(PROMPT, np.uint8)
    pieces = [model.forward(piece[None], cache)[0] for piece in np.split(tokens, cuts)]
    np.testing.assert_allclose(np.concatenate(pieces), model.logits(PROMPT), atol=1e-5)
    assert cache.length == len(PROMPT)


def test_sequences_do_not_mix(config, tensors):
    model = LlamaModel(config, tensors)
    tokens = np.random.default_rng(1).integers(0, 256, (3, 48))  # the whole context
    together = model.logits(tokens)
    for row in range(3):
        np.testing.assert_allclose(together[row], model.logits(tokens[row]), atol=1e-5)


def test_last_only_is_the_last(config, tensors):
    model = LlamaModel(config, tensors)
    tokens = np.frombuffer(PROMPT, np.uint8)[None]
    last = model.forward(tokens, model.new_cache(), last_only=True)
    assert last.shape == (1, 1, 256)
    np.testing.assert_allclose(last[0, 0], model.logits(PROMPT)[-1], atol=1e-5)


@pytest.mark.parametrize("activations", ["a8", "a8g", "a16"])
@pytest.mark.parametrize("url", ["reference", "reference?rows=2&port_bits=32&k_max=512&fused=0"])
def test_device_gives_the_bits_of_the_exact_product(folder, config, tensors, url, activations):
    exact = LlamaModel(config, tensors, lambda _, weight: ExactLinear(mixpe.quantize(weight, 32), activations))
    with LlamaModel.from_pretrained(folder, url, group_size=32, activations=activations) as model:
        assert model.logits(PROMPT).tobytes() == exact.logits(PROMPT).tobytes()
        assert b"".join(model.generate(PROMPT, 8)) == b"".join(exact.generate(PROMPT, 8))


def test_joined_layers_equal_separate_ones(config, tensors):
    # q, k, v as one matrix and apart: the same bits on the device's arithmetic.
    weights = [tensors[f"model.layers.0.self_attn.{part}_proj.weight"].astype(np.float32) for part in "qkv"]
    x = np.random.default_rng(2).normal(size=(5, config.hidden_size)).astype(np.float32)
    apart  = [ExactLinear(mixpe.quantize(weight, 32))(x) for weight in weights]
    joined = ExactLinear(mixpe.quantize(np.concatenate(weights), 32))(x)
    assert joined.tobytes() == np.concatenate(apart, axis=1).tobytes()


def test_device_given_stays_open_and_gets_its_memory_back(folder):
    with mixpe.open("reference") as device:
        free = device.info()["mem_free_bytes"]
        with LlamaModel.from_pretrained(folder, device, group_size=32) as model:
            first = model.logits(PROMPT)
            assert device.info()["mem_free_bytes"] < free
        assert device.info()["mem_free_bytes"] == free
        with LlamaModel.from_pretrained(folder, device, group_size=32) as model:
            assert model.logits(PROMPT).tobytes() == first.tobytes()


def test_one_job_for_layers_that_share_an_input(folder, config):
    with mixpe.open("reference") as device, LlamaModel.from_pretrained(folder, device, group_size=32) as model:
        before = device.counters()["jobs"]
        list(model.generate(PROMPT[:4], 1))
        assert device.counters()["jobs"] - before == 4 * config.num_hidden_layers + 1


@pytest.mark.parametrize("request_, error, message", [
    (lambda m: m.generate(b"", 5),                    ModelError, "prompt is empty"),
    (lambda m: m.generate("", 5),                     ModelError, "prompt is empty"),
    (lambda m: m.generate(b"x" * 49, 1),              ModelError, "49 and 1 new tokens are more than .* of 48"),
    (lambda m: m.generate(b"x" * 40, 10),             ModelError, "at most 9 can follow"),
    (lambda m: m.generate(b"x", 0),                   RangeError, "whole number from 1, not 0"),
    (lambda m: m.generate(b"x", 1.5),                 RangeError, "whole number from 1, not 1.5"),
    (lambda m: m.generate(b"x", 1, temperature=-1),   RangeError, "temperature"),
    (lambda m: m.generate(b"x", 1, temperature=float("nan")), RangeError, "temperature"),
    (lambda m: m.generate(b"x", 1, top_p=0),          RangeError, "top_p"),
    (lambda m: m.generate(b"x", 1, seed=-1),          RangeError, "seed"),
    (lambda m: m.logits(b""),                         ModelError, "no token"),
    (lambda m: m.logits(b"x" * 49),                   ModelError, "49 tokens are more than the trained context of 48"),
    (lambda m: m.logits([256]),                       ModelError, "0 … 255, found 256"),
    (lambda m: m.logits([-1]),                        ModelError, "0 … 255, found -1"),
    (lambda m: m.logits([0.5]),                       DtypeError, "integers, not float64"),
    (lambda m: m.logits(np.zeros((1, 1, 1), int)),    ShapeError, "one axis, or two"),
    (lambda m: m.forward([[1], [2]], m.new_cache()),  ShapeError, r"\(1, t\)"),
])
def test_wrong_requests_are_refused_and_the_model_stays_usable(config, tensors, request_, error, message):
    model = LlamaModel(config, tensors)
    with pytest.raises(error, match=message):
        request_(model)
    assert len(list(model.generate(b"x" * 40, 9))) == 9


def test_text_needs_a_byte_level_model(values):
    config = architecture_of(values | {"vocab_size": 300}, own_head=True)
    rng = np.random.default_rng(0)
    tensors = {name: rng.normal(size=shape).astype(np.float32) for name, shape in config.tensor_shapes().items()}
    model = LlamaModel(config, tensors)
    with pytest.raises(ModelError, match="byte-level model .*not 300"):
        model.generate("x", 1)
    assert len(list(model.generate_tokens([299], 3))) == 3


def test_activations_are_checked(folder):
    with pytest.raises(RangeError, match="'a8', 'a8g', 'a16'.*not 'a4'"):
        LlamaModel.from_pretrained(folder, "reference", activations="a4")
