# SPDX-License-Identifier: BSD-2-Clause
"""PyTorch models with their linear layers on a device."""

import numpy as np
import pytest

import mixpe
from mixpe.errors import DtypeError, ModelError, RangeError, ShapeError
from mixpe_gateware.contract import reference

torch = pytest.importorskip("torch")
nn = torch.nn
offloading = pytest.importorskip("mixpe.torch")


@pytest.fixture
def llama():
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    return transformers.LlamaForCausalLM(transformers.LlamaConfig(
        vocab_size=300, hidden_size=128, intermediate_size=160, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=64)).eval()


def by_reference(matrix, x):
    """Y of the contract for float32 rows, straight from the reference arithmetic."""
    padded = np.zeros((len(x), matrix.k_padded), np.float32)
    padded[:, :matrix.k] = x
    codes, act_scales = mixpe.quantize_activations(padded)
    partial = reference.partials(codes, matrix.q_padded, matrix.span)
    sums = reference.row_sums(codes, matrix.span)
    return reference.output(reference.accumulate(partial, sums, matrix.scales, matrix.zeros), act_scales)


@pytest.mark.parametrize("group_size", [32, 128])
def test_llama_of_transformers(llama, device, group_size):
    tokens = torch.randint(0, 300, (2, 17), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        before = llama(tokens).logits
    weights = {name: m.weight.detach().clone() for name, m in llama.named_modules() if type(m) is nn.Linear}
    assert offloading.offload(llama, device, group_size=group_size) is llama
    offloaded = {name: m for name, m in llama.named_modules() if isinstance(m, offloading.OffloadedLinear)}
    assert set(offloaded) == set(weights) and len(offloaded) == 2 * 7 + 1

    seen = []
    for name, module in offloaded.items():
        matrix = mixpe.quantize(weights[name].numpy(), group_size)
        module.register_forward_hook(lambda _, x, y, name=name, matrix=matrix: seen.append((name, matrix, x[0], y)))
    with torch.no_grad():
        after = llama(tokens).logits
    assert sorted(name for name, *_ in seen) == sorted(weights)
    for name, matrix, x, y in seen:
        wanted = by_reference(matrix, x.reshape(-1, x.shape[-1]).numpy())
        assert y.reshape(wanted.shape).numpy().tobytes() == wanted.tobytes(), name
    error = (after - before).pow(2).sum() / before.pow(2).sum()
    assert 0 < error < 0.1  # 4-bit weights change random logits, but not beyond recognition

    offloading.release(llama)
    with torch.no_grad():
        assert torch.equal(llama(tokens).logits, before)


def test_generate_of_transformers_runs_through_the_device(llama, device):
    offloading.offload(llama, device, group_size=32)
    prompt = torch.tensor([[5, 6, 7]])
    text = llama.generate(prompt, max_new_tokens=5, do_sample=False, pad_token_id=0)
    assert text.shape == (1, 8) and torch.equal(text[:, :3], prompt)
    assert device.counters()["jobs"] >= 5 * 15


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_types_bias_and_leading_axes(device, dtype):
    torch.manual_seed(2)
    model = nn.Sequential(nn.Linear(96, 40), nn.GELU()).to(dtype)
    x = torch.randn(3, 2, 96).to(dtype)
    matrix = mixpe.quantize(model[0].weight.detach().float().numpy(), 32)
    offloading.offload(model, device, group_size=32)
    y = model[0](x)
    assert y.dtype == dtype and y.shape == (3, 2, 40)
    wanted = torch.from_numpy(by_reference(matrix, x.float().reshape(6, 96).numpy())).reshape(3, 2, 40).to(dtype)
    assert torch.equal(y, wanted + model[0].bias)
    assert model[0](x[:0]).shape == (0, 2, 40)
    assert "W4A8" in repr(model)


def test_shared_layers_are_loaded_once_and_others_left_alone(device):
    layer = nn.Linear(32, 32)
    model = nn.ModuleDict({"a": layer, "b": layer, "attention": nn.MultiheadAttention(32, 2), "c": nn.Linear(32, 8)})
    offloading.offload(model, device, group_size=32, only=lambda name: name != "c")
    assert model["a"] is model["b"] and isinstance(model["a"], offloading.OffloadedLinear)
    assert type(model["c"]) is nn.Linear
    assert type(model["attention"].out_proj) is not offloading.OffloadedLinear
    offloading.release(model)
    assert model["a"] is layer and model["b"] is layer


def test_training_is_refused_where_it_would_go_wrong(device):
    model = offloading.offload(nn.Sequential(nn.Linear(32, 32), nn.Linear(32, 4)), device, group_size=32,
                               only=lambda name: name == "1")
    with pytest.raises(ModelError, match="no gradient"):
        model(torch.ones(1, 32)).sum().backward()


def test_an_error_leaves_model_and_device_as_they_were(device):
    model = nn.Sequential(nn.Linear(32, 32), nn.Linear(32, 4))
    with torch.no_grad():
        model[1].weight[0, 0] = float("nan")
    free = device.info()["mem_free_bytes"]
    with pytest.raises(RangeError, match="^1: .*finite"):
        offloading.offload(model, device, group_size=32)
    assert type(model[0]) is nn.Linear and device.info()["mem_free_bytes"] == free


def test_wrong_requests(device):
    with pytest.raises(DtypeError, match="torch.nn.Module, not list"):
        offloading.offload([], device)
    with pytest.raises(ModelError, match="no nn.Linear"):
        offloading.offload(nn.GELU(), device)
    with pytest.raises(ModelError, match="that `only` picks"):
        offloading.offload(nn.Sequential(nn.Linear(32, 4)), device, only=lambda _: False)
    with pytest.raises(ModelError, match="meta device"):
        offloading.offload(nn.Sequential(nn.Linear(32, 4, device="meta")), device)
    model = offloading.offload(nn.Sequential(nn.Linear(32, 4)), device, group_size=32)
    with pytest.raises(ShapeError, match="32 features, not 31"):
        model(torch.ones(1, 31))
    with pytest.raises(DtypeError, match="torch.int64"):
        model(torch.ones(1, 32, dtype=torch.int64))


def test_importing_mixpe_does_not_import_torch():
    import subprocess
    import sys
    code = "import sys, mixpe, mixpe.lm; sys.exit(any(m in sys.modules for m in ('torch', 'matplotlib', 'migen')))"
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0
