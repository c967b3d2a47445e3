# SPDX-License-Identifier: BSD-2-Clause
"""What `mixpe quantize` leaves: models that load, with what they had; and what it refuses."""

import json
import os
import tracemalloc
from contextlib import nullcontext

import numpy as np
import pytest

import mixpe
from mixpe.cli.main import main
from mixpe.errors import ModelError
from mixpe.formats import safetensors
from mixpe.formats.hf_config import architecture_of, config_of
from mixpe.formats.open import open_checkpoint
from mixpe.formats.rope import Rope
from mixpe.formats.tensor import FloatTensor
from mixpe.lm import LlamaModel

PAIRS = (("add_tokenizer_model", "llama"), ("add_token_list", [f"<{i}>" for i in range(48)]),
         ("add_token_scores", [0.0]*48), ("add_token_types", [2] + [1]*47), ("add_eos_token_id", 2),
         ("add_bos_token_id", 1), ("add_unk_token_id", 0))


def source(small, kind, folder):
    """A small model of some kind; returns its path."""
    folder.mkdir()
    shape = small.architecture(**(small.wide if kind.endswith("_K") else {}), tie_word_embeddings=True)
    if kind in ("gptq", "gptq, order of its own"):
        small.write_quantised(folder, "gptq", small.architecture(), act_order=kind != "gptq")
    elif kind == "llama2.c":
        small.write_llama2c(folder/"m.bin", shape, small.weights(shape), 1)
        (folder/"tokenizer.bin").write_bytes(b"1234")
        return folder/"m.bin"
    elif kind == "F16":
        small.write_folder(folder, small.config(shape), {name: values.astype(np.float16)
            for name, values in small.weights(shape).items()})
        (folder/"generation_config.json").write_text('{"eos_token_id": 7}')
    else:
        small.write_gguf(folder/"m.gguf", shape, small.weights(shape),
            lambda name: "Q8_0" if "embed" in name else kind, pairs=PAIRS)
        return folder/"m.gguf"
    return folder


@pytest.mark.parametrize("kind", ["F16", "gptq", "gptq, order of its own", "Q4_0", "Q4_1", "Q5_1",
    "Q4_K", "Q5_K", "Q6_K", "F32", "llama2.c"])
def test_what_is_written_is_a_model(small, kind, tmp_path, capsys):
    path = source(small, kind, tmp_path/"in")
    assert main(["quantize", str(path), str(tmp_path/"out"), "--group-size", "32"]) == 0
    assert f"matrices in {tmp_path/'out'}" in capsys.readouterr().out
    before, after = open_checkpoint(path), open_checkpoint(tmp_path/"out")
    assert after.layout == "mixpe" and after.tensors.keys() == before.tensors.keys()
    for name, tensor in before.tensors.items():
        found = after.tensors[name]
        if not isinstance(tensor, FloatTensor) or "layers" in name and tensor.shape[1:]:
            assert not isinstance(found, FloatTensor)
        elif name != "lm_head.weight":
            assert found.layout == tensor.layout and found.stored(slice(None)).tobytes() == tensor.stored(
                slice(None)).tobytes()
        if not isinstance(tensor, FloatTensor) and kind != "Q6_K":
            assert found.dequantize().tobytes() == tensor.dequantize().tobytes()
    assert after.generation.eos_token_ids == before.generation.eos_token_ids
    tokens = [1, 5, 9, 30]
    options = {"group_size": 32, "activations": "a16"}
    with mixpe.open("reference") as device:
        with LlamaModel.from_pretrained(tmp_path/"out", device, **options) as model:
            found = model.logits(tokens)
            assert not model.notes
        with pytest.warns(UserWarning, match="requantised") if kind == "Q6_K" else nullcontext():
            model = LlamaModel.from_pretrained(path, device, **options)
        assert found.tobytes() == model.logits(tokens).tobytes()


