# SPDX-License-Identifier: BSD-2-Clause
"""Matrices with real minima: their weights, planes, files and errors."""

import numpy as np
import pytest

from mixpe.errors import DtypeError, ModelError, RangeError, ShapeError
from mixpe.formats.groups import Groups
from mixpe.quant.matrix import Int4Matrix, Int8Matrix, joined
from mixpe_gateware.contract.layout import unpack_nibbles
from mixpe_gateware.contract.scaling import Form

KINDS = [Int4Matrix, Int8Matrix]
FORMS = [Form.MINIMUM, Form.TWO_LEVEL]
N, K  = 5, 700  # no whole groups, no whole superblocks


def float16(rng, shape, top=0x6BFF):
    """Any finite FP16 of both signs, subnormal ones too, up to 4094 (0x6BFF)."""
    return (rng.integers(0, top + 1, shape) | rng.integers(0, 2, shape) << 15).astype(np.uint16).view(np.float16)


def parts(kind, form, n=N, k=K, seed=0):
    """Arguments of `from_parts`."""
    rng = np.random.default_rng(seed)
    q   = rng.integers(0, 1 << kind.bits, (n, k)).astype(np.uint8)
    q[0, :2] = 0, (1 << kind.bits) - 1
    entries = -(-k//32) if form == Form.MINIMUM else -(-k//256)
    made = {"q": q, "scales": float16(rng, (n, entries)), "minima": float16(rng, (n, entries), 0x7BFF),
        "group_size": 32}
    if form == Form.TWO_LEVEL:
        made["factors"] = rng.integers(0, 64, (n, 8*entries, 2)).astype(np.uint8)
        made["factors"][:, :2] = 0, 63
    return made


def as_stored(made, form):
    """The same as `mixpe.formats` has it."""
    return Groups(made["q"], made["scales"], 32, minima=made["minima"], factors=made.get("factors"))


def same(found, expected):
    assert type(found) is type(expected) and found.shape == expected.shape and found.group_size == expected.group_size
    assert found.form == expected.form and list(found.arrays) == list(expected.arrays)
    for name, array in expected.arrays.items():
        assert array.tobytes() == found.arrays[name].tobytes()


@pytest.mark.parametrize("form", FORMS)
def test_weights_are_those_of_the_file(form):
    made   = parts(Int4Matrix, form)
    matrix = Int4Matrix.from_parts(**made)
    assert matrix.form == form and matrix.zeros is None
    np.testing.assert_array_equal(matrix.q, made["q"])
    assert matrix.dequantize().tobytes() == as_stored(made, form).weights().tobytes()


@pytest.mark.parametrize("form", FORMS)
def test_weights_of_five_bits_are_those_of_the_file(form):
    made   = parts(Int8Matrix, form)
    made["q"] &= 31
    assert Int8Matrix.from_parts(**made).dequantize().tobytes() == as_stored(made, form).weights().tobytes()


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", KINDS)
def test_weights_are_rounded_once(kind, form):
    made   = parts(kind, form)
    matrix = kind.from_parts(**made)
    scales, minima = (np.repeat(made[name].astype(np.float64), 32 if form == Form.MINIMUM else 256, axis=1)[:, :K]
        for name in ("scales", "minima"))
    if form == Form.TWO_LEVEL:
        a, b   = np.repeat(made["factors"], 32, axis=1)[:, :K].transpose(2, 0, 1)
        scales, minima = scales*a, minima*b
    assert np.abs(scales).max()*255 + np.abs(minima).max() < 2**28  # in units of 2^-24: FP64 holds the sums
    np.testing.assert_array_equal(matrix.dequantize(), (scales*made["q"] + minima).astype(np.float32))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", KINDS)
def test_planes_say_the_same_as_the_matrix(kind, form):
    matrix = kind.from_parts(**parts(kind, form, k=768))
    start, stop = 256, 768
    packed, scaling = matrix.stream_parts(slice(1, 4), start, stop)
    groups = (stop - start)//32
    assert (scaling.form, scaling.n, scaling.groups) == (form, 3, kind.planes*groups)
    scales, minima = (array.astype(np.float64) for array in (scaling.scales, scaling.minima))
    if form == Form.TWO_LEVEL:
        scales, minima = (np.repeat(array, 8, axis=1)*scaling.factors[:, :, index].astype(np.float64)
            for index, array in enumerate((scales, minima)))
    nibbles = unpack_nibbles(packed).reshape(3, kind.planes, groups, 32).astype(np.float64)
    total   = scales.reshape(3, kind.planes, groups, 1)*nibbles + minima.reshape(3, kind.planes, groups, 1)
    expected = matrix.dequantize()[1:4, start:stop]
    np.testing.assert_array_equal(total.sum(axis=1).reshape(3, -1).astype(np.float32), expected)


@pytest.mark.parametrize("kind", KINDS)
def test_padding(kind):
    minimum, two_level = (kind.from_parts(**parts(kind, form, k=33)) for form in FORMS)
    assert (minimum.groups, minimum.k_padded) == (2, 64) and (two_level.groups, two_level.k_padded) == (8, 256)
    for matrix in (minimum, two_level):
        assert matrix.dequantize().shape == matrix.q.shape == (N, 33) and not matrix.q_padded[:, 33:].any()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("form", FORMS)
def test_file(kind, form, tmp_path):
    matrix = kind.from_parts(**parts(kind, form))
    matrix.save(tmp_path/"w.npz")
    same(kind.load(tmp_path/"w.npz"), matrix)


def test_file_without_what_a_form_needs(tmp_path):
    matrix = Int4Matrix.from_parts(**parts(Int4Matrix, Form.TWO_LEVEL))
    arrays = {**matrix.arrays}
    del arrays["minima"]
    np.savez(tmp_path/"w.npz", bits=4, shape=np.array(matrix.shape), group_size=32, **arrays)
    with pytest.raises(ModelError, match="minima"):
        Int4Matrix.load(tmp_path/"w.npz")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("form", FORMS)
def test_joined(kind, form):
    both = [parts(kind, form, seed=seed) for seed in range(2)]
    made = {name: value if name == "group_size" else np.concatenate([value, both[1][name]])
        for name, value in both[0].items()}
    same(joined([kind.from_parts(**each) for each in both]), kind.from_parts(**made))


def test_only_one_form_is_joined():
    with pytest.raises(ShapeError, match="form"):
        joined([Int4Matrix.from_parts(**parts(Int4Matrix, form, k=512)) for form in FORMS])


def test_fp32_scales_and_minima_must_be_fp16():
    made = parts(Int4Matrix, Form.MINIMUM)
    wide = {name: made[name].astype(np.float32) for name in ("scales", "minima")}
    same(Int4Matrix.from_parts(**{**made, **wide}), Int4Matrix.from_parts(**made))
    with pytest.raises(RangeError, match="minima"):
        Int4Matrix.from_parts(**{**made, "minima": np.full_like(wide["minima"], 0.1)})


@pytest.mark.parametrize("form, change, error, text", [
    (Form.MINIMUM,   {"minima": lambda m: m.astype(np.float64)},              DtypeError, "minima"),
    (Form.MINIMUM,   {"minima": lambda m: m.tolist()},                        DtypeError, "minima"),
    (Form.MINIMUM,   {"minima": lambda m: m[:, :-1]},                         ShapeError, "minima"),
    (Form.MINIMUM,   {"minima": lambda m: m*np.float16(np.inf)},              RangeError, "minima must be finite"),
    (Form.MINIMUM,   {"zeros": lambda _: np.zeros((N, 22), np.uint8)},        ShapeError, "beside scales"),
    (Form.TWO_LEVEL, {"minima": lambda _: None},                              ShapeError, "beside scales"),
    (Form.TWO_LEVEL, {"scales": lambda s: np.repeat(s, 8, axis=1)},           ShapeError, "scales"),
    (Form.TWO_LEVEL, {"scales": lambda s: s*np.float16(np.nan)},              RangeError, "scales must be finite"),
    (Form.TWO_LEVEL, {"factors": lambda f: f[:, :-1]},                        ShapeError, "factors"),
    (Form.TWO_LEVEL, {"factors": lambda f: f.astype(np.int8)},                DtypeError, "factors"),
    (Form.TWO_LEVEL, {"factors": lambda f: f + np.uint8(1)},                  RangeError, "0 … 63, not 64"),
    (Form.TWO_LEVEL, {"group_size": lambda _: 64},                            RangeError, "must be 32, not 64"),
])
def test_bad_parts(form, change, error, text):
    made = parts(Int4Matrix, form)
    with pytest.raises(error, match=text), np.errstate(invalid="ignore", over="ignore"):
        Int4Matrix.from_parts(**{**made, **{name: make(made.get(name)) for name, make in change.items()}})


def test_scales_of_w8_leave_room_for_the_high_plane():
    made = parts(Int8Matrix, Form.TWO_LEVEL)
    with pytest.raises(RangeError, match="4094"):
        Int8Matrix.from_parts(**{**made, "scales": np.full_like(made["scales"], 4096)})
