# SPDX-License-Identifier: BSD-2-Clause
"""The packed weight stream: round trips, and every nibble where the text of `contract.layout` puts it."""

import numpy as np
import pytest

from mixpe_gateware.contract.config import PORT_BITS, Config
from mixpe_gateware.contract.errors import DtypeError, RangeError, ShapeError
from mixpe_gateware.contract.layout import (
    pack_nibbles,
    pack_stream,
    split_nibbles,
    stream_bytes,
    unpack_nibbles,
    unpack_stream,
)
from mixpe_gateware.contract.scaling import Form, Scaling, groups_along, superblocks


def random_matrix(n, k, groups, seed):
    rng = np.random.default_rng(seed)
    return (rng.integers(0, 16, (n, k), np.uint8), rng.random((n, groups)).astype(np.float16),
        rng.integers(0, 16, (n, groups), np.uint8))


@pytest.mark.parametrize("port_bits", PORT_BITS)
@pytest.mark.parametrize("n, k, groups",
    [(1, 32, 1), (7, 64, 2), (8, 128, 1), (9, 96, 3), (64, 256, 8), (16, 4096, 32)])
def test_round_trip(port_bits, n, k, groups):
    config = Config(port_bits=port_bits)
    q, scales, zeros = random_matrix(n, k, groups, seed=n*k)
    stream = pack_stream(pack_nibbles(q), Scaling(scales, zeros), config)
    assert stream.size == stream_bytes(n, k, groups, config)
    assert stream.size % config.beat_bytes == 0
    packed, scaling = unpack_stream(stream, n, k, groups, config)
    np.testing.assert_array_equal(unpack_nibbles(packed), q)
    np.testing.assert_array_equal(scaling.scales, scales)
    np.testing.assert_array_equal(scaling.zeros, zeros)


