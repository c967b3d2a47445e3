# SPDX-License-Identifier: BSD-2-Clause
"""How operands and results lie in the accelerator's memory, first of all the packed weight stream.

The stream is what the array consumes, in order, so one sequential read feeds everything. A block holds eight output
channels (n is padded with zero weights); everything is little-endian and each section is padded with zeros to a beat:

    block b = [ scales: 8·(k/G) FP16 ] [ zeros: 8·(k/G) nibbles ] [ weights: channel 8b … 8b+7, k nibbles each ]

Entry c·(k/G) + g of the first two sections belongs to channel 8b + c, group g. Weight i of a channel is bits
4(i mod D) … +3 of its beat i div D, that is nibble i of its k/2 bytes, low nibble first. In the other forms of
`contract.scaling` other sections stand between scales and weights:

    MINIMUM    [ scales ] [ minima: 8·(k/G) FP16 ] [ weights ]
    TWO_LEVEL  [ scales: 8·(k/8G) FP16 ] [ minima: 8·(k/8G) FP16 ] [ factors: 8·(k/G) bytes a, b each ] [ weights ]

Results of partials are ordered by row tile, see `tile_results`; alignment shifts (A16) lie behind the activations, see
`unpack_shifts`.
"""

from dataclasses import dataclass

import numpy as np

from mixpe_gateware.contract.config import CHANNELS_PER_BLOCK
from mixpe_gateware.contract.errors import RangeError, ShapeError
from mixpe_gateware.contract.scaling import FACTOR_BITS, SUPERBLOCK_GROUPS, Form, Scaling, check_array
from mixpe_gateware.contract.widths import SHIFT_BITS, log2


@dataclass(frozen=True)
class Section:
    """A section of a block: so many bits a channel and entry, an entry being a superblock, a group or a weight."""

    name: str
    bits: int

    @property
    def entry_bytes(self):
        """Bytes of an entry of all channels of a block."""
        return CHANNELS_PER_BLOCK*self.bits//8

    def beats(self, entries, config):
        """Beats of a block's section with so many entries a channel: an int, or an expression of Migen."""
        return (self.entry_bytes*entries + config.beat_bytes - 1) >> log2(config.beat_bytes)


SCALES  = Section("scales",  16)
ZEROS   = Section("zeros",   4)
MINIMA  = Section("minima",  16)
FACTORS = Section("factors", 16)  # a, then b: a byte each
WEIGHTS = Section("weights", 4)


