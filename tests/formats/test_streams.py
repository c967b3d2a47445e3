# SPDX-License-Identifier: BSD-2-Clause
"""Kept weight streams: a second start takes them, gives the same bits, and no damage to them changes a number."""

import os
import warnings

import numpy as np
import pytest

import mixpe
from mixpe.devices.driver import driver_of
from mixpe.devices.streams import LayerStream
from mixpe.errors import DeviceMemoryError, RangeError
from mixpe.formats.open import open_checkpoint
from mixpe.lm import LlamaModel, offload, streamcache
from mixpe.lm.streamfile import StreamFile, StreamWriter
from mixpe.plan.layer import LayerShape
from mixpe_gateware.contract.config import Config

TOKENS = [1, 5, 9, 30]


@pytest.fixture
def kept(tmp_path, monkeypatch):
    """The folder of the files, for models of any size."""
    monkeypatch.setenv("MIXPE_CACHE", str(tmp_path/"cache"))
    monkeypatch.setattr(streamcache, "LEAST_BYTES", 0)
    return tmp_path/"cache"/"streams"


@pytest.fixture
def model_file(small, tmp_path):
    """Types of every form, a requantised one, parts that differ."""
    shape = small.architecture(**small.wide, tie_word_embeddings=True)
    kinds = {"q_proj": "Q4_1", "k_proj": "Q4_1", "v_proj": "Q5_0", "o_proj": "Q4_K", "up_proj": "Q5_K",
             "down_proj": "Q6_K"}
    small.write_gguf(tmp_path/"m.gguf", shape, small.weights(shape),
        lambda name: kinds.get(name.split(".")[-2], "Q8_0"))
    return tmp_path/"m.gguf"


