# SPDX-License-Identifier: BSD-2-Clause
"""Models that do not fit a device: refused with offers that hold, or streamed with the same results."""

import json
import re
import warnings

import numpy as np
import pytest

import mixpe
from mixpe.cli.main import main
from mixpe.devices.driver import driver_of
from mixpe.devices.memory import Allocator, Region
from mixpe.errors import DeviceMemoryError, ModelMemoryError, RangeError
from mixpe.formats import safetensors
from mixpe.formats.ggml_blocks import TYPES, block_tensor
from mixpe.lm import LlamaModel, checkpoint
from mixpe.lm.fit import Residence, Rounding, Space, channels_within, job_plans, outline, residence, stream_bytes
from mixpe.lm.linear import job_tensors
from mixpe.lm.offload import DeviceLoader
from mixpe.lm.streaming import Stream
from mixpe.lm.weights import Weights
from mixpe.plan.kinds import KINDS
from mixpe.plan.layer import LayerPlan, LayerShape
from mixpe.program.jobs import job_names
from mixpe_gateware.contract.config import Config
from mixpe_gateware.contract.scaling import Form

PROMPT   = b"def f(x):"
PACKAGED = 3 << 18  # bytes: less than the layers of the packaged model have


def free_of(url):
    with mixpe.open(url) as device:
        return driver_of(device).memory.free_bytes


def open_small(device, path=None, **options):
    """The model, and the notes that were warnings."""
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        model = LlamaModel.from_pretrained(path, device, **options)
    return model, [str(each.message) for each in found if "are sent for" in str(each.message)]


@pytest.fixture(scope="module")
def packaged():
    """Logits and text of the packaged model where everything fits, and the bytes of its layers."""
    with LlamaModel.from_pretrained(None, "reference") as model:
        size = sum(layer.weight_bytes for layer in model._loader.layers)
        return model.logits(PROMPT), b"".join(model.generate(PROMPT, 6)), size


def test_what_does_not_fit_is_refused_before_anything_is_sent(packaged):
    with mixpe.open(f"reference?mem_bytes={PACKAGED}") as device:
        with pytest.raises(ModelMemoryError) as caught:
            LlamaModel.from_pretrained(None, device)
        assert device.link_bytes()["written"] < 4096 and driver_of(device).memory.free_bytes == PACKAGED
    error = caught.value
    assert packaged[2] < error.needed_bytes < packaged[2] + (64 << 10) and error.free_bytes == PACKAGED
    missing = (error.needed_bytes - PACKAGED)/1024
    assert f"of its 768 KiB, 768 KiB are free: {missing:.4g} KiB too little" in str(error)
    assert "tang_nano_20k (8 MiB)" in str(error) and "icebreaker" not in str(error) and "stream=True" in str(error)
    assert isinstance(error, DeviceMemoryError)


@pytest.mark.parametrize("mem_bytes", [PACKAGED, PACKAGED >> 4])
@pytest.mark.parametrize("activations", KINDS)
def test_streamed_is_the_same_to_the_bit(packaged, mem_bytes, activations):
    options = {"activations": activations, "stream": True}
    if activations != "a8":
        with LlamaModel.from_pretrained(None, "reference", activations=activations) as model:
            logits, text = model.logits(PROMPT), None
    else:
        logits, text, _ = packaged
    with mixpe.open(f"reference?mem_bytes={mem_bytes}") as device:
        for _session in range(2):
            model, notes = open_small(device, **options)
            with model:
                assert model.logits(PROMPT).tobytes() == logits.tobytes()
                before = device.link_bytes()["written"]
                if text:
                    assert b"".join(model.generate(PROMPT, 6)) == text
                    sent = device.link_bytes()["written"] - before
            size = residence(Space.of_device(device), plans_of(None, device.config, activations == "a16"))
            assert len(notes) == 1 and f"{len(size.streamed)} of {len(model.jobs)} layers do not fit" in notes[0]
            rate = re.search(r"([\d.e-]+) s at the ([\d.]+) (\w+)/s", notes[0])
            unit = {"bytes": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}[rate[3]]
            assert float(rate[1])*float(rate[2])*unit == pytest.approx(size.streamed_bytes, rel=0.02)
            if text:
                assert 6*size.streamed_bytes <= sent < 6.6*size.streamed_bytes + (600 << 10)
            assert driver_of(device).memory.free_bytes == mem_bytes == driver_of(device).memory.largest_bytes
            assert driver_of(device).inbox.free_bytes == device.config.inbox_bytes