def section_entries(k, groups, form=Form.ZERO):
    """Entries a channel of each section of a block, by Section: a dict in their order."""
    if form == Form.ZERO:
        return {SCALES: groups, ZEROS: groups, WEIGHTS: k}
    if form == Form.MINIMUM:
        return {SCALES: groups, MINIMA: groups, WEIGHTS: k}
    return {SCALES: groups//SUPERBLOCK_GROUPS, MINIMA: groups//SUPERBLOCK_GROUPS, FACTORS: groups, WEIGHTS: k}


def block_beats(k, groups, config, form=Form.ZERO):
    """Beats of each section of one block of eight channels, by Section: a dict in their order."""
    return {section: section.beats(entries, config) for section, entries in section_entries(k, groups, form).items()}


def block_bytes(k, groups, config, form=Form.ZERO):
    """Bytes of one block of eight channels: all its sections."""
    return sum(block_beats(k, groups, config, form).values())*config.beat_bytes


def stream_bytes(n, k, groups, config, form=Form.ZERO):
    """Bytes of the packed weight stream of n channels (n is padded to whole blocks)."""
    return -(-n//CHANNELS_PER_BLOCK)*block_bytes(k, groups, config, form)


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


def split_nibbles(values):
    """Low and high nibbles of bytes, each two to a byte: (…, k) uint8 → two (…, k/2) uint8.

    Raises
    ------
    ShapeError
        k is odd.
    """
    if values.shape[-1] % 2:
        raise ShapeError(f"nibbles come in pairs: the last axis must be even, not {values.shape[-1]}")
    pairs = np.ascontiguousarray(values, np.uint8).view("<u2")
    low   = (pairs & 0x0F) | ((pairs >> 4) & 0xF0)
    high  = ((pairs >> 4) & 0x0F) | ((pairs >> 8) & 0xF0)
    return low.astype(np.uint8), high.astype(np.uint8)


def _slices(k, groups, config, form):
    """Where the entries of each section lie in a block, without what pads them: dict of Section to slice of bytes."""
    entries, slices, start = section_entries(k, groups, form), {}, 0
    for section, beats in block_beats(k, groups, config, form).items():
        slices[section] = slice(start, start + section.entry_bytes*entries[section])
        start += beats*config.beat_bytes
    return slices


def pack_stream(packed, scaling, config):
    """Lay out a quantised matrix as the weight stream.

    Parameters
    ----------
    packed : (n, k/2) uint8
        Weights from `pack_nibbles`; k is a multiple of lanes.
    scaling : Scaling
        Of n channels.
    config : Config

    Returns
    -------
    (stream_bytes,) uint8
    """
    n, groups, form = scaling.n, scaling.groups, scaling.form
    k = 2*packed.shape[1]
    check_array("packed", packed, np.uint8, (n, k//2))
    if k % config.lanes:
        raise ShapeError(f"k must be a multiple of {config.lanes} lanes, not {k}")
    blocks = -(-n//CHANNELS_PER_BLOCK)
    where  = _slices(k, groups, config, form)
    stream = np.zeros((blocks, block_bytes(k, groups, config, form)), np.uint8)

    def put(section, rows):
        # Whole blocks are one strided copy; the last block may have fewer than eight channels.
        full, place = n//CHANNELS_PER_BLOCK, where[section]
        stream[:full, place] = rows[:full*CHANNELS_PER_BLOCK].reshape(full, place.stop - place.start)
        rest = rows[full*CHANNELS_PER_BLOCK:].reshape(-1)
        if rest.size:
            stream[full, place.start:place.start + rest.size] = rest

    put(SCALES, np.ascontiguousarray(scaling.scales).view(np.uint8))
    if form == Form.ZERO:
        entries = np.zeros((blocks, CHANNELS_PER_BLOCK*groups), np.uint8)  # a nibble pair may be of two channels
        entries.reshape(-1)[:n*groups] = scaling.zeros.reshape(-1)
        stream[:, where[ZEROS]] = pack_nibbles(entries)
    else:
        put(MINIMA, np.ascontiguousarray(scaling.minima).view(np.uint8))
        if form == Form.TWO_LEVEL:
            put(FACTORS, np.ascontiguousarray(scaling.factors).reshape(n, -1))
    put(WEIGHTS, packed)
    return stream.reshape(-1)


def unpack_stream(stream, n, k, groups, config, form=Form.ZERO):
    """Inverse of `pack_stream`.

    Factors are cut to their bits, as the gateware does.

    Returns
    -------
    packed : (n, k/2) uint8
    scaling : Scaling
    """
    size = block_bytes(k, groups, config, form)
    blocks = -(-n//CHANNELS_PER_BLOCK)
    check_array("stream", stream, np.uint8, (blocks*size,))
    stream = stream.reshape(blocks, size)
    where  = _slices(k, groups, config, form)
    packed = np.ascontiguousarray(stream[:, where[WEIGHTS]].reshape(-1, k//2)[:n])

    def halves(section):
        entries = np.ascontiguousarray(stream[:, where[section]]).view(np.float16)
        return entries.reshape(blocks*CHANNELS_PER_BLOCK, -1)[:n]

    if form == Form.ZERO:
        return packed, Scaling(halves(SCALES), zeros=unpack_nibbles(stream[:, where[ZEROS]]).reshape(-1, groups)[:n])
    factors = None
    if form == Form.TWO_LEVEL:
        factors = stream[:, where[FACTORS]].reshape(-1, groups, 2)[:n] & ((1 << FACTOR_BITS) - 1)
    return packed, Scaling(halves(SCALES), minima=halves(MINIMA), factors=factors)


def shift_pitch(groups, config):
    """Bytes from one row's alignment shifts to the next one's: one a group, padded to a beat."""
    return -(-groups//config.beat_bytes)*config.beat_bytes


def shift_bytes(m, groups, config):
    """Bytes of the table of alignment shifts of m rows."""
    return m*shift_pitch(groups, config)


def unpack_shifts(table, m, groups, config):
    """Alignment shifts from their table: (shift_bytes,) uint8 → (m, groups) uint8, the low bits of each byte."""
    return table.reshape(m, shift_pitch(groups, config))[:, :groups] & ((1 << SHIFT_BITS) - 1)


def tile_results(partial, config):
    """Words of a job's results in partials mode: (m, n, groups) int32 → (n, tiles·groups·rows of the tile) int32."""
    words = partial.transpose(1, 2, 0)
    n, m  = words.shape[0], words.shape[2]
    tiles = [words[:, :, start:start + config.rows].reshape(n, -1) for start in range(0, m, config.rows)]
    return np.concatenate(tiles, axis=1)