def logits(path, url="reference", **options):
    """Logits of some tokens, and the notes."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with LlamaModel.from_pretrained(path, url, **options) as model:
            return model.logits(TOKENS), model.notes


def test_a_second_start_makes_nothing(model_file, kept, monkeypatch):
    first = logits(model_file)
    assert len(list(kept.iterdir())) == 1 and first[1]
    with monkeypatch.context() as context:
        context.setattr(offload, "stored_matrix", None)  # any call fails
        again = logits(model_file)
    assert again[0].tobytes() == first[0].tobytes() and again[1] == first[1]


def test_columns_in_another_order(small, tmp_path, kept, monkeypatch):
    small.write_quantised(tmp_path/"gptq", "gptq", small.architecture(), act_order=True)
    first = logits(tmp_path/"gptq", bits=8)
    with monkeypatch.context() as context:
        context.setattr(offload, "stored_matrix", None)
        assert logits(tmp_path/"gptq", bits=8)[0].tobytes() == first[0].tobytes()
    assert len(list(kept.iterdir())) == 1
    logits(tmp_path/"gptq", bits=4)  # its head is floats
    assert len(list(kept.iterdir())) == 2


def test_a_layer_is_made_again_where_memory_lost_it(model_file, kept):
    logits(model_file)
    with mixpe.open("reference") as device, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with LlamaModel.from_pretrained(model_file, device) as model:
            first = model.logits(TOKENS)
            for layer in model._loader.layers:
                driver_of(device).write_memory(layer.addrs[0], np.zeros(64, np.uint8))
                driver_of(device).epoch += 1
            assert model.logits(TOKENS).tobytes() == first.tobytes()


@pytest.mark.parametrize("seed", range(40))
def test_damage_changes_no_number(model_file, kept, seed):
    expected = logits(model_file)
    path, = kept.iterdir()
    data = bytearray(path.read_bytes())
    rng  = np.random.default_rng(seed)
    if seed < 10:
        del data[int(rng.integers(0, len(data))):]
    elif seed < 12:
        data = rng.bytes(seed*100)
    else:
        last = len(data) if seed % 2 else 2000
        for place in rng.integers(last - 2000, last, 3):
            data[place] ^= 1 << int(rng.integers(0, 8))
    path.write_bytes(data)
    for _ in range(2):
        found = logits(model_file)
        assert found[0].tobytes() == expected[0].tobytes() and found[1] == expected[1]


def test_names_follow_what_streams_follow_from(model_file, kept, monkeypatch):
    checkpoint = open_checkpoint(model_file)
    names = [streamcache.key(checkpoint, Config(minima=True), [128, 4, "a16"])]
    assert names[0] == streamcache.key(checkpoint, Config(minima=True), [128, 4, "a16"])
    names.append(streamcache.key(checkpoint, Config(), [128, 4, "a16"]))
    names.append(streamcache.key(checkpoint, Config(minima=True, port_bits=64), [128, 4, "a16"]))
    names.append(streamcache.key(checkpoint, Config(minima=True), [128, 8, "a16"]))
    monkeypatch.setattr(streamcache, "digest", lambda parts: 0)
    names.append(streamcache.key(checkpoint, Config(minima=True), [128, 4, "a16"]))
    monkeypatch.undo()
    status = os.stat(model_file)
    os.utime(model_file, ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    names.append(streamcache.key(checkpoint, Config(minima=True), [128, 4, "a16"]))
    data = bytearray(model_file.read_bytes())
    data[-1] ^= 1
    model_file.with_name("changed.gguf").write_bytes(data)
    os.utime(model_file.with_name("changed.gguf"), ns=(status.st_atime_ns, status.st_mtime_ns))
    changed = streamcache.identity(model_file.with_name("changed.gguf"))
    assert changed[0][1:3] == [status.st_size, status.st_mtime_ns]
    assert changed[0][3] != streamcache.identity(model_file)[0][3]
    assert len(set(names)) == len(names)


def test_the_least_used_file_goes(kept):
    kept.mkdir(parents=True)
    for index in range(4):
        (kept/f"{index}.streams").write_bytes(bytes(100))
        os.utime(kept/f"{index}.streams", ns=(0, 10**9*(index if index else 9)))
    streamcache.make_room(kept/"1.streams", 250)
    assert sorted(path.name for path in kept.iterdir()) == ["0.streams", "1.streams"]
    streamcache.make_room(kept/"1.streams", 0)  # never the one that was just made
    assert [path.name for path in kept.iterdir()] == ["1.streams"]


def test_nothing_is_kept(model_file, kept, monkeypatch):
    monkeypatch.setenv("MIXPE_STREAMS_MB", "0")
    logits(model_file)
    assert not kept.exists()
    monkeypatch.delenv("MIXPE_STREAMS_MB")
    monkeypatch.setattr(streamcache, "LIMIT_BYTES", 10_000)  # the file would be longer
    logits(model_file)
    monkeypatch.setattr(streamcache, "LIMIT_BYTES", 1 << 30)
    with mixpe.open("reference?mem_bytes=0x40000") as device, pytest.raises(DeviceMemoryError):
        LlamaModel.from_pretrained(model_file, device)  # not all of it is there
    logits(model_file, "reference?rows=1&scalers=1")    # needs scales on the host
    logits(model_file, quantiser=lambda name, weight: mixpe.quantize(weight, 32))
    assert not list(kept.iterdir())
    monkeypatch.setattr(streamcache, "LEAST_BYTES", 1 << 24)
    logits(model_file)
    assert not list(kept.iterdir())


def test_a_folder_that_cannot_be_written(model_file, tmp_path, kept, monkeypatch):
    expected = logits(model_file)
    (tmp_path/"file").write_text("")
    monkeypatch.setenv("MIXPE_CACHE", str(tmp_path/"file"))
    assert logits(model_file)[0].tobytes() == expected[0].tobytes()


def test_a_file_without_jobs_is_none(tmp_path):
    StreamWriter(tmp_path/"a.streams", 1 << 20).finish()
    assert not list(tmp_path.iterdir())
    assert StreamFile(tmp_path/"a.streams").is_empty and StreamFile(tmp_path/"a.streams").job("x") is None


def test_streams_of_another_layer_are_refused():
    matrix = mixpe.quantize(np.ones((8, 64), np.float32), 32)
    with mixpe.open("reference") as device:
        pieces = []
        device.load(matrix, keep=pieces.append)
        stream = np.concatenate(pieces)
        x = np.ones((1, 64), np.float32)
        layer = device.load(LayerStream(LayerShape.of(matrix), stream), remake=lambda: matrix)
        assert layer(x).tobytes() == device.load(matrix)(x).tobytes()
        for options in ({"remake": None}, {"remake": lambda: matrix, "fused": False}):
            with pytest.raises(RangeError, match="load its matrix"):
                device.load(LayerStream(LayerShape.of(matrix), stream), **options)
        with pytest.raises(RangeError, match="load its matrix"):
            device.load(LayerStream(LayerShape.of(matrix), stream[:-16]), remake=lambda: matrix)
