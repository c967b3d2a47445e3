# SPDX-License-Identifier: BSD-2-Clause
"""What goes through each design's ports when a real layer runs: its own weights, and activations in its own format.

Streams run side by side, a token each. One group of G products follows the other; the weights are those of one output
channel (OLAccel: of its 16, FP16 dequantisation: of the five that take turns). Tables are the exception: theirs stay
while weights of many channels stream past, so each beat belongs to another channel, and writing is counted apart.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from mixpe.explore import arithmetic
from mixpe_gateware.baselines.ant import TYPES
from mixpe_gateware.baselines.float16 import align
from mixpe_gateware.baselines.fp16_dequant import INTERLEAVE
from mixpe_gateware.baselines.olaccel import CHANNELS, SUM_BITS
from mixpe_gateware.contract.errors import ConfigError, ShapeError
from mixpe_gateware.pe import DESIGNS


@dataclass
class Stimulus:
    """Cycles for some streams, and what must come out.

    Attributes
    ----------
    cycles : list of (weights, activations, first, last)
        Port values; weights and activations have one a stream.
    expected : list of list
        Results in their order, one a stream, to compare with `decode` of the ``total`` port.
    products : int
        Products of weight and activation in a stream.
    writes : int
        How many of the cycles, from the beginning of each of `positions` equal parts, write tables.
    positions : int
    decode : callable
        Port value (unsigned integer) and its width to a result.
    """

    cycles: list = field(default_factory=list)
    expected: list = field(default_factory=list)
    products: int = 0
    writes: int = 0
    positions: int = 1
    decode: Callable | None = None


def signed(value, bits):
    """Two's complement."""
    return value - (value >> bits - 1 << bits)


def _beats(params, q, x, expected, weights=None, activations=None):
    """Groups q, x (streams, groups, G) in beats of the lanes; `weights` and `activations` make the ports' values."""
    streams, groups, size = q.shape
    weights     = weights or (lambda stream, group, row: params.encode_weights(row))
    activations = activations or params.encode
    beats = size//params.lanes
    found = Stimulus(products=groups*size, decode=signed)
    for group in range(groups):
        for beat in range(beats):
            part = slice(beat*params.lanes, (beat + 1)*params.lanes)
            found.cycles.append(([weights(stream, group, q[stream, group, part]) for stream in range(streams)],
                                 [activations(x[stream, group, part]) for stream in range(streams)],
                                 beat == 0, beat == beats - 1))
        found.expected.append([int(expected[stream, group]) for stream in range(streams)])
    return found


def _sums(params, q, x, **options):
    """Σ over groups of the reference, beat by beat."""
    shape = (*q.shape[:2], -1, params.lanes)
    result = params.reference(q.reshape(shape), x.reshape(shape), **options)
    return (result[0] if isinstance(result, tuple) else result).sum(axis=-1)


def _integers(x):
    """INT8 activations (streams, groups, G)."""
    scale = np.abs(x).reshape(len(x), -1).max(axis=1)/127
    return np.rint(x/np.where(scale == 0, 1, scale)[:, None, None]).astype(np.int64)


def _w4(w):
    return arithmetic.w4_codes(w)[0].astype(np.int64)


def _w4a8(params, w, x):
    q, x = _w4(w), _integers(x)
    return _beats(params, q, x, _sums(params, q, x))


def _int8(params, w, x):
    q, x = arithmetic.symmetric_codes(w.reshape(len(w), -1), 8)[0].astype(np.int64).reshape(w.shape), _integers(x)
    return _beats(params, q, x, _sums(params, q, x))


def _aligned(params, w, x):
    q, x = _w4(w), align(x.astype(np.float16), params.width)[0]
    return _beats(params, q, x, _sums(params, q, x))


def _mixpe_a16(params, w, x):
    q, x = _w4(w), x.astype(np.float16)
    return _beats(params, q, x, _sums(params, q, x))


def _qserve(params, w, x):
    q, scale, zero, _ = arithmetic.qserve_codes(w.reshape(len(w), -1), w.shape[-1])
    q, x  = q.astype(np.int64), _integers(x)
    scale = scale[..., 0].astype(np.int64)
    offset = -(zero[..., 0].astype(np.int64)*scale)
    result = _sums(params, q, x, scale=scale[..., None, None], zero=offset[..., None, None])
    return _beats(params, q, x, result, weights=lambda stream, group, row: params.encode_weights(
        row, scale[stream, group], offset[stream, group]))


def _bitfusion(params, w, x):
    q, x = arithmetic.symmetric_codes(w.reshape(len(w), -1), 4)[0].astype(np.int64).reshape(w.shape), _integers(x)
    return _beats(params, q, x, _sums(params, q, x, weights_signed=True),
                  weights=lambda stream, group, row: params.encode_weights(row, weights_signed=True))


def _ant(params, w, x):
    kinds, codes, _ = arithmetic.ant_codes(w.reshape(len(w), -1))
    q, x = codes.reshape(w.shape), _integers(x)
    sums = np.stack([_sums(params, q, x, kind=kind) for kind in TYPES])
    return _beats(params, q, x, sums[kinds, np.arange(len(w))],
                  weights=lambda stream, group, row: params.encode_weights(row, TYPES[kinds[stream]]))


def _olive(params, w, x):
    q, x = arithmetic.olive_codes(w.reshape(len(w), -1))[0].reshape(w.shape), _integers(x)
    return _beats(params, q, x, _sums(params, q, x))


