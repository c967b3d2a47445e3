# SPDX-License-Identifier: BSD-2-Clause
"""The safetensors reader: what it writes it reads, what others write it reads, and damage is refused."""

import json

import numpy as np
import pytest

from mixpe.errors import ModelError
from mixpe.formats import safetensors


def raw(header, data=b"", length=None):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return (len(text) if length is None else length).to_bytes(8, "little") + text + data


def entry(dtype="F32", shape=(2,), offsets=(0, 8)):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}


@pytest.mark.parametrize("dtype", ["f8", "f4", "f2", "i8", "i4", "i2", "i1", "u8", "u4", "u2", "u1", "?"])
def test_written_arrays_are_read_back(tmp_path, dtype):
    matrix = np.arange(6).reshape(2, 3).astype(dtype)
    arrays = {"matrix": matrix, "scalar": np.array(1, dtype), "none": np.zeros((0, 4), dtype)}
    safetensors.save(tmp_path / "x.safetensors", arrays, {"format": "np"})
    found = safetensors.load(tmp_path / "x.safetensors")
    assert list(found) == list(arrays)
    for name, array in arrays.items():
        assert found[name].dtype == array.dtype and found[name].shape == array.shape
        assert found[name].tobytes() == array.tobytes()
    assert safetensors.read_header(tmp_path / "x.safetensors")[1] == {"format": "np"}


def test_agrees_with_the_formats_own_package(tmp_path):
    theirs = pytest.importorskip("safetensors.numpy")
    arrays = {"b.weight": np.random.default_rng(0).normal(size=(3, 5)).astype(np.float16), "a": np.arange(4)}
    theirs.save_file(arrays, tmp_path / "theirs.safetensors")
    safetensors.save(tmp_path / "ours.safetensors", arrays)
    for found in (safetensors.load(tmp_path / "theirs.safetensors"), theirs.load_file(tmp_path / "ours.safetensors")):
        assert {name: array.tobytes() for name, array in found.items()} == {
            name: array.tobytes() for name, array in arrays.items()}


def test_bfloat16_becomes_float32(tmp_path):
    values = np.array([1.0, -2.5, 3.140625], np.float32)
    data = (values.view(np.uint32) >> 16).astype("<u2").tobytes()
    (tmp_path / "x").write_bytes(raw({"w": entry("BF16", (3,), (0, 6))}, data))
    assert safetensors.load(tmp_path / "x")["w"].tolist() == values.tolist()


def test_arrays_cannot_be_written_to(tmp_path):
    safetensors.save(tmp_path / "x", {"a": np.zeros(3, np.float32)})
    with pytest.raises(ValueError, match="read-only"):
        safetensors.load(tmp_path / "x")["a"][0] = 1


@pytest.mark.parametrize("content, message", [
    (b"", "must begin with its header's length"),
    (b"\x08\0\0", "must begin with its header's length"),
    (b"\xff" * 16, "must begin with its header's length"),
    (raw(b"{}", length=100), "cut off: its header has 100 bytes"),
    (raw(b"[1, 2]"), "not a JSON object"),
    (raw(b"{nonsense"), "not a JSON object"),
    (raw(b'{"a": {}, "a": {}}'), "a name occurs twice"),
    (raw({"w": 5}), "must have dtype, shape and two data_offsets"),
    (raw({"w": {"dtype": "F32"}}), "must have dtype, shape and two data_offsets"),
    (raw({"w": entry("F4")}, b"\0" * 8), "the dtype 'F4'"),
    (raw({"w": entry(["F32"])}, b"\0" * 8), "the dtype .'F32'."),
    (raw({"w": entry({"F32": 1})}, b"\0" * 8), "the dtype"),
    (raw({"w": entry("U8", (1,) * 70, (0, 1))}, b"\0"), "70 axes"),
    (raw({"w": entry("U8", (1,) * 1000000, (0, 1))}, b"\0"), "1000000 axes"),
    (raw({"w": entry(shape=(1 << 63, 0), offsets=(0, 0))}), "whole numbers from 0"),
    (raw({"w": entry(shape=(10 ** 400,))}, b"\0" * 8), "whole numbers from 0"),
    (raw({"w": entry(shape=(True,))}, b"\0" * 4), "whole numbers from 0"),
    (raw(b'{"a":' * 100000), "nested too deeply"),
    (raw(b'{"a":[' + b"1" * 5000 + b"]}"), "not a JSON object"),
    (raw({"__metadata__": [1], "w": entry()}, b"\0" * 8), "__metadata__ must be an object of texts"),
    (raw({"__metadata__": {"a": 1}, "w": entry()}, b"\0" * 8), "__metadata__ must be an object of texts"),
    (raw({"w": entry(shape=(-2,))}, b"\0" * 8), "whole numbers from 0"),
    (raw({"w": entry(shape=(2.0,))}, b"\0" * 8), "whole numbers from 0"),
    (raw({"w": entry(offsets=(0, 4))}, b"\0" * 4), "needs 8 bytes, but the header gives it 4"),
    (raw({"w": entry(offsets=(8, 16))}, b"\0" * 16), "begin at 8, those before end at 0"),
    (raw({"v": entry(), "w": entry(offsets=(4, 12))}, b"\0" * 12), "begin at 4, those before end at 8"),
    (raw({"w": entry()}, b"\0" * 7), "cut off: its tensors need 8 bytes, the file has 7"),
    (raw({"w": entry()}, b"\0" * 9), "1 bytes after its last tensor"),
], ids=lambda value: repr(value[:24]))
def test_damaged_files_are_refused(tmp_path, content, message):
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(ModelError, match=message) as caught:
        safetensors.load(tmp_path / "x")
    assert len(str(caught.value)) < 500 and "\n" not in str(caught.value)


def test_every_cut_is_noticed(tmp_path):
    safetensors.save(tmp_path / "whole", {"a": np.arange(3.0), "b": np.ones(2, np.float16)})
    whole = (tmp_path / "whole").read_bytes()
    for size in range(len(whole)):
        (tmp_path / "cut").write_bytes(whole[:size])
        with pytest.raises(ModelError):
            safetensors.load(tmp_path / "cut")


def test_missing_file_and_unknown_dtype(tmp_path):
    with pytest.raises(ModelError, match="cannot be read"):
        safetensors.load(tmp_path / "none")
    with pytest.raises(ModelError, match="complex128"):
        safetensors.save(tmp_path / "x", {"a": np.zeros(2, np.complex128)})
    assert not list(tmp_path.iterdir())
