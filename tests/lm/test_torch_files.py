# SPDX-License-Identifier: BSD-2-Clause
"""Quantised PyTorch models in files."""

import pytest

import mixpe
from mixpe.errors import DtypeError, MixpeError, ModelError
from mixpe.formats import safetensors
from mixpe.formats.matrixfile import load_matrices

torch = pytest.importorskip("torch")
nn = torch.nn
offloading = pytest.importorskip("mixpe.torch")


class Tied(nn.Module):
    """An embedding tied to its head, a layer at two places, a half-precision norm, a buffer."""

    def __init__(self, width=64):
        super().__init__()
        self.embed = nn.Embedding(48, width)
        self.first = self.again = nn.Linear(width, width)
        self.wide  = nn.Linear(width, width, bias=False)
        self.norm  = nn.LayerNorm(width).to(torch.bfloat16)
        self.head  = nn.Linear(width, 48)
        self.head.weight = self.embed.weight
        self.register_buffer("steps", torch.tensor(3))

    def forward(self, ids):
        x = self.again(self.first(self.embed(ids)))
        return self.head(self.norm(self.wide(x).to(torch.bfloat16)).float())


IDS = torch.tensor([[1, 2, 3]])


@pytest.fixture(autouse=True)
def without_gradients():
    with torch.no_grad():
        yield


@pytest.fixture
def saved(device, tmp_path):
    """An offloaded model, its file."""
    torch.manual_seed(0)
    model = Tied()
    offloading.offload(model, device, 32, only=lambda name: name != "wide")
    offloading.offload(model, device, 64, activations="a16", only=lambda name: name == "wide",
        quantiser=lambda _name, weight: mixpe.quantize(weight, 64, bits=8))
    path = tmp_path/"model.safetensors"
    offloading.save(model, path)
    return model, path


def test_what_is_loaded_computes_the_same_bits(saved, device):
    model, path = saved
    wanted = model(IDS)
    torch.manual_seed(1)
    other = Tied()
    assert not torch.equal(other(IDS), wanted)
    assert offloading.load(other, path, device) is other
    assert torch.equal(other(IDS), wanted)
    assert other.wide.linear.activations == "a16" and other.wide.linear.matrix.bits == 8
    assert other.again is other.first and other.head.weight is other.embed.weight
    assert other.norm.weight.dtype == torch.bfloat16 and torch.equal(other.norm.weight, model.norm.weight)
    assert torch.equal(other.embed.weight, model.embed.weight)
    assert torch.equal(other.wide.weight, torch.from_numpy(model.wide.linear.matrix.dequantize()))
    offloading.release(other)  # and has weights of its own
    found = other(IDS)
    assert (found - wanted).norm()/wanted.norm() < 0.1
    offloading.load(other, path, device)
    other.wide.weight.zero_()
    assert not torch.equal(other(IDS), wanted)  # the changed weight, not the file's


def test_the_file_holds_packed_weights_and_everything_else_once(saved):
    _, path = saved
    matrices, others = load_matrices(path)
    assert set(matrices) == {"first", "wide", "head"}
    assert set(others) == {"embed.weight", "first.bias", "again.bias", "norm.weight", "norm.bias", "head.bias", "steps"}
    assert safetensors.read_header(path)[0]["norm.weight"][0] == "BF16"


def test_a_file_of_another_model_changes_nothing(saved, device):
    _, path = saved
    for other, message in ((Tied(32), "first is 64 x 64, the model's has the weight (32, 32)"),
                           (nn.Sequential(nn.Linear(8, 8)), "no linear layer")):
        before = {name: tensor.clone() for name, tensor in other.state_dict().items()}
        with pytest.raises(ModelError) as caught:
            offloading.load(other, path, device)
        assert message in str(caught.value)
        assert all(torch.equal(tensor, before[name]) for name, tensor in other.state_dict().items())
    other = Tied()
    other.more = nn.Parameter(torch.ones(3))
    with pytest.raises(ModelError, match="more is in the model alone"):
        offloading.load(other, path, device)
    del other.more
    other.steps = torch.zeros(2)
    with pytest.raises(ModelError, match="steps is"):
        offloading.load(other, path, device)
    with pytest.raises(ModelError, match="meta device"):
        offloading.load(Tied().to("meta"), path, device)
    with pytest.raises(DtypeError, match="torch.nn.Module"):
        offloading.load([], path, device)


def test_a_device_without_room_leaves_a_model_in_pytorch(saved, monkeypatch):
    _, path = saved
    other = Tied()
    with mixpe.open("reference") as small:
        load, count = small.load, []

        def full(matrix, **named):
            count.append(matrix)
            if len(count) > 2:
                raise mixpe.errors.DeviceMemoryError("no room")
            return load(matrix, **named)

        monkeypatch.setattr(small, "load", full)
        free = small.info()["mem_free_bytes"]
        with pytest.raises(MixpeError, match="no room"):
            offloading.load(other, path, small)
        assert small.info()["mem_free_bytes"] == free
    assert not any(isinstance(layer, offloading.OffloadedLayer) for layer in other.modules())


def test_what_cannot_be_saved(device, tmp_path):
    model = nn.Sequential(nn.Linear(32, 8))
    with pytest.raises(ModelError, match="no layer of the model is on a device"):
        offloading.save(model, tmp_path/"x.safetensors")
    offloading.offload(model, device, 32)
    model.register_buffer("wave", torch.zeros(2, dtype=torch.complex64))
    with pytest.raises(ModelError, match="wave cannot be saved: it is torch.complex64"):
        offloading.save(model, tmp_path/"x.safetensors")
    assert not list(tmp_path.iterdir())