def test_bf16_stays(tmp_path, small):
    """Two bytes a number, as they are, metadata too; a matrix is that of the widened values."""
    values = np.arange(64*32, dtype=np.uint16).reshape(64, 32) + 0x3F00
    with safetensors.Writer(tmp_path/"in.safetensors", {"a.weight": ("BF16", (64, 32)), "norm": ("BF16", (8,)),
            "one": ("F32", ()), "none": ("I64", (0, 3))}, {"format": "pt"}) as file:
        file.write("a.weight", values)
        file.write("norm", values[0, :8])
        file.write("one", np.array(3, np.float32))
    assert main(["quantize", str(tmp_path/"in.safetensors"), str(tmp_path/"out.safetensors"), "--bits", "8"]) == 0
    found = safetensors.mapped(tmp_path/"out.safetensors")
    assert found["norm"][0] == "BF16" and (found["norm"][1] == values[0, :8]).all()
    assert found["one"][1] == 3 and found["none"][1].shape == (0, 3)
    wide = (values.astype(np.uint32) << 16).view(np.float32)
    assert (found["a.weight.packed"][1] == mixpe.quantize(wide, 128, bits=8).packed).all()
    assert safetensors.read_header(tmp_path/"out.safetensors")[1]["format"] == "pt"


def test_the_tokenizer_of_a_gguf_file_goes_along(small, tmp_path):
    path = source(small, "Q4_0", tmp_path/"in")
    assert main(["quantize", str(path), str(tmp_path/"out")]) == 0
    before, after = LlamaModel.from_pretrained(path).tokenizer, LlamaModel.from_pretrained(tmp_path/"out").tokenizer
    assert after.encode("<3><4>") == before.encode("<3><4>") and after.eos_ids == before.eos_ids == {2}
    assert main(["quantize", str(source(small, "llama2.c", tmp_path/"c")), str(tmp_path/"out2")]) == 0
    assert (tmp_path/"out2"/"tokenizer.bin").read_bytes() == b"1234"
    assert main(["quantize", str(source(small, "F16", tmp_path/"f")), str(tmp_path/"out3")]) == 0
    assert open_checkpoint(tmp_path/"out3").generation.eos_token_ids == (2, 7)


def test_a_file_with_what_belongs_to_it(small, tmp_path, capsys):
    path = source(small, "F16", tmp_path/"in")
    (tmp_path/"there").mkdir()
    target = tmp_path/"there"/"small.safetensors"
    for _ in range(2):  # again: its own files may be there
        assert main(["quantize", str(path), str(target)]) == 0
    assert open_checkpoint(target).layout == "mixpe"
    assert sorted(file.name for file in (tmp_path/"there").iterdir()) == ["config.json", "generation_config.json",
                                                                          "small.safetensors"]
    (tmp_path/"there"/"config.json").write_text("{}")
    target.unlink()
    assert main(["quantize", str(path), str(target)]) == 2
    assert "config.json is there already and belongs to another model" in capsys.readouterr().err
    assert not target.exists() and (tmp_path/"there"/"config.json").read_text() == "{}"


def test_targets_that_are_refused(small, tmp_path, capsys):
    path = source(small, "F16", tmp_path/"in")
    (tmp_path/"full").mkdir()
    (tmp_path/"full"/"mine").write_text("x")
    (tmp_path/"file").write_text("x")
    (tmp_path/"link").symlink_to(tmp_path/"nowhere")
    (tmp_path/"link.safetensors").symlink_to(tmp_path/"file")
    (tmp_path/"folder.safetensors").mkdir()
    os.mkfifo(tmp_path/"pipe")
    for target, text in (("full", "with something in it"), ("file", "is a file"), ("link", "is a link"),
            ("link.safetensors", "is a link"), ("folder.safetensors", "is a folder"), ("pipe", "device or a pipe"),
            ("none/out", "is no folder"), ("/dev/null", "device or a pipe"), ("/dev/none/out", "is no folder")):
        assert main(["quantize", str(path), str(tmp_path/target)]) == 2
        error = capsys.readouterr().err
        assert text in error and error.count("\n") == 1
    assert (tmp_path/"file").read_text() == "x" and not (tmp_path/"nowhere").exists()
    (tmp_path/"empty").mkdir()
    assert main(["quantize", str(path), str(tmp_path/"empty")]) == 0