def plans_of(path, config, wide=False, rounding=None):
    architecture, tensors = checkpoint.read(path)
    jobs = {name: [tensors.stored(source) for source in job_tensors(tensors, name)]
            for name in job_names(architecture)}
    return job_plans(outline(jobs), rounding or Rounding(4, 128), config, wide)


def test_what_fits_is_not_streamed(packaged):
    url = "reference"
    with mixpe.open(url) as device:
        model, notes = open_small(device, stream=True)
        with model:
            assert not notes and not model.notes and model.logits(PROMPT).tobytes() == packaged[0].tobytes()
            assert sum(map(stream_bytes, plans_of(None, device.config).values())) == (
                free_of(url) - driver_of(device).memory.free_bytes)


@pytest.mark.parametrize("less, offer", [(4096, "head"), (4096, "weights"), (40 << 10, "weights")])
def test_an_offer_holds(folder, less, offer):
    """What the error offers is taken, and the model loads; where no head would do, none is offered."""
    options = {"bits": 8, "group_size": 32}
    needed  = Space.of_size(Config(), 1 << 24).needed_bytes(plans_of(folder, Config(), True, Rounding(8, 32)))
    url     = f"reference?mem_bytes={(needed - less)//4096*4096}"
    with pytest.raises(ModelMemoryError) as caught:
        LlamaModel.from_pretrained(folder, url, **options)
    numbers = [each for each in caught.value.offers if "bits=" in each]
    assert len(numbers) == (2 if less == 4096 else 1)
    wanted, = [each for each in numbers if ("head" in each) == (offer == "head")]
    taken   = {name: int(value) for name, value in re.findall(r"(\w+)=(\d+)", wanted)}
    with LlamaModel.from_pretrained(folder, url, **{**options, **taken}) as model:
        assert np.isfinite(model.logits(PROMPT)).all()


def test_the_head_in_fewer_bits(folder):
    with LlamaModel.from_pretrained(folder, "reference", bits=8, head_bits=4, head_group_size=64) as model:
        head = model.jobs["lm_head"].linear
        assert (head.plan.planes, head.plan.span) == (1, 64) and model.jobs["layers.0.o"].linear.plan.planes == 2
        assert not model.notes
    for bad in (3, 16, "4"):
        with pytest.raises(RangeError, match="head_bits"):
            LlamaModel.from_pretrained(folder, "reference", head_bits=bad)


def test_the_head_of_a_quantised_file_says_what_it_costs(folder, tmp_path):
    assert main(["quantize", str(folder), str(tmp_path/"out"), "--bits", "8", "--group-size", "32"]) == 0
    with pytest.warns(UserWarning, match="1 of .*8-bit requantised to 4 bits in groups of 32, .* dB against the file"):
        LlamaModel.from_pretrained(tmp_path/"out", "reference", head_bits=4).close()


def test_a_memory_for_which_nothing_helps(folder):
    with mixpe.open("reference?mem_bytes=4096") as device:
        with LlamaModel.from_pretrained(folder, "reference") as whole, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with LlamaModel.from_pretrained(folder, device, stream=True) as model:  # all of it, in small pieces
                assert model.logits(PROMPT).tobytes() == whole.logits(PROMPT).tobytes()
        driver_of(device).memory.allocate(4096 - 512)
        with pytest.raises(ModelMemoryError, match="tang_nano") as caught:
            LlamaModel.from_pretrained(folder, device)
        assert "stream" not in str(caught.value)
        with pytest.raises(DeviceMemoryError, match="eight channels of its widest layer"):
            LlamaModel.from_pretrained(folder, device, stream=True)
        assert driver_of(device).memory.free_bytes == 512


