# SPDX-License-Identifier: BSD-2-Clause
"""Models that read the weights of their layers, copies and files of them, and PyTorch's ways of calling them."""

import copy
import io

import numpy as np
import pytest

import mixpe
from mixpe.errors import ModelError

torch = pytest.importorskip("torch")
nn = torch.nn
offloading = pytest.importorskip("mixpe.torch")

IDS = torch.tensor([[1, 2, 3, 4]])


@pytest.fixture(autouse=True)
def without_gradients():
    torch.manual_seed(0)
    with torch.no_grad():
        yield


@pytest.fixture
def gpt2():
    transformers = pytest.importorskip("transformers")
    return transformers.GPT2LMHeadModel(transformers.GPT2Config(
        vocab_size=96, n_embd=64, n_layer=2, n_head=4, n_positions=32)).eval()


def jobs_of(device, call):
    """A call's result, and the jobs that it took."""
    before = device.counters()["jobs"]
    return call(), device.counters()["jobs"] - before


def distance(found, wanted):
    return float((found - wanted).norm()/wanted.norm())


@pytest.mark.parametrize("padded", [False, True])
def test_transformer_encoder_calls_its_layers(device, padded):
    """Its fast path would compute from the weights, on nested tensors where there is padding."""
    model = nn.TransformerEncoder(nn.TransformerEncoderLayer(64, 4, 128, batch_first=True), 2).eval()
    x     = torch.randn(2, 5, 64)
    mask  = torch.tensor([[False]*5, [False]*3 + [True]*2]) if padded else None
    wanted = model(x, src_key_padding_mask=mask)
    offloading.offload(model, device, group_size=32)
    found, jobs = jobs_of(device, lambda: model(x, src_key_padding_mask=mask))
    assert jobs >= 4 and found.shape == wanted.shape and 0 < distance(found, wanted) < 0.1
    plain = copy.deepcopy(model)
    assert not any(layer._forward_pre_hooks for layer in plain.modules())
    offloading.release(model)
    assert torch.equal(model(x, src_key_padding_mask=mask), wanted)
    assert torch.equal(plain(x, src_key_padding_mask=mask), wanted)


def test_t5_asks_a_weight_for_its_type(device):
    transformers = pytest.importorskip("transformers")
    model = transformers.T5ForConditionalGeneration(transformers.T5Config(vocab_size=96, d_model=64, d_kv=16, d_ff=96,
        num_layers=1, num_heads=4, decoder_start_token_id=0)).eval()
    wanted = model(IDS, decoder_input_ids=IDS).logits
    offloading.offload(model, device, group_size=32)
    found, jobs = jobs_of(device, lambda: model(IDS, decoder_input_ids=IDS).logits)
    assert jobs >= 17 and 0 < distance(found, wanted) < 0.3


def test_mamba_computes_with_weights_and_is_refused_by_name(device):
    transformers = pytest.importorskip("transformers")
    model = transformers.MambaForCausalLM(transformers.MambaConfig(vocab_size=96, hidden_size=64, num_hidden_layers=1,
        state_size=8)).eval()
    free = device.info()["mem_free_bytes"]
    with pytest.raises(ModelError, match=r"layers.0.mixer.dt_proj: MambaMixer\.\w+ .*'x_proj'\)\)$"):
        offloading.offload(model, device, group_size=32)
    assert device.info()["mem_free_bytes"] == free
    assert not any(isinstance(layer, offloading.OffloadedLayer) for layer in model.modules())
    offloading.offload(model, device, group_size=32,  # what the message says
        only=lambda name: not name.endswith(("dt_proj", "out_proj", "x_proj")))
    _, jobs = jobs_of(device, lambda: model(IDS))
    assert jobs >= 2


def test_the_projection_of_attention_is_left_alone(device):
    model = nn.Sequential(nn.Linear(64, 64), nn.MultiheadAttention(64, 4, batch_first=True)).eval()
    offloading.offload(model, device, group_size=32)
    assert type(model[0]) is offloading.OffloadedLinear
    assert not isinstance(model[1].out_proj, offloading.OffloadedLayer)
    x = torch.randn(1, 3, 64)
    assert model[1](x, x, x)[0].shape == x.shape


class Reader(nn.Module):
    """Computes with a weight in a method that `forward` calls."""

    def __init__(self):
        super().__init__()
        self.layer, self.asked, self.unused = nn.Linear(32, 32), nn.Linear(32, 32), nn.Linear(32, 32)

    def forward(self, x):
        x = x.to(self.asked.weight.dtype)
        if self.asked.weight is None or not isinstance(self.asked.weight, torch.Tensor):
            return x
        return self.asked(x) + self.product(x)

    def product(self, x):
        return nn.functional.linear(x, self.layer.weight.to(x.dtype))

    def initialise(self):
        self.unused.weight.zero_()