def test_nothing_is_left_of_what_failed(small, tmp_path, capsys):
    """Weights that are not finite are found while writing."""
    shape   = small.architecture()
    weights = small.weights(shape)
    weights["model.layers.1.mlp.down_proj.weight"][3, 3] = np.inf
    (tmp_path/"in").mkdir()
    small.write_folder(tmp_path/"in", small.config(shape), weights)
    for target in ("out", "out.safetensors"):
        assert main(["quantize", str(tmp_path/"in"), str(tmp_path/target)]) == 2
        assert "not finite" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


@pytest.mark.parametrize("changes", [
    {}, {"tie_word_embeddings": True}, {"family": "qwen2"}, {"family": "qwen3"}, {"sliding_window": 9},
    {"family": "qwen3", "sliding_window": 9, "sliding_layers": (True, False)}, {"qkv_bias": True},
    {"qkv_bias": True, "o_bias": True, "mlp_bias": True},
    {"rope": Rope(theta=5e5, kind="llama3", factor=8.0, trained_context=32)},
    {"rope": Rope(kind="linear", factor=3.0)},
    {"rope": Rope(kind="yarn", factor=4.0, trained_context=16, magnitude=1.25, beta_fast=20.0, whole_pairs=False)},
    {"rope": Rope(divisors=np.linspace(1, 8, 8).astype(np.float32))},
])
def test_a_config_json_says_what_the_architecture_is(small, changes):
    there = small.architecture(**changes)
    found = architecture_of(json.loads(json.dumps(config_of(there))), not there.tie_word_embeddings)
    assert found.tensor_shapes() == there.tensor_shapes() and found.window(1) == there.window(1)
    assert (found.rope.frequencies(16) == there.rope.frequencies(16)).all()
    assert found.rope.magnitude == there.rope.magnitude


def test_an_architecture_without_a_config_json(small):
    with pytest.raises(ModelError, match="has no config.json"):
        config_of(small.architecture("qwen3", qkv_bias=True))


@pytest.mark.parametrize("value", [3, [0.0], ["1"], [float("inf")]])
def test_divisors_that_are_none(small, value):
    config = config_of(small.architecture(rope=Rope(divisors=np.ones(8, np.float32))))
    config["rope_scaling"]["frequency_divisors"] = value
    with pytest.raises(ModelError, match="divisor"):
        architecture_of(config, True)


@pytest.mark.parametrize("order", [[0]*64, list(range(1, 65)), list(range(63))])
def test_an_order_of_columns_that_is_none(small, tmp_path, order):
    path = source(small, "gptq, order of its own", tmp_path/"in")
    assert main(["quantize", str(path), str(tmp_path/"out")]) == 0
    stored = dict(safetensors.load(tmp_path/"out"/"model.safetensors"))
    metadata = safetensors.read_header(tmp_path/"out"/"model.safetensors")[1]
    stored["model.layers.0.self_attn.q_proj.weight.order"] = np.array(order, np.int32)
    safetensors.save(tmp_path/"out"/"model.safetensors", stored, metadata)
    with pytest.raises(ModelError, match="q_proj.weight.order must"):
        open_checkpoint(tmp_path/"out")


def test_memory_is_that_of_one_tensor(tmp_path):
    """Eight tensors of 8 MB, as F16: at most twice one of them, with all temporaries."""
    rng   = np.random.default_rng(0)
    large = rng.standard_normal((2048, 2048)).astype(np.float16)
    tensors = {f"{i}.{kind}": large for i in range(4) for kind in ("weight", "embed")}
    safetensors.save(tmp_path/"in.safetensors", tensors)
    tracemalloc.start()
    assert main(["quantize", str(tmp_path/"in.safetensors"), str(tmp_path/"out.safetensors"), "--bits", "8"]) == 0
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2*large.nbytes
