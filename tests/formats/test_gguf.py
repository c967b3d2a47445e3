# SPDX-License-Identifier: BSD-2-Clause
"""The GGUF container: gguf-py's files are read, and every way in which a file can lie is refused with one line."""

import os
import resource
import struct

import numpy as np
import pytest

from mixpe.errors import ModelError
from mixpe.formats.gguf import GgufFile

U8, I8, U16, I16, U32, I32, F32, BOOL, STRING, ARRAY, U64, I64, F64 = range(13)


def u32(value):
    return struct.pack("<I", value)


def u64(value):
    return struct.pack("<Q", value)


def string(text):
    return u64(len(text)) + text.encode()


@pytest.fixture
def opened(tmp_path):
    def call(content):
        (tmp_path/"x.gguf").write_bytes(content)
        return GgufFile(tmp_path/"x.gguf")
    return call


def test_reads_what_gguf_py_writes(tmp_path):
    gguf   = pytest.importorskip("gguf")
    writer = gguf.GGUFWriter(tmp_path/"x.gguf", "llama")
    writer.add_custom_alignment(128)
    written = {}
    for kind, value in (("uint8", 200), ("int8", -3), ("uint16", 60000), ("int16", -9), ("uint32", 1 << 31),
            ("int32", -5), ("float32", 0.5), ("bool", True), ("string", "häß 日本"), ("uint64", 1 << 63), ("int64", -7),
            ("float64", 1e300)):
        getattr(writer, f"add_{kind}")(f"test.{kind}", value)
        written[f"test.{kind}"] = value
    writer.add_array("test.strings", ["", "a", "ü" * 300])
    writer.add_array("test.numbers", [1, -2, 3])
    writer.add_array("test.floats", [0.5, 2.0])
    writer.add_array("test.bools", [True, False])
    matrix = np.arange(24, dtype=np.float32).reshape(4, 6)
    for name, array in (("a", matrix), ("b", np.ones(3, np.float16)), ("c", np.zeros((2, 3, 4), np.float32))):
        writer.add_tensor(name, array)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()

    file = GgufFile(tmp_path/"x.gguf")
    assert {key: file.pairs[key] for key in written} == written
    assert file.pairs["general.alignment"] == 128 and file.pairs["general.architecture"] == "llama"
    assert file.pairs["test.strings"] == ["", "a", "ü" * 300]
    assert file.pairs["test.numbers"].tolist() == [1, -2, 3]
    assert file.pairs["test.floats"].tolist() == [0.5, 2.0]
    assert file.pairs["test.bools"].tolist() == [True, False] and file.pairs["test.bools"].dtype == bool
    assert set(file.pairs) >= set(written) and len(file.pairs) == len(list(file.pairs))
    assert {name: info.shape for name, info in file.tensors.items()} == {"a": (4, 6), "b": (3,), "c": (2, 3, 4)}
    assert file.bytes_of(file.tensors["a"]).tobytes() == matrix.tobytes()
    assert file.tensors["b"].begin % 128 == 0
    with pytest.raises(KeyError):
        file.pairs["test.none"]
    with pytest.raises(ValueError, match="read-only"):
        file.bytes_of(file.tensors["a"])[0] = 1


def test_versions_and_alignment(opened, small):
    assert opened(small.raw_gguf(version=2)).tensors == {}
    tensors = [("a", [3], 0, 0), ("b", [1], 0, 16)]
    pairs   = [("general.alignment", U32, u32(16))]
    file    = opened(small.raw_gguf(pairs, tensors, bytes(range(20)), align=16))
    assert file.bytes_of(file.tensors["b"]).tolist() == [16, 17, 18, 19]
    assert opened(small.raw_gguf(pairs, tensors, bytes(32), align=16)).tensors == file.tensors  # the last one padded
    assert opened(small.raw_gguf([("x", ARRAY, u32(STRING) + u64(0))])).pairs["x"] == []
    assert opened(small.raw_gguf([("x", ARRAY, u32(I32) + u64(0))])).pairs["x"].size == 0


