# SPDX-License-Identifier: BSD-2-Clause
"""Every type of block: float32 equal to gguf-py's to the bit, for blocks that a quantiser makes and for any bytes."""

import numpy as np
import pytest

from mixpe.errors import ModelError
from mixpe.formats.ggml_blocks import TYPES, block_tensor
from mixpe_gateware.contract.scaling import Form

NUMBERS = {kind.name: number for number, kind in TYPES.items()}
QUANTISED = [name for name, number in NUMBERS.items() if TYPES[number].weights > 1]
HALVES = {  # bytes of a block's FP16 numbers
    "Q4_0": (0,), "Q4_1": (0, 2), "Q5_0": (0,), "Q5_1": (0, 2), "Q8_0": (0,), "Q4_K": (0, 2), "Q5_K": (0, 2),
    "Q6_K": (208,), "Q3_K": (108,), "Q2_K": (80, 82),
}


def reference(data, name):
    gguf = pytest.importorskip("gguf")
    return gguf.quants.dequantize(data, gguf.GGMLQuantizationType[name])


def random_blocks(name, shape, seed=0):
    """Any bytes; FP16 numbers of any sign and size, subnormal ones too, but finite."""
    kind = TYPES[NUMBERS[name]]
    rng  = np.random.default_rng(seed)
    data = rng.integers(0, 256, (shape[0]*shape[1]//kind.weights, kind.nbytes), np.uint8)
    for byte in HALVES.get(name, ()):
        high = data[:, byte + 1]
        high[high & 0x7C == 0x7C] ^= 0x40
    data[0, list(HALVES.get(name, ()))] = 0
    return data.reshape(shape[0], -1)


def tensor(name, data, shape, order=None):
    data = np.ascontiguousarray(data).view(np.uint8).reshape(-1)
    return block_tensor("w", TYPES[NUMBERS[name]], data, shape, order)


def test_sizes_are_those_of_gguf_py():
    gguf = pytest.importorskip("gguf")
    for number, kind in TYPES.items():
        assert gguf.GGML_QUANT_SIZES[gguf.GGMLQuantizationType(number)] == (kind.weights, kind.nbytes)
        assert gguf.GGMLQuantizationType(number).name == kind.name


@pytest.mark.parametrize("name", QUANTISED)
def test_any_bytes_give_the_bits_of_gguf_py(name):
    shape = 37, 768
    data  = random_blocks(name, shape)
    assert tensor(name, data, shape).dequantize().tobytes() == reference(data, name).tobytes()


@pytest.mark.parametrize("name", QUANTISED)
def test_blocks_of_the_quantiser(name):
    libgguf = pytest.importorskip("libgguf")
    weights = np.random.default_rng(1).standard_t(4, (9, 512)).astype(np.float32)
    data    = libgguf.quantize_rows(weights, libgguf.GGMLQuantizationType[name])
    found   = tensor(name, data, weights.shape).dequantize()
    assert found.tobytes() == reference(data, name).tobytes()
    assert found.tobytes() == libgguf.dequantize_rows(data, libgguf.GGMLQuantizationType[name]).tobytes()
    assert np.square(found - weights).mean() < 0.2*np.square(weights).mean()  # they are these weights, in this order


@pytest.mark.parametrize("name", ["F32", "F16", "BF16"])
def test_floats(name):
    values = np.random.default_rng(2).standard_normal((5, 7)).astype(np.float32)
    data   = {"F32": values, "F16": values.astype(np.float16), "BF16": (values.view(np.uint32) >> 16).astype(np.uint16)}
    found  = tensor(name, data[name], values.shape)
    exact  = {"F32": values, "F16": values.astype(np.float16).astype(np.float32),
              "BF16": (values.view(np.uint32) & 0xFFFF0000).view(np.float32)}[name]
    assert found.dequantize().tobytes() == exact.tobytes()
    assert found.form is None and found.layout == name and found.nbytes == data[name].nbytes
    order = np.array([4, 2, 0, 1, 3])
    assert tensor(name, data[name], values.shape, order).dequantize().tobytes() == exact[order].tobytes()


@pytest.mark.parametrize("name", QUANTISED)
def test_rows_and_their_order(name):
    shape = 24, 256
    data  = random_blocks(name, shape, 3)
    plain = tensor(name, data, shape)
    exact = plain.dequantize()
    order = np.random.default_rng(4).permutation(24)
    moved = tensor(name, data, shape, order)
    assert moved.dequantize().tobytes() == exact[order].tobytes()
    for rows in (slice(3, 11), slice(20, 99), slice(0, 24, 5), slice(9, 3), np.array([5, 5, 0, 23])):
        assert plain.dequantize(rows).tobytes() == exact[rows].tobytes()
        assert moved.dequantize(rows).tobytes() == exact[order][rows].tobytes()
    for rows in ([24], [-1], [1.5], [[1]]):
        with pytest.raises(IndexError):
            plain.dequantize(np.array(rows))


GROUPED = [name for name in QUANTISED if TYPES[NUMBERS[name]].form is not None]


@pytest.mark.parametrize("name", GROUPED)
def test_groups_hold_what_the_weights_are_made_of(name):
    shape  = 4, 512
    data   = random_blocks(name, shape, 5)
    found  = tensor(name, data, shape)
    record = found.groups()
    assert record.group_size == found.group_size == 32
    assert [array is None for array in (record.zeros, record.minima, record.factors)] == {
        Form.ZERO: [False, True, True], Form.MINIMUM: [True, False, True], Form.TWO_LEVEL: [True, False, False]
    }[found.form]
    assert record.codes.shape == shape and record.codes.dtype == np.uint8 and record.codes.max() < 1 << found.bits
    codes = record.codes.astype(np.float64).reshape(4, 16, 32)
    if found.form is Form.ZERO:
        exact = record.scales.astype(np.float64)[:, :, None]*(codes - record.zeros[:, :, None])
    elif found.form is Form.MINIMUM:
        exact = record.scales.astype(np.float64)[:, :, None]*codes + record.minima.astype(np.float64)[:, :, None]
    else:
        assert record.factors.max() <= 63
        scale, minimum = (np.repeat(outer.astype(np.float64), 8, axis=1)*record.factors[:, :, index]
            for index, outer in enumerate((record.scales, record.minima)))
        exact = scale[:, :, None]*codes + minimum[:, :, None]
    # float64 holds every such value exactly, so one conversion is one rounding
    assert (exact.reshape(shape).astype(np.float32) == found.dequantize()).all()


@pytest.mark.parametrize("name", GROUPED)
def test_packed_codes_are_the_codes(name):
    """As they are made without a byte a code, of any rows."""
    data  = random_blocks(name, (16, 512), 7)
    order = np.random.default_rng(8).permutation(16)
    for found in (tensor(name, data, (16, 512)), tensor(name, data, (16, 512), order)):
        for rows in (slice(0, 16), slice(3, 5), np.array([9, 2, 2])):
            plain, packed = found.groups(rows), found.packed(rows)
            assert packed.codes.tobytes() == found.kind.pack(plain.codes).tobytes()
            for part in ("scales", "zeros", "minima", "factors"):
                assert (getattr(plain, part) is None) == (getattr(packed, part) is None)
                assert np.array_equal(getattr(plain, part), getattr(packed, part)) or getattr(plain, part) is None


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan])
@pytest.mark.parametrize("name", QUANTISED)
def test_scales_that_are_not_finite_are_refused(name, value):
    for byte in HALVES[name]:
        data = random_blocks(name, (8, 512), 6)
        data.reshape(-1, TYPES[NUMBERS[name]].nbytes)[-1, byte:byte + 2] = np.float16([value]).view(np.uint8)
        found = tensor(name, data, (8, 512))
        with pytest.raises(ModelError, match="not finite"):
            found.dequantize()
        found.dequantize(slice(0, 7))  # the rows before are good
        if found.form is not None:
            with pytest.raises(ModelError, match="not finite"):
                found.groups()
            with pytest.raises(ModelError, match="not finite"):
                found.packed(slice(0, 8))