@pytest.mark.parametrize("port_bits", PORT_BITS)
def test_every_field_is_where_the_contract_says(port_bits):
    config = Config(port_bits=port_bits)
    n, k, groups = 11, 96, 3
    q, scales, zeros = random_matrix(n, k, groups, seed=5)
    stream = pack_stream(pack_nibbles(q), Scaling(scales, zeros), config).tobytes()
    beat = config.beat_bytes
    scale_bytes = -(-2*8*groups//beat)*beat
    zero_bytes  = -(-8*groups//2//beat)*beat
    block = scale_bytes + zero_bytes + 8*k//2
    for channel in range(16):
        base, c = channel//8*block, channel % 8
        for g in range(groups):
            at = base + 2*(c*groups + g)
            nibble = (stream[base + scale_bytes + (c*groups + g)//2] >> 4*((c*groups + g) % 2)) & 15
            if channel < n:
                assert stream[at:at + 2] == scales[channel, g].tobytes()
                assert nibble == zeros[channel, g]
            else:
                assert stream[at:at + 2] == b"\0\0" and nibble == 0
        weights = base + scale_bytes + zero_bytes + c*k//2
        for i in range(k):
            number = int.from_bytes(stream[weights + i//config.lanes*beat:][:beat], "little")
            assert (number >> 4*(i % config.lanes)) & 15 == (q[channel, i] if channel < n else 0)


def test_first_nibble_is_the_low_one():
    assert pack_nibbles(np.array([[1, 2, 15, 0]], np.uint8)).tolist() == [[0x21, 0x0F]]
    assert unpack_nibbles(np.array([[0x21, 0x0F]], np.uint8)).tolist() == [[1, 2, 15, 0]]


def test_all_bytes_round_trip():
    every = np.arange(256, dtype=np.uint8)[None]
    np.testing.assert_array_equal(pack_nibbles(unpack_nibbles(every)), every)


def test_split_bytes_are_their_low_and_high_nibbles_packed():
    values = np.arange(1 << 16, dtype="<u2").view(np.uint8).reshape(4, -1)  # every pair of bytes
    low, high = split_nibbles(values)
    assert low.tobytes() == pack_nibbles(values & 15).tobytes()
    assert high.tobytes() == pack_nibbles(values >> 4).tobytes()
    with pytest.raises(ShapeError):
        split_nibbles(np.zeros((2, 5), np.uint8))


@pytest.mark.parametrize("value", [16, 17, 128, 255])
@pytest.mark.parametrize("place", [0, 1])
def test_no_nibble_over_15(value, place):
    q = np.zeros((2, 4), np.uint8)
    q[1, place] = value
    with pytest.raises(RangeError, match=str(value)):
        pack_nibbles(q)


def test_bad_shapes_and_types():
    config = Config()
    q, scales, zeros = random_matrix(8, 64, 2, seed=1)
    packed = pack_nibbles(q)
    with pytest.raises(ShapeError, match="5"):
        pack_nibbles(np.zeros((2, 5), np.uint8))
    with pytest.raises(ShapeError, match="32 lanes"):
        pack_stream(packed[:, :8], Scaling(scales, zeros), config)
    with pytest.raises(DtypeError, match="float32"):
        Scaling(scales.astype(np.float32), zeros)
    with pytest.raises(DtypeError, match="zeros.*list"):
        Scaling(scales, zeros.tolist())
    with pytest.raises(ShapeError, match="zeros"):
        Scaling(scales, zeros[:, :1])
    with pytest.raises(ShapeError, match=r"packed.*\(4, 32\)"):
        pack_stream(packed, Scaling(scales[:4], zeros[:4]), config)
    with pytest.raises(ShapeError, match="stream"):
        unpack_stream(np.zeros(16, np.uint8), 8, 64, 2, config)


# Real minima.

def random_scaling(form, n, groups, seed):
    rng = np.random.default_rng(seed)
    entries = groups if form == Form.MINIMUM else superblocks(groups)
    scales, minima = rng.normal(size=(2, n, entries)).astype(np.float16)
    return Scaling(scales, minima=minima,
        factors=rng.integers(0, 64, (n, groups, 2), np.uint8) if form == Form.TWO_LEVEL else None)


@pytest.mark.parametrize("form", [Form.MINIMUM, Form.TWO_LEVEL])
@pytest.mark.parametrize("port_bits", PORT_BITS)
@pytest.mark.parametrize("n, k", [(1, 256), (11, 512), (16, 768)])
def test_every_field_of_minima_is_where_the_contract_says(form, port_bits, n, k):
    config, groups = Config(port_bits=port_bits), k//32
    q       = np.random.default_rng(n).integers(0, 16, (n, k), np.uint8)
    scaling = random_scaling(form, n, groups, seed=n)
    stream  = pack_stream(pack_nibbles(q), scaling, config)
    entries = scaling.scales.shape[1]
    sections = {"scales": 16*entries, "minima": 16*entries, "factors": 16*groups*(form == Form.TWO_LEVEL), "q": 4*k}
    starts, block = {}, 0
    for name, size in sections.items():
        starts[name] = block
        block += -(-size//config.beat_bytes)*config.beat_bytes
    assert stream.size == -(-n//8)*block == stream_bytes(n, k, groups, config, form)
    expected = bytearray(stream.size)
    for channel in range(n):
        base, c = channel//8*block, channel % 8
        for name in ("scales", "minima"):
            at = base + starts[name] + 2*c*entries
            expected[at:at + 2*entries] = getattr(scaling, name)[channel].tobytes()
        if form == Form.TWO_LEVEL:
            for g, pair in enumerate(scaling.factors[channel]):
                at = base + starts["factors"] + 2*(c*groups + g)
                expected[at:at + 2] = pair.tolist()
        for i, weight in enumerate(q[channel].tolist()):
            expected[base + starts["q"] + c*k//2 + i//2] |= weight << 4*(i % 2)
    assert stream.tobytes() == bytes(expected)
    packed, found = unpack_stream(stream, n, k, groups, config, form)
    np.testing.assert_array_equal(unpack_nibbles(packed), q)
    assert found.form == form and found.zeros is None
    for name in ("scales", "minima", "factors") if form == Form.TWO_LEVEL else ("scales", "minima"):
        np.testing.assert_array_equal(getattr(found, name), getattr(scaling, name))


def test_bits_that_a_factor_has_not_are_not_read():
    config, scaling = Config(), random_scaling(Form.TWO_LEVEL, 8, 8, seed=0)
    stream = pack_stream(np.zeros((8, 128), np.uint8), scaling, config)
    stream[32:32 + 128] |= 0xC0  # behind a beat and a half of scales and as much of minima
    _, found = unpack_stream(stream, 8, 256, 8, config, Form.TWO_LEVEL)
    np.testing.assert_array_equal(found.factors, scaling.factors)


def test_scaling_says_what_stands_beside():
    one, two = np.ones((4, 2), np.float16), np.ones((4, 16, 2), np.uint8)
    forms = [Scaling(one, zeros=np.ones((4, 2), np.uint8)), Scaling(one, minima=one), Scaling(one, minima=one,
        factors=two)]
    assert [each.form for each in forms] == list(Form) == [0, 1, 2]
    assert [(each.n, each.groups) for each in forms] == [(4, 2), (4, 2), (4, 16)]
    for each in forms:
        some = each.rows(slice(1, 3))
        assert (some.form, some.n, some.groups) == (each.form, 2, each.groups)
    for wrong in ({}, {"zeros": two[:, :2, 0], "minima": one}, {"zeros": two[:, :2, 0], "factors": two},
            {"factors": two}):
        with pytest.raises(ShapeError, match="beside scales"):
            Scaling(one, **wrong)
    with pytest.raises(ShapeError, match=r"factors.*\(4, 16, 2\)"):
        Scaling(one, minima=one, factors=two[:, :2])
    with pytest.raises(RangeError, match="0 … 63, not 64"):
        Scaling(one, minima=one, factors=64*two)
    with pytest.raises(ShapeError, match="whole superblocks of 8, not 12"):
        superblocks(12)


def test_scales_of_groups():
    scaling = Scaling(np.array([[3, -2.0**-24]], np.float16), minima=np.array([[-65504, 0.5]], np.float16),
        factors=np.arange(32, dtype=np.uint8).reshape(1, 16, 2))
    scales, minima = scaling.of_groups()
    assert scales.tolist() == [[3.0*a for a in range(0, 16, 2)] + [-2.0**-24*a for a in range(16, 32, 2)]]
    assert minima.tolist() == [[-65504.0*b for b in range(1, 16, 2)] + [0.5*b for b in range(17, 32, 2)]]
    scales, minima = Scaling(scaling.scales, zeros=np.zeros((1, 2), np.uint8)).of_groups()
    assert scales.tolist() == [[3, -2.0**-24]] and minima is None


@pytest.mark.parametrize("k, form, groups", [(1, Form.ZERO, 1), (65, Form.MINIMUM, 3), (1, Form.TWO_LEVEL, 8),
    (256, Form.TWO_LEVEL, 8), (257, Form.TWO_LEVEL, 16)])
def test_groups_that_k_is_padded_to(k, form, groups):
    assert groups_along(k, 32, form) == groups