def test_readers_are_found_in_the_source(device):
    model = nn.ModuleDict({"part": Reader()})
    with pytest.raises(ModelError, match=r"^part.layer: Reader.product .*\('layer',\)"):
        offloading.offload(model, device, group_size=32)
    offloading.offload(model, device, group_size=32, only=lambda name: not name.endswith("layer"))
    assert isinstance(model["part"].asked, offloading.OffloadedLinear)
    assert model["part"](torch.ones(1, 32)).shape == (1, 32)


class Hidden(nn.Module):
    """Its layers, each of whose weights a test's class reads in another way."""

    def __init__(self):
        super().__init__()
        self.layer  = nn.Linear(32, 32)
        self.layers = nn.ModuleList([nn.Linear(32, 32)])
        self.part   = nn.ModuleDict({"inner": nn.Linear(32, 32)})


class ByName(Hidden):
    def forward(self, x):
        layer = self.layer
        return nn.functional.linear(x, layer.weight)


class ByNames(Hidden):
    def forward(self, x):
        one, _ = self.layer, 0
        return x @ one.weight.T


class ByIndex(Hidden):
    def forward(self, x):
        return x @ self.layers[0].weight.T


class ByLoop(Hidden):
    def forward(self, x):
        for number, layer in enumerate(self.layers):
            x = number + x @ layer.weight.T
        return x


class ByList(Hidden):
    def forward(self, x):
        return sum(x @ layer.weight.T for layer in reversed(self.layers))


class ByPair(Hidden):
    def forward(self, x):
        for layer, scale in zip(self.layers, (1, 2), strict=False):
            x = scale*nn.functional.linear(x, layer.weight)
        return x


class ByKey(Hidden):
    def forward(self, x):
        return x @ self.part["inner"].weight.T


class ByGetattr(Hidden):
    def forward(self, x):
        return x @ getattr(self, "layer", None).weight.T


class ByProperty(Hidden):
    @property
    def matrix(self):
        return self.layer.weight.T

    def forward(self, x):
        return x @ self.matrix


class ByStatic(Hidden):
    @classmethod
    def helper(cls, x):
        return x

    def forward(self, x):
        return self.helper(x) @ (layer := self.layer).weight.T + layer.bias


@pytest.mark.parametrize("kind, name", [(ByName, "layer"), (ByNames, "layer"), (ByIndex, "layers.0"),
    (ByLoop, "layers.0"), (ByList, "layers.0"), (ByPair, "layers.0"), (ByKey, "part.inner"), (ByGetattr, "layer"),
    (ByProperty, "layer"), (ByStatic, "layer")], ids=lambda value: getattr(value, "__name__", value))
def test_readers_in_other_words(kind, name, device):
    with pytest.raises(ModelError, match=rf"^{name}: {kind.__name__}\."):
        offloading.offload(kind(), device, group_size=32)


class Caller(Hidden):
    def forward(self, x):
        for layer in self.layers:
            x = layer(x)
        layer = self.layer
        width = layer.weight.shape[0]
        layer = x
        return layer[:, :width]


def helped(module, x):
    return nn.functional.linear(x, module.layer.weight, module.layer.bias)


class Given(Hidden):
    def forward(self, x):
        return helped(self, x)


def test_a_function_that_is_given_the_module_computes_with_its_weight(device):
    """It is not looked into: its product stays in PyTorch, and is right."""
    model, x = Given(), torch.randn(2, 32)
    wanted = model(x)
    offloading.offload(model, device, group_size=32)
    assert isinstance(model.layer, offloading.OffloadedLinear) and torch.equal(model(x), wanted)


def test_layers_that_are_called_are_no_readers(device):
    model = Caller()
    offloading.offload(model, device, group_size=32)
    assert isinstance(model.layer, offloading.OffloadedLinear) and model(torch.ones(1, 32)).shape == (1, 32)


def test_conv1d_of_gpt2(gpt2, device):
    wanted = gpt2(IDS).logits
    weight = gpt2.transformer.h[0].mlp.c_fc.weight.detach().numpy().copy()
    seen = []
    gpt2.transformer.h[0].mlp.c_fc.register_forward_hook(lambda _layer, x, y: seen.append((x[0], y)))
    offloading.offload(gpt2, device, group_size=32)
    found, jobs = jobs_of(device, lambda: gpt2(IDS).logits)
    assert jobs >= 2*4 + 1 and 0 < distance(found, wanted) < 0.3
    (x, y), = seen  # the hook of before
    lin = device.load(mixpe.quantize(np.ascontiguousarray(weight.T), 32))
    product = torch.from_numpy(lin(x[0].numpy())) + gpt2.transformer.h[0].mlp.c_fc.bias
    assert torch.equal(y[0], product)
    assert "OffloadedConv1D(DeviceLinear(256 x 64, W4A8" in repr(gpt2)


