# SPDX-License-Identifier: BSD-2-Clause
"""The packed weight stream: round trips, and every nibble where the text of `contract.layout` puts it."""

import numpy as np
import pytest

from mixpe_gateware.contract.config import PORT_BITS, Config
from mixpe_gateware.contract.errors import DtypeError, RangeError, ShapeError
from mixpe_gateware.contract.layout import pack_nibbles, pack_stream, stream_bytes, unpack_nibbles, unpack_stream


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
    stream = pack_stream(pack_nibbles(q), scales, zeros, config)
    assert stream.size == stream_bytes(n, k, groups, config)
    assert stream.size % config.beat_bytes == 0
    packed, scales_back, zeros_back = unpack_stream(stream, n, k, groups, config)
    np.testing.assert_array_equal(unpack_nibbles(packed), q)
    np.testing.assert_array_equal(scales_back, scales)
    np.testing.assert_array_equal(zeros_back, zeros)


@pytest.mark.parametrize("port_bits", PORT_BITS)
def test_every_field_is_where_the_contract_says(port_bits):
    config = Config(port_bits=port_bits)
    n, k, groups = 11, 96, 3
    q, scales, zeros = random_matrix(n, k, groups, seed=5)
    stream = pack_stream(pack_nibbles(q), scales, zeros, config).tobytes()
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
        pack_nibbles(np.zeros((1, 5), np.uint8))
    with pytest.raises(ShapeError, match="32 lanes"):
        pack_stream(packed[:, :8], scales, zeros, config)
    with pytest.raises(DtypeError, match="float32"):
        pack_stream(packed, scales.astype(np.float32), zeros, config)
    with pytest.raises(ShapeError, match="zeros"):
        pack_stream(packed, scales, zeros[:, :1], config)
    with pytest.raises(ShapeError, match="stream"):
        unpack_stream(np.zeros(16, np.uint8), 8, 64, 2, config)