def _table(params, w, x):
    """Each stream's tables are written for one beat of activations of each group, then all streams' weights go past."""
    q, x = _w4(w), _integers(x)
    streams, groups, size = q.shape
    beats = size//params.lanes
    found = Stimulus(products=groups*size, writes=16, positions=groups, decode=signed)
    idle  = [0]*streams
    for group in range(groups):
        here = x[:, group, :params.lanes]
        words = [params.table_writes(row) for row in here]
        found.cycles += [(idle, [word[index] for word in words], False, False) for index in range(16)]
        rows = q[:, group].reshape(streams, beats, params.lanes)
        found.cycles += [([params.encode_weights(row) for row in rows[:, beat]], idle, beat == 0, beat == beats - 1)
                         for beat in range(beats)]
        found.expected.append(params.reference(rows, np.repeat(here[:, None], beats, axis=1)).sum(axis=-1).tolist())
    return found


def _olaccel(params, w, x):
    """16 channels a stream; a chunk with two outliers or more is followed by chunks that carry the others."""
    streams = len(w)//CHANNELS
    w = w[:streams*CHANNELS]
    q = arithmetic.olaccel_codes(w.reshape(len(w), -1))[0].astype(np.int64)
    q = q.reshape(streams, CHANNELS, *w.shape[1:]).transpose(2, 0, 3, 1)  # groups, streams, G, channels
    x = _integers(x[:streams])
    found = Stimulus(products=CHANNELS*x[0].size, decode=lambda value, bits: [
        signed(value >> SUM_BITS*lane & (1 << SUM_BITS) - 1, SUM_BITS) for lane in range(CHANNELS)])
    for group in range(x.shape[1]):
        chunks = [[] for _ in range(streams)]
        for stream in range(streams):
            for row, value in zip(q[group, stream], x[stream, group], strict=True):
                outliers = np.flatnonzero((row < -8) | (row > 7))
                first = row.copy()
                first[outliers[1:]] = 0
                chunks[stream].append((first, int(value)))
                for lane in outliers[1:]:
                    chunks[stream].append((np.where(np.arange(CHANNELS) == lane, row, 0), int(value)))
        longest = max(map(len, chunks))
        for stream in range(streams):
            chunks[stream] += [(np.zeros(CHANNELS, np.int64), 0)]*(longest - len(chunks[stream]))
        for index in range(longest):
            weights = [params.encode_weights(chunks[stream][index][0]) for stream in range(streams)]
            for high in (0, 1):
                halves = [chunks[stream][index][1] >> 4*high & 15 | high << 4 for stream in range(streams)]
                found.cycles.append((weights, halves, index == 0 and not high, index == longest - 1 and high == 1))
        found.expected.append([(x[stream, group] @ q[group, stream]).tolist() for stream in range(streams)])
    return found


def _fp16_dequant(params, w, x):
    """Five channels a stream, with one group's scale each."""
    streams = len(w)//INTERLEAVE
    w = w[:streams*INTERLEAVE]
    q, scale = arithmetic.symmetric_group_codes(w)
    q     = q.astype(np.int64).reshape(streams, INTERLEAVE, *w.shape[1:])
    scale = scale[..., 0].astype(np.float16).reshape(streams, INTERLEAVE, -1)
    x     = x[:streams].astype(np.float16)
    found = Stimulus(products=INTERLEAVE*x[0].size, decode=lambda value, bits: float(params.value(value)))
    for group in range(x.shape[1]):
        for index in range(x.shape[2]):
            for channel in range(INTERLEAVE):
                found.cycles.append(([params.encode_weights(q[stream, channel, group, index],
                                                            scale[stream, channel, group])
                                      for stream in range(streams)],
                                     [params.encode(x[stream, group, index]) for stream in range(streams)],
                                     index == 0, index == x.shape[2] - 1))
        for channel in range(INTERLEAVE):
            found.expected.append([float(params.reference(q[stream, channel, group], x[stream, group],
                                                          scale[stream, channel, group])) for stream in range(streams)])
    return found


MAKERS = {
    **dict.fromkeys(DESIGNS, _w4a8), "aligned-a16": _aligned,
    "mixpe-a16": _mixpe_a16, "table": _table, "int8": _int8, "bitplane-int8": _int8, "qserve": _qserve,
    "bitfusion": _bitfusion, "olaccel": _olaccel, "ant": _ant, "olive": _olive, "fp16-dequant": _fp16_dequant}


def stimulus(params, w, x):
    """The stimulus of a design for a layer.

    Parameters
    ----------
    params : DotProduct
    w : (streams, groups, G) float
        Weights of one output channel a stream; OLAccel and FP16 dequantisation make fewer streams of several channels.
    x : (streams, groups, G) float
        Activations of one token a stream.

    Returns
    -------
    Stimulus

    Raises
    ------
    ConfigError, ShapeError
    """
    if params.name not in MAKERS:
        raise ConfigError(f"{params.name} has no stimulus; known: {', '.join(MAKERS)}")
    if w.ndim != 3 or w.shape != x.shape or w.shape[-1] % params.lanes and params.name != "olaccel":
        raise ShapeError(f"weights and activations must be (streams, groups, G), G a multiple of {params.lanes}, "
                         f"not {w.shape} and {x.shape}")
    return MAKERS[params.name](params, w.astype(np.float64), x.astype(np.float64))