def test_state_copies_and_pickles_have_the_weights(gpt2, device, tmp_path):
    wanted, state = gpt2(IDS).logits, {name: tensor.clone() for name, tensor in gpt2.state_dict().items()}
    offloading.offload(gpt2, device, group_size=32)
    found = gpt2.state_dict()
    assert list(found) == list(state) and all(torch.equal(found[name], state[name]) for name in state)
    pickled = io.BytesIO()
    torch.save(gpt2, pickled)
    pickled.seek(0)
    gpt2.save_pretrained(tmp_path/"folder")
    for other in (copy.deepcopy(gpt2), torch.load(pickled, weights_only=False),
                  type(gpt2).from_pretrained(tmp_path/"folder")):
        other.eval()
        assert not any(isinstance(layer, offloading.OffloadedLayer) for layer in other.modules())
        assert torch.equal(other(IDS).logits, wanted)
        assert other.lm_head.weight is other.transformer.wte.weight


def test_a_changed_weight_is_loaded_again(gpt2, device):
    offloading.offload(gpt2, device, group_size=32)
    before, free = gpt2(IDS).logits, device.info()["mem_free_bytes"]
    gpt2.resize_token_embeddings(128, mean_resizing=False)  # tied: the layer gets another weight
    after = gpt2(IDS).logits
    assert after.shape == (1, 4, 128) and torch.equal(after[:, :, :96], before)
    assert device.info()["mem_free_bytes"] < free
    gpt2.resize_token_embeddings(96)
    assert torch.equal(gpt2(IDS).logits, before) and device.info()["mem_free_bytes"] == free
    weight = gpt2.lm_head.weight
    weight.mul_(2)  # in place
    weight.div_(2)
    calls = device.info()["mem_free_bytes"]
    assert torch.equal(gpt2(IDS).logits, before) and device.info()["mem_free_bytes"] == calls
    gpt2.lm_head.weight.zero_()
    assert not gpt2(IDS).logits.any()


def test_an_untied_head_is_replaced_when_the_vocabulary_grows(device):
    transformers = pytest.importorskip("transformers")
    model = transformers.LlamaForCausalLM(transformers.LlamaConfig(vocab_size=96, hidden_size=64, intermediate_size=64,
        num_hidden_layers=1, num_attention_heads=4, max_position_embeddings=32, tie_word_embeddings=False)).eval()
    offloading.offload(model, device, group_size=32)
    model.resize_token_embeddings(128)
    assert model(IDS).logits.shape == (1, 4, 128)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_and_autocast(device, dtype):
    model = nn.Sequential(nn.Linear(64, 32), nn.GELU(), nn.Linear(32, 8))
    x = torch.randn(3, 64)
    offloading.offload(model, device, group_size=32)
    wanted = model(x)
    with torch.autocast("cpu", dtype=dtype):
        found = model(x)
    assert found.dtype == dtype and distance(found.float(), wanted) < 0.02
    assert model[0](x.to(dtype)).dtype == dtype
    model.to(dtype)
    assert model(x.to(dtype)).dtype == dtype and distance(model(x.to(dtype)).float(), wanted) < 0.1


def test_hooks_of_both_kinds(device):
    model = nn.Sequential(nn.Linear(32, 8))
    model[0].register_forward_pre_hook(lambda _layer, inputs: (2*inputs[0],))
    offloading.offload(model, device, group_size=32)
    handle = model[0].register_forward_hook(lambda _layer, _inputs, y: y + 1)
    x = torch.randn(2, 32)
    hooked = model(x)
    handle.remove()
    assert torch.equal(hooked, model(x) + 1)
    offloading.release(model)
    assert len(model[0]._forward_pre_hooks) == 1


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.up, self.down = nn.Linear(32, 32), nn.Linear(32, 8)

    def forward(self, x):
        return self.down(2*nn.functional.gelu(self.up(x)))


def test_compile_breaks_its_graph_at_a_layer(device):
    model = Block()
    x = torch.randn(2, 32)
    offloading.offload(model, device, group_size=32)
    wanted = model(x)
    graphs = []

    def backend(graph, _inputs):
        graphs.append(graph)
        return graph.forward

    found, jobs = jobs_of(device, lambda: torch.compile(model, backend=backend)(x))
    assert torch.equal(found, wanted) and jobs >= 2 and graphs  # the part between the layers was compiled
    with pytest.raises(Exception, match="is_tracing|jit.trace"):
        torch.jit.trace(model, x)


def test_layers_that_cannot_be_changed_are_refused_by_name(device):
    model = nn.Sequential(nn.Linear(32, 8))
    model[0].forward = model[0].forward
    with pytest.raises(ModelError, match="^0: its forward was replaced"):
        offloading.offload(model, device)
    with pytest.raises(ModelError, match="is a Linear itself"):
        offloading.offload(nn.Linear(32, 8), device)
