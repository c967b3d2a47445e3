# SPDX-License-Identifier: BSD-2-Clause
"""Models of llama2.c in its three versions, and what tells them from other files."""

import struct

import numpy as np
import pytest

from mixpe.errors import ModelError
from mixpe.formats.convert import exact_matrix, rounded_matrix
from mixpe.formats.llama2c import read_llama2c
from mixpe.formats.open import open_checkpoint


def same(found, exact):
    assert list(found.tensors) == list(exact)
    for name, values in exact.items():
        assert found.tensors[name].dequantize().tobytes() == values.tobytes(), name


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("version", [0, 1, 2])
def test_every_tensor_is_the_one_that_was_written(tmp_path, small, version, tied):
    architecture = small.architecture(tie_word_embeddings=tied)
    exact = small.write_llama2c(tmp_path/"model.bin", architecture, small.weights(architecture), version, 64)
    (tmp_path/"tokenizer.bin").write_bytes(b"")
    found = open_checkpoint(tmp_path/"model.bin")
    same(found, exact)
    assert found.layout == "llama2.c" and found.tokenizer.files == {"tokenizer.bin": tmp_path/"tokenizer.bin"}
    assert found.generation.bos_token_id == 1 and found.generation.eos_token_ids == (2,)
    for name in small.sizes:
        assert getattr(found.architecture, name) == getattr(architecture, name)
    assert found.architecture.tie_word_embeddings is tied and found.architecture.rms_norm_eps == 1e-5


def test_groups_that_cross_rows(tmp_path, small):
    """Rows of 96 in groups of 64: the device has them as groups of 32."""
    architecture = small.architecture()
    exact  = small.write_llama2c(tmp_path/"x", architecture, small.weights(architecture), 2, 64)
    tensor = read_llama2c(tmp_path/"x").tensors["model.layers.1.mlp.down_proj.weight"]
    assert tensor.shape == (64, 96) and tensor.group_size == 32
    matrix, decibels = rounded_matrix(tensor)
    assert matrix.group_size == 32 and decibels > 70
    assert np.abs(matrix.dequantize() - exact[tensor.name]).max() < 2e-4
    for rows in (slice(5, 9), np.array([63, 0, 7])):
        assert tensor.dequantize(rows).tobytes() == exact[tensor.name][rows].tobytes()


def test_groups_that_no_device_has(tmp_path, small):
    architecture = small.architecture()
    exact = small.write_llama2c(tmp_path/"x", architecture, small.weights(architecture), 2, 16)
    found = read_llama2c(tmp_path/"x")
    same(found, exact)
    with pytest.raises(ModelError, match="groups of 16"):
        exact_matrix(found.tensors["lm_head.weight"])


@pytest.mark.parametrize("version", [0, 1, 2])
def test_cuts_and_lies(tmp_path, small, version):
    architecture = small.architecture()
    path = tmp_path/"x"
    small.write_llama2c(path, architecture, small.weights(architecture), version, 32)
    whole = path.read_bytes()
    for size in [*range(0, 300, 7), 1000, len(whole)//2, len(whole) - 1]:
        path.write_bytes(whole[:size])
        with pytest.raises(ModelError):
            open_checkpoint(path)
    path.write_bytes(whole + b"\0")
    with pytest.raises(ModelError, match="1 bytes behind|no model"):
        open_checkpoint(path)
    begin = 0 if version == 0 else 8
    for field in range(7):
        for value in (0, -1, 1, 3, 2**31 - 1, -2**31):
            if version and field == 6 and value in (1, 3):
                continue  # nothing else in these versions depends on the context
            path.write_bytes(whole[:begin + 4*field] + struct.pack("<i", value) + whole[begin + 4*field + 4:])
            with pytest.raises(ModelError) as caught:
                open_checkpoint(path)
            assert len(str(caught.value)) < 400


def test_headers(tmp_path, small):
    architecture = small.architecture()
    path = tmp_path/"x"
    small.write_llama2c(path, architecture, small.weights(architecture), 2, 32)
    whole = path.read_bytes()
    for place, value, message in ((4, struct.pack("<i", 3), "version 3"), (36, b"\7", "says 7 about its head"),
            (37, struct.pack("<i", 0), "groups of 0"), (37, struct.pack("<i", 7), "do not divide"),
            (36, b"\1", "bytes behind")):
        path.write_bytes(whole[:place] + value + whole[place + len(value):])
        with pytest.raises(ModelError, match=message):
            open_checkpoint(path)
    path.write_bytes(whole[:-4] + np.float32([np.nan]).tobytes())
    with pytest.raises(ModelError, match="not finite"):
        open_checkpoint(path).tensors["lm_head.weight"].dequantize()
