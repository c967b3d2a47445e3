# SPDX-License-Identifier: BSD-2-Clause
"""Quantised matrices: from parts, to and from files, damaged ones refused."""

import numpy as np
import pytest

import mixpe
from mixpe.errors import DtypeError, ModelError, RangeError, ShapeError
from mixpe.formats.matrixfile import load_matrices, save_matrices
from mixpe.quant.matrix import Int4Matrix, Int8Matrix

KINDS = [Int4Matrix, Int8Matrix]


def parts(kind, n=6, k=100, groups=4, seed=0):
    rng = np.random.default_rng(seed)
    top = 1 << kind.bits
    return (rng.integers(0, top, (n, k)).astype(np.uint8), rng.random((n, groups)).astype(np.float16),
        rng.integers(0, top, (n, groups)).astype(np.uint8))


def assert_same(found, expected):
    assert type(found) is type(expected) and found.shape == expected.shape and found.group_size == expected.group_size
    for name in ("packed", "scales", "zeros"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))


@pytest.mark.parametrize("kind", KINDS)
def test_parts_come_back(kind):
    q, scales, zeros = parts(kind)
    matrix = kind.from_parts(q, scales, zeros, 32)
    np.testing.assert_array_equal(matrix.q, q)
    s, z = (np.repeat(array.astype(np.float64), 32, axis=1)[:, :100] for array in (scales, zeros))
    np.testing.assert_array_equal(matrix.dequantize(), (s*(q - z)).astype(np.float32))


@pytest.mark.parametrize("kind", KINDS)
def test_middle_is_the_default_zero_point(kind):
    q, scales, _ = parts(kind)
    assert (kind.from_parts(q, scales, group_size=32).zeros == 1 << (kind.bits - 1)).all()


@pytest.mark.parametrize("kind", KINDS)
def test_whole_rows_as_groups(kind):
    q, scales, zeros = parts(kind, groups=1)
    for group_size in (None, 100):
        matrix = kind.from_parts(q, scales, zeros, group_size)
        assert (matrix.groups, matrix.k_padded, matrix.group_size) == (1, 128, 100)


def test_scales_of_fp32_must_be_fp16():
    q, scales, zeros = parts(Int4Matrix)
    np.testing.assert_array_equal(Int4Matrix.from_parts(q, scales.astype(np.float32), zeros, 32).scales, scales)
    for value in (0.1, 1e6):
        with pytest.raises(RangeError, match="FP16"):
            Int4Matrix.from_parts(q, np.full((6, 4), value, np.float32), zeros, 32)


@pytest.mark.parametrize("change, error, text", [
    (lambda q, s, z: (q.astype(np.int8), s, z), DtypeError, "int8"),
    (lambda q, s, z: (q[0], s, z), ShapeError, "two axes"),
    (lambda q, s, z: (q[:0], s[:0], z[:0]), ShapeError, "not \\(0, "),
    (lambda q, s, z: (q[:, :0], s[:, :0], z[:, :0]), ShapeError, "not \\(6, 0\\)"),
    (lambda q, s, z: (q + np.uint8(16), s, z), RangeError, "weights are 0 … 15"),
    (lambda q, s, z: (q, s[:, :3], z), ShapeError, r"\(6, 4\)"),
    (lambda q, s, z: (q, s.astype(np.float64), z), DtypeError, "float16"),
    (lambda q, s, z: (q, s*np.float16(np.inf), z), RangeError, "finite"),
    (lambda q, s, z: (q, s, z[:5]), ShapeError, "zeros"),
    (lambda q, s, z: (q, s, z + np.uint8(16)), RangeError, "zero points are 0 … 15"),
    (lambda q, s, z: (q, s, z.astype(np.int64)), DtypeError, "zeros"),
])
def test_bad_parts(change, error, text):
    with pytest.raises(error, match=text):
        Int4Matrix.from_parts(*change(*parts(Int4Matrix)), 32)


def test_scales_of_w8_leave_room_for_the_high_plane():
    q, scales, zeros = parts(Int8Matrix)
    Int8Matrix.from_parts(q, np.full((6, 4), 4092, np.float16), zeros, 32)
    with pytest.raises(RangeError, match="4094"):
        Int8Matrix.from_parts(q, np.full((6, 4), 4096, np.float16), zeros, 32)


@pytest.mark.parametrize("kind", KINDS)
def test_frozen(kind):
    matrix = kind.from_parts(*parts(kind), 32)
    with pytest.raises(AttributeError):
        matrix.group_size = 64
    for name in ("packed", "scales", "zeros"):
        with pytest.raises(ValueError, match="read-only"):
            getattr(matrix, name)[0, 0] = 1