HUGE = 1 << 62
BAD  = {
    "nothing":            (b"", "is no GGUF file"),
    "another file":       (b"PK\3\4" + bytes(40), "is no GGUF file"),
    "no header":          (b"GGUF\3\0", "is cut off"),
    "version 1":          (dict(version=1), "GGUF version 1"),
    "version 4":          (dict(version=4), "GGUF version 4"),
    "big-endian":         (dict(order=">"), "big-endian"),
    "many tensors":       (dict(counts=(HUGE, 0)), "tensors, but has only"),
    "negative tensors":   (dict(counts=(1 << 63, 0)), "tensors, but has only"),
    "many pairs":         (dict(counts=(0, HUGE)), "pairs, but has only"),
    "long key":           (b"GGUF" + u32(3) + u64(0) + u64(1) + u64(1 << 63) + bytes(64), "at most 65535"),
    "key beyond":         (b"GGUF" + u32(3) + u64(0) + u64(1) + u64(4000) + bytes(64), "needs 4000 bytes"),
    "key no UTF-8":       (dict(pairs=[(b"\xff", U8, b"\0")]), "not UTF-8"),
    "key twice":          (dict(pairs=[("a", U8, b"\0"), ("a", U8, b"\0")]), "twice"),
    "unknown type":       (dict(pairs=[("a", 13, b"\0")]), "has the type 13"),
    "long string":        (dict(pairs=[("a", STRING, u64(1 << 63))]), "is cut off"),
    "long array":         (dict(pairs=[("a", ARRAY, u32(U8) + u64(1 << 63))]), "elements of 'a'"),
    "array of arrays":    (dict(pairs=[("a", ARRAY, (u32(ARRAY) + u64(1)) * 4000)]), "array of arrays"),
    "array of unknown":   (dict(pairs=[("a", ARRAY, u32(99) + u64(1))]), "has the type 99"),
    "array's string":     (dict(pairs=[("a", ARRAY, u32(STRING) + u64(2) + string("x") + u64(HUGE))]), "is cut off"),
    "alignment 0":        (dict(pairs=[("general.alignment", U32, u32(0))]), "power of two, not 0"),
    "alignment 24":       (dict(pairs=[("general.alignment", U32, u32(24))]), "power of two, not 24"),
    "alignment text":     (dict(pairs=[("general.alignment", STRING, string("32"))]), "power of two, not '32'"),
    "alignment true":     (dict(pairs=[("general.alignment", BOOL, b"\1")]), "power of two, not True"),
    "no axis":            (dict(tensors=[("a", [], 0, 0)]), "has 0 axes"),
    "five axes":          (dict(tensors=[("a", [1] * 5, 0, 0)], data=bytes(4)), "has 5 axes"),
    "million axes":       (b"GGUF" + u32(3) + u64(1) + u64(0) + string("a") + u32(1000000) + bytes(64), "1000000 axes"),
    "axis of 0":          (dict(tensors=[("a", [0], 0, 0)]), "at least 1"),
    "negative axis":      (dict(tensors=[("a", [-4], 0, 0)], data=bytes(4)), "at least 1"),
    "product wraps":      (dict(tensors=[("a", [1 << 32, 1 << 32], 0, 0)], data=bytes(4)), "needs bytes up to"),
    "product wraps to 4": (dict(tensors=[("a", [(1 << 62) + 1, 4], 0, 0)], data=bytes(16)), "needs bytes up to"),
    "unread type":        (dict(tensors=[("a", [32], 20, 0)], data=bytes(18)), "has the type IQ4_NL"),
    "unknown weights":    (dict(tensors=[("a", [32], 777, 0)], data=bytes(18)), "has the type 777"),
    "half a block":       (dict(tensors=[("a", [48], 2, 0)], data=bytes(36)), "multiples of 32"),
    "name twice":         (dict(tensors=[("a", [8], 0, 0), ("a", [8], 0, 32)], data=bytes(64)), "two tensors"),
    "overlap":            (dict(tensors=[("a", [16], 0, 0), ("b", [16], 0, 32)], data=bytes(128)), "must begin at 64"),
    "hole":               (dict(tensors=[("a", [8], 0, 0), ("b", [8], 0, 64)], data=bytes(128)), "must begin at 32"),
    "unaligned":          (dict(tensors=[("a", [2], 0, 0), ("b", [2], 0, 8)], data=bytes(16)), "must begin at 32"),
    "first not at 0":     (dict(tensors=[("a", [8], 0, 32)], data=bytes(64)), "must begin at 0"),
    "offset beyond":      (dict(tensors=[("a", [8], 0, (1 << 64) - 32)], data=bytes(64)), "must begin at 0"),
    "data cut off":       (dict(tensors=[("a", [9], 0, 0)], data=bytes(35)), "is cut off"),
    "no data":            (dict(tensors=[("a", [9], 0, 0)]), "is cut off"),
    "bytes behind":       (dict(tensors=[("a", [8], 0, 0)], data=bytes(33)), "1 bytes behind"),
}


@pytest.mark.parametrize("case", BAD)
def test_damage_is_refused(opened, small, case):
    content, message = BAD[case]
    content = content if isinstance(content, bytes) else small.raw_gguf(**content)
    with pytest.raises(ModelError, match=message) as caught:
        opened(content)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 400


def test_values_are_checked_when_they_are_asked_for(opened, small):
    file = opened(small.raw_gguf([("a", STRING, u64(1) + b"\xff"), ("b", BOOL, b"\2"), ("c", U8, b"\5")]))
    with pytest.raises(ModelError, match="not UTF-8"):
        file.pairs["a"]
    with pytest.raises(ModelError, match="true .1. or false"):
        file.pairs["b"]
    assert file.pairs["c"] == 5


def test_every_cut_is_noticed(tmp_path, small):
    pairs = [("general.alignment", U32, u32(16)), ("x", ARRAY, u32(STRING) + u64(2) + string("ab") + string(""))]
    whole = small.raw_gguf(pairs, [("a", [4], 0, 0), ("b", [32], 2, 16)], bytes(34), align=16)
    read_cut(tmp_path, whole)
    for size in range(len(whole)):
        with pytest.raises(ModelError):
            read_cut(tmp_path, whole[:size])


def read_cut(folder, content):
    (folder/"cut.gguf").write_bytes(content)
    return GgufFile(folder/"cut.gguf")


def test_what_is_no_file_is_never_opened(tmp_path):
    os.mkfifo(tmp_path/"pipe")
    for path, message in ((tmp_path/"none", "no such file"), (tmp_path, "not a plain file"),
            (tmp_path/"pipe", "not a plain file"), ("/dev/zero", "not a plain file"), ("a\0b", "cannot be read"),
            (tmp_path/("x" * 5000), "cannot be read")):
        with pytest.raises(ModelError, match=message):
            GgufFile(path)


def test_a_claim_allocates_nothing(opened, small):
    """A header that says 2^62 of everything costs no memory."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for case in ("many tensors", "many pairs", "long array", "product wraps", "million axes"):
        content = BAD[case][0]
        with pytest.raises(ModelError):
            opened(content if isinstance(content, bytes) else small.raw_gguf(**content))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 8 << 10  # KiB
