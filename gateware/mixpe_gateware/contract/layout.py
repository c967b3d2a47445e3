# SPDX-License-Identifier: BSD-2-Clause
"""Packed weight stream: how INT4 weights, scales and zero points lie in the accelerator's memory.

The stream is what the array consumes, in order, so one sequential read feeds everything. A block holds eight output
channels (n is padded with zero weights); everything is little-endian and each section is padded with zeros to a beat:

    block b = [ scales: 8·(k/G) FP16 ] [ zeros: 8·(k/G) nibbles ] [ weights: channel 8b … 8b+7, k nibbles each ]

Entry c·(k/G) + g of the first two sections belongs to channel 8b + c, group g. Weight i of a channel is bits
4(i mod D) … +3 of its beat i div D, that is nibble i of its k/2 bytes, low nibble first.
"""

import numpy as np

from mixpe_gateware.contract.config import CHANNELS_PER_BLOCK
from mixpe_gateware.contract.errors import DtypeError, RangeError, ShapeError
from mixpe_gateware.contract.jobs import block_bytes


def _check(name, array, dtype, shape):
    if array.dtype != dtype:
        raise DtypeError(f"{name} must be {np.dtype(dtype).name}, not {array.dtype.name}")
    if array.shape != shape:
        raise ShapeError(f"{name} must have the shape {shape}, not {array.shape}")


def pack_nibbles(values):
    """Pack values 0 … 15 two to a byte, low nibble first.

    Parameters
    ----------
    values : (…, k) uint8, k even

    Returns
    -------
    (…, k/2) uint8

    Raises
    ------
    RangeError
        A value is over 15.
    ShapeError
        k is odd.
    """
    if values.shape[-1] % 2:
        raise ShapeError(f"nibbles come in pairs: the last axis must be even, not {values.shape[-1]}")
    pairs = np.ascontiguousarray(values, np.uint8).view("<u2")
    packed = (pairs | (pairs >> np.uint16(4))).astype(np.uint8)
    if values.size and np.bitwise_or.reduce(pairs, axis=None) & 0xF0F0:
        raise RangeError(f"a nibble holds 0 … 15, not {int(values.max())}")
    return packed


def unpack_nibbles(packed):
    """Inverse of `pack_nibbles`: (…, k/2) uint8 → (…, k) uint8."""
    packed = np.ascontiguousarray(packed, np.uint8)
    pairs = (packed.astype("<u2") | (packed.astype("<u2") << np.uint16(4))) & np.uint16(0x0F0F)
    return pairs.view(np.uint8).reshape(*packed.shape[:-1], 2*packed.shape[-1])


def _sections(groups, config):
    beat   = config.beat_bytes
    scales = -(-2*CHANNELS_PER_BLOCK*groups//beat)*beat
    zeros  = -(-CHANNELS_PER_BLOCK*groups//(2*beat))*beat
    return scales, zeros


def pack_stream(packed, scales, zeros, config):
    """Lay out a quantised matrix as the weight stream.

    Parameters
    ----------
    packed : (n, k/2) uint8
        Weights from `pack_nibbles`; k is a multiple of lanes.
    scales : (n, groups) float16
    zeros : (n, groups) uint8, 0 … 15
    config : Config

    Returns
    -------
    (stream_bytes,) uint8
    """
    n, groups = scales.shape
    k = 2*packed.shape[1]
    _check("packed", packed, np.uint8, (n, k//2))
    _check("scales", scales, np.float16, (n, groups))
    _check("zeros", zeros, np.uint8, (n, groups))
    if k % config.lanes:
        raise ShapeError(f"k must be a multiple of {config.lanes} lanes, not {k}")
    blocks = -(-n//CHANNELS_PER_BLOCK)
    scale_bytes, zero_bytes = _sections(groups, config)
    stream = np.zeros((blocks, block_bytes(k, groups, config)), np.uint8)

    def section(start, size, rows):
        # Whole blocks are one strided copy; the last block may have fewer than eight channels.
        full = n//CHANNELS_PER_BLOCK
        stream[:full, start:start + size] = rows[:full*CHANNELS_PER_BLOCK].reshape(full, size)
        rest = rows[full*CHANNELS_PER_BLOCK:].reshape(-1)
        if rest.size:
            stream[full, start:start + rest.size] = rest

    section(0, 2*CHANNELS_PER_BLOCK*groups, np.ascontiguousarray(scales).view(np.uint8))
    entries = np.zeros((blocks, CHANNELS_PER_BLOCK*groups), np.uint8)
    entries.reshape(-1)[:n*groups] = zeros.reshape(-1)
    stream[:, scale_bytes:scale_bytes + CHANNELS_PER_BLOCK*groups//2] = pack_nibbles(entries)
    section(scale_bytes + zero_bytes, CHANNELS_PER_BLOCK*k//2, packed)
    return stream.reshape(-1)


def unpack_stream(stream, n, k, groups, config):
    """Inverse of `pack_stream`.

    Returns
    -------
    packed (n, k/2) uint8, scales (n, groups) float16, zeros (n, groups) uint8
    """
    size = block_bytes(k, groups, config)
    blocks = -(-n//CHANNELS_PER_BLOCK)
    _check("stream", stream, np.uint8, (blocks*size,))
    stream = stream.reshape(blocks, size)
    scale_bytes, zero_bytes = _sections(groups, config)
    scales = np.ascontiguousarray(stream[:, :2*CHANNELS_PER_BLOCK*groups]).view(np.float16).reshape(-1, groups)[:n]
    zeros = unpack_nibbles(stream[:, scale_bytes:scale_bytes + CHANNELS_PER_BLOCK*groups//2]).reshape(-1, groups)[:n]
    packed = stream[:, scale_bytes + zero_bytes:].reshape(-1, k//2)[:n]
    return np.ascontiguousarray(packed), scales, zeros