@pytest.mark.parametrize("kind", KINDS)
def test_planes_say_the_same_as_the_matrix(kind):
    """What goes to the array, s·(q − z) summed over planes, is the matrix."""
    q, scales, zeros = parts(kind, k=128)
    matrix = kind.from_parts(q, scales, zeros, 32)
    packed, scaling = matrix.stream_parts(slice(None), 32, 96)
    nibbles = np.stack([packed & 15, packed >> 4], axis=2).reshape(6, kind.planes, 2, 32).astype(np.float64)
    plane_scales = scaling.scales.astype(np.float64).reshape(6, kind.planes, 2, 1)
    total = (plane_scales*(nibbles - scaling.zeros.reshape(6, kind.planes, 2, 1))).sum(axis=1).reshape(6, 64)
    np.testing.assert_array_equal(total.astype(np.float32), matrix.dequantize()[:, 32:96])


# Files.

@pytest.mark.parametrize("kind", KINDS)
def test_file(kind, tmp_path):
    matrix = kind.from_parts(*parts(kind), 32)
    matrix.save(tmp_path/"w.npz")
    assert_same(kind.load(tmp_path/"w.npz"), matrix)


def test_wrong_kind_of_file(tmp_path):
    Int4Matrix.from_parts(*parts(Int4Matrix), 32).save(tmp_path/"w.npz")
    with pytest.raises(ModelError, match="4-bit"):
        Int8Matrix.load(tmp_path/"w.npz")


def test_missing_file(tmp_path):
    with pytest.raises(ModelError, match="no such file"):
        Int4Matrix.load(tmp_path/"none.npz")


def test_pickles_are_not_loaded(tmp_path):
    np.savez(tmp_path/"w.npz", bits=4, shape=np.array([{}], object), group_size=32, packed=0, scales=0, zeros=0)
    with pytest.raises(ModelError):
        Int4Matrix.load(tmp_path/"w.npz")


@pytest.mark.parametrize("content", [b"", b"PK\3\4", b"hello"*100])
def test_no_npz_at_all(tmp_path, content):
    (tmp_path/"w.npz").write_bytes(content)
    with pytest.raises(ModelError, match=r"w\.npz"):
        Int4Matrix.load(tmp_path/"w.npz")


@pytest.mark.parametrize("seed", range(10))
def test_flipped_bits_in_a_file(tmp_path, seed):
    """A damaged file is refused, or the damage is where it does not matter (names, times)."""
    matrix = Int4Matrix.from_parts(*parts(Int4Matrix), 32)
    matrix.save(tmp_path/"w.npz")
    raw = bytearray((tmp_path/"w.npz").read_bytes())
    rng = np.random.default_rng(seed)
    for place in rng.integers(0, len(raw), 3):
        raw[place] ^= 1 << rng.integers(0, 8)
    (tmp_path/"w.npz").write_bytes(raw)
    try:
        found = Int4Matrix.load(tmp_path/"w.npz")
    except mixpe.MixpeError:
        return
    assert_same(found, matrix)


def test_many_matrices_in_one_file(tmp_path):
    matrices = {"a.weight": Int4Matrix.from_parts(*parts(Int4Matrix), 32),
        "b": Int8Matrix.from_parts(*parts(Int8Matrix, groups=1), None)}
    others = {"norm": np.arange(5, dtype=np.float32)}
    save_matrices(tmp_path/"m.safetensors", matrices, others)
    found, rest = load_matrices(tmp_path/"m.safetensors")
    assert list(found) == list(matrices) and list(rest) == ["norm"]
    for name, matrix in matrices.items():
        assert_same(found[name], matrix)
    np.testing.assert_array_equal(rest["norm"], others["norm"])


def test_name_clash(tmp_path):
    matrix = Int4Matrix.from_parts(*parts(Int4Matrix), 32)
    with pytest.raises(ModelError, match=r"a\.packed"):
        save_matrices(tmp_path/"m.safetensors", {"a": matrix}, {"a.packed": np.zeros(1, np.uint8)})


def test_foreign_safetensors(tmp_path):
    from mixpe.formats import safetensors
    safetensors.save(tmp_path/"m.safetensors", {"a": np.zeros(3, np.float32)})
    with pytest.raises(ModelError, match="no file of quantised matrices"):
        load_matrices(tmp_path/"m.safetensors")
