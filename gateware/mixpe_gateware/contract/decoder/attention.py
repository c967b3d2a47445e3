# SPDX-License-Identifier: BSD-2-Clause
"""Causal attention over the INT8 cache, grouped heads, in exact integers between the codes of q and the head's result.

Axes: b sequences, t new positions, s positions in the cache, h heads, c key-value heads, d head width.
A wide integer is held in an FP64, exactly: none has more than 53 bits.
"""

import numpy as np

from mixpe_gateware.contract.config import CONTEXT_LIMIT
from mixpe_gateware.contract.decoder.cache import scale_parts
from mixpe_gateware.contract.decoder.float32 import multiply, raised
from mixpe_gateware.contract.decoder.functions import LOG2_E, exp2_negative, reciprocal
from mixpe_gateware.contract.decoder.tables import VALUE_BITS
from mixpe_gateware.contract.errors import RangeError

HEAD_LIMIT    = 256      # of d
QUERY_BITS    = 15       # of a query code's magnitude
SCORE_LIMIT   = 1 << 31  # of magnitudes, units of 2^-16
BLOCK         = 1 << 17  # scores at a time, so that they stay in a cache of the host
WEIGHT_DROP   = 9        # p has 18 bits and a mantissa 8; their product keeps 17


def query_factor(d):
    """log2(e)/√d: what queries are multiplied by, before it is rounded to m18. float32."""
    return np.float32(float(LOG2_E)/np.sqrt(d))


def query_codes(q, factor=None):
    """Codes of queries, to base 2 and over √d; |t − code·2^(e − 15)| ≤ 2^(e − 16), at the largest 2^(e − 15).

    Parameters
    ----------
    q : (…, d) float32, F32
    factor : float32, optional
        Default: that of `query_factor`.

    Returns
    -------
    codes : (…, d) float64, whole numbers in ±32767
    exponent : (…,) int32
        e: t = fl(q·m18(log2(e)/√d)) is below 2^e; 0 where all are 0.
    """
    t = multiply(q, query_factor(q.shape[-1]) if factor is None else factor)
    _, exponent = np.frexp(np.abs(t).max(axis=-1))
    codes = np.rint(np.ldexp(t.astype(np.float64), QUERY_BITS - exponent[..., None]))
    return np.clip(codes, 1 - (1 << QUERY_BITS), (1 << QUERY_BITS) - 1), exponent


def scores(codes, exponent, keys, key_scales, hidden):
    """Scores to base 2, in units of 2^-16: floor(q·k·mantissa(sk)·2^(exponent(sk) + e + 1)).

    Parameters
    ----------
    codes : (b, c, h/c, t, d) float64
    exponent : (b, c, h/c, t) integers
    keys : (b, c, s, d) int8
    key_scales : (b, c, s) uint16
    hidden : (t, s) bool
        What a position does not see.

    Returns
    -------
    (b, c, h/c, t, s) float64, whole numbers; −inf where hidden

    Raises
    ------
    RangeError
        A score of 2^31 units or more.
    """
    mantissa, power = scale_parts(key_scales)
    factor = np.ldexp(mantissa.astype(np.float64), power)[:, :, None, None, :]
    score  = np.matmul(codes, keys[:, :, None].swapaxes(-1, -2).astype(np.float64))  # below 2^31
    score *= factor
    score *= np.ldexp(1.0, exponent + 1)[..., None]
    np.floor(score, out=score)
    high, low = score.max(initial=0, where=~hidden), score.min(initial=0, where=~hidden)
    if max(high, -low) >= SCORE_LIMIT:
        raise RangeError(f"a score of attention must be below 2^15 to base 2, found {max(high, -low)/65536:.0f}")
    np.copyto(score, -np.inf, where=hidden)
    return score


def weights(score):
    """p of scores: T_exp of how far each is below the largest of its row.

    Parameters
    ----------
    score : (…, s) float64, whole numbers or −inf, one number a row at least

    Returns
    -------
    (…, s) int32, 0 … 2^18 − 1; their exact sum is the softmax' denominator
    """
    below = np.subtract(score.max(axis=-1, keepdims=True), score)
    return exp2_negative(np.minimum(below, VALUE_BITS << 16, out=below))


def mix(p, values, value_scales, hidden):
    """Heads of the module: Σ p·v·sv/Σ p; error at most s·2^(E − 1) beside that of p and a relative 2^-14.

    Parameters
    ----------
    p : (b, c, h/c, t, s) int32
    values : (b, c, s, d) int8
    value_scales : (b, c, s) uint16
    hidden : (t, s) bool

    Returns
    -------
    (b, c, h/c, t, d) float32
    """
    mantissa, power = scale_parts(value_scales)
    seen    = (mantissa > 0)[:, :, None, :] & ~hidden                                     # (b, c, t, s)
    largest = np.where(seen, power[:, :, None, :], -1000).max(axis=-1)                    # E
    largest = np.where(largest == -1000, 0, largest)
    factor  = np.ldexp(mantissa.astype(np.float64), power)[:, :, None, :]
    factor  = factor*np.ldexp(1.0, -largest - WEIGHT_DROP)[..., None]
    scaled  = np.floor(p*factor[:, :, None])                                              # p', 17 bits
    total   = np.matmul(scaled, values[:, :, None].astype(np.float64))                    # 40 bits
    inverse = reciprocal(p.sum(axis=-1, dtype=np.int64).astype(np.float32))
    factor  = raised(inverse, largest[:, :, None] + WEIGHT_DROP)
    return multiply(total.astype(np.float32), factor[..., None])


def attention(q, keys, key_scales, values, value_scales, window=None):
    """Attention of the last t positions over all s, or over the last `window` before each, itself included.

    Parameters
    ----------
    q : (b, t, h, d) float32, F32, d ≤ 256
    keys, values : (b, c, s, d) int8
        From `cache.append`; c divides h, s from t to 2^15.
    key_scales, value_scales : (b, c, s) uint16
    window : int, optional

    Returns
    -------
    (b, t, h·d) float32

    Raises
    ------
    RangeError
        A score of 2^15 or more to base 2, or a shape beyond the sums' widths.
    """
    b, t, h, d = q.shape
    c, s = keys.shape[1:3]
    if d > HEAD_LIMIT or s > CONTEXT_LIMIT:
        raise RangeError(f"attention takes heads of {HEAD_LIMIT} and {CONTEXT_LIMIT} positions at most, not of {d} and "
                         f"{s}")
    q, rows = q.reshape(b, t, c, h//c, d).transpose(0, 2, 3, 1, 4), max(1, BLOCK//(b*h*s))
    out = np.empty((b, t, h*d), np.float32)
    for first in range(0, t, rows):
        last  = min(t, first + rows)
        begin = 0 if window is None else max(0, s - t + first + 1 - window)
        end   = s - t + last
        k, sk, v, sv = (array[:, :, begin:end] for array in (keys, key_scales, values, value_scales))
        distance = np.arange(s - t + first, end)[:, None] - np.arange(begin, end)
        hidden   = distance < 0 if window is None else (distance < 0) | (distance >= window)
        p = weights(scores(*query_codes(q[:, :, :, first:last]), k, sk, hidden))
        out[:, first:last] = mix(p, v, sv, hidden).transpose(0, 3, 1, 2, 4).reshape(b, last - first, h*d)
    return out