def test_another_user_of_the_memory(packaged):
    """Free memory in pieces; what is not ours stays."""
    with mixpe.open(f"reference?mem_bytes={2*PACKAGED}") as device:
        places = [driver_of(device).memory.allocate(PACKAGED//8) for _ in range(16)]
        for place in places[::2]:
            driver_of(device).memory.free(place)
        free = driver_of(device).memory.free_bytes
        with pytest.raises(ModelMemoryError):
            LlamaModel.from_pretrained(None, device)
        model, notes = open_small(device, stream=True)
        with model:
            assert notes and model.logits(PROMPT).tobytes() == packaged[0].tobytes()
        assert driver_of(device).memory.free_bytes == free


def test_enough_but_in_pieces(folder):
    needed = Space.of_size(Config(), 1 << 24).needed_bytes(plans_of(folder, Config(), True))
    with mixpe.open(f"reference?mem_bytes={2*(needed//4096*4096)}") as device:
        places = [driver_of(device).memory.allocate(2048) for _ in range(driver_of(device).memory.total_bytes//2048)]
        for place in [*places[::2], places[1], places[3]]:
            driver_of(device).memory.free(place)
        with pytest.raises(ModelMemoryError, match="enough, but in pieces") as caught:
            LlamaModel.from_pretrained(folder, device)
        assert caught.value.free_bytes >= needed


def test_an_error_at_loading_gives_everything_back(folder):
    calls = []

    def quantiser(name, weight):
        calls.append(name)
        if len(calls) == 6:
            raise RangeError("no more")
        return mixpe.quantize(weight, 32)

    with mixpe.open("reference?mem_bytes=32768") as device:
        with pytest.raises(RangeError, match="no more"):
            LlamaModel.from_pretrained(folder, device, group_size=32, quantiser=quantiser, stream=True)
        assert driver_of(device).memory.free_bytes == 32768


def test_columns_in_another_order_are_streamed(folder, tmp_path):
    """Several layers a job, each with an order of its own."""
    rng     = np.random.default_rng(0)
    weights = Weights({f"model.layers.0.self_attn.{part}_proj.weight": rng.normal(size=(24, 64)).astype(np.float32)
                       for part in "qkv"})
    matrices = [mixpe.quantize(weights[name], 32) for name in weights]
    orders   = [rng.permutation(64), None, rng.permutation(64)]
    x = rng.normal(size=(3, 64)).astype(np.float32)
    with mixpe.open("reference") as device:
        expected = [device.load(matrix)(x if order is None else np.ascontiguousarray(x[:, order]))
                    for matrix, order in zip(matrices, orders, strict=True)]
        free   = driver_of(device).memory.free_bytes
        stream = Stream(device, Residence(("a",), 704, 3000), "a8")
        job    = stream.layers(list(zip(matrices, orders, strict=True)))
        assert job(x).tobytes() == np.concatenate(expected, axis=1).tobytes()
        assert len(job._pieces) == 6 and driver_of(device).memory.free_bytes == free - 704
        stream.close()
        assert driver_of(device).memory.free_bytes == free


@pytest.mark.parametrize("form", list(Form))
@pytest.mark.parametrize("planes", [1, 2])
def test_channels_of_a_region(form, planes):
    """They fit, and eight more would not."""
    config = Config(minima=True, k_max=512)
    plan   = LayerPlan(LayerShape(n=200, k=1024, span=32, planes=planes, form=form), config)
    def size(n):
        part = LayerPlan(LayerShape(n=n, k=1024, span=32, planes=planes, form=form), config)
        return stream_bytes([part])

    least = size(8)
    assert channels_within(plan, least - 64*len(plan.slabs)) == 0
    for room in range(least + 64*len(plan.slabs), size(200) + 4096, 4096 - 64):
        n = channels_within(plan, room)
        assert n % 8 == 0 and 8 <= n <= 200 and size(n) <= room
        assert n == 200 or size(n + 8) > room - 64*len(plan.slabs)


def test_a_region_shares_its_place_out():
    memory = Allocator(4096)
    memory.allocate(64)
    region = Region(memory, 1024)
    assert [region.allocate(512), region.allocate(512)] == [64, 576]
    with pytest.raises(DeviceMemoryError, match="do not fit"):
        region.allocate(64)
    region.free(64)
    assert region.allocate(100) == 64 and memory.free_bytes == 4096 - 64 - 1024
    region.close()
    region.close()
    assert memory.free_bytes == 4096 - 64
    with pytest.raises(DeviceMemoryError):
        Region(memory, 8192)


def test_the_command(packaged, capsys):
    url = f"reference?mem_bytes={PACKAGED}"
    arguments = ["generate", "--device", url, "--prompt", PROMPT.decode(), "--tokens", "6"]
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith("mixpe: error: the model needs") and error.count("\n") == 1
    assert main([*arguments, "--stream", "--json"]) == 0
    printed = capsys.readouterr()
    assert json.loads(printed.out)["text"].encode() == packaged[1]
    assert "mixpe: note:" in printed.err and "are sent for every token" in printed.err


def test_a_checkpoint_of_matrices_is_planned_as_it_is_loaded(folder, tmp_path):
    """Planned bytes are those that the device then has, for floats and for what is quantised already."""
    assert main(["quantize", str(folder), str(tmp_path/"out"), "--exclude", "embed|norm|k_proj|head"]) == 0
    assert safetensors.mapped(tmp_path/"out"/"model.safetensors")
    for path, rounding in ((folder, Rounding(8, 64)), (tmp_path/"out", Rounding(4, 32))):
        with mixpe.open("reference") as device:
            with LlamaModel.from_pretrained(path, device, bits=rounding.bits, group_size=rounding.group_size) as model:
                planned = plans_of(path, device.config, True, rounding)
                memory = driver_of(device).memory
                assert sum(map(stream_bytes, planned.values())) == memory.total_bytes - memory.free_bytes
                assert sum(map(len, planned.values())) == len(model._loader.layers)


@pytest.mark.parametrize("minima", [True, False])
def test_forms_are_planned_as_they_are_loaded(minima):
    """Jobs of one type of block and of several, on a device with minima and on one without."""
    rng  = np.random.default_rng(0)
    kind = {each.name: each for each in TYPES.values()}

    def tensor(name, n):
        data = rng.integers(0, 60, (n, 256//kind[name].weights*kind[name].nbytes), np.uint8)
        return block_tensor(name, kind[name], data, (n, 256))

    jobs = {"layers.0.qkv": [tensor("Q4_1", 24), tensor("Q4_1", 12), tensor("Q4_K", 12)],
            "layers.0.o": [tensor("Q5_0", 20)], "layers.0.gate_up": [tensor("Q4_K", 16), tensor("Q6_K", 16)],
            "layers.0.down": [tensor("Q5_K", 9)], "lm_head": [tensor("Q8_0", 40)]}
    with mixpe.open(f"reference?minima={int(minima)}") as device:
        planned = job_plans(outline(jobs), Rounding(4, 128), device.config, False)
        loader  = DeviceLoader(device)
        for name, parts in jobs.items():
            before = driver_of(device).memory.free_bytes
            loader.load(name, parts)
            assert stream_bytes(planned[name]) == before - driver_of(device).memory.free_bytes, name
        assert [plan.form for job in planned.values() for plan in job] == [layer.plan.form for layer in loader.layers]
        loader.close()
