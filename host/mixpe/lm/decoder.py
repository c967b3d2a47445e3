# SPDX-License-Identifier: BSD-2-Clause
"""A model in the arithmetic of the decoder: all between the linear layers by `mixpe_gateware.contract.decoder`.

With linear layers that are exact, tokens in one pass or one by one give the same bits, on every machine.
"""

import numpy as np

from mixpe.formats.rope import rope_tables
from mixpe.lm.cache import PositionCache
from mixpe_gateware.contract.decoder.attention import attention
from mixpe_gateware.contract.decoder.cache import append
from mixpe_gateware.contract.decoder.float32 import add, flush, short
from mixpe_gateware.contract.decoder.norm import rms_norm
from mixpe_gateware.contract.decoder.rope import rotate
from mixpe_gateware.contract.decoder.swiglu import silu_multiply


class DecoderCache(PositionCache):
    """INT8 keys and values with a bfloat16 scale a position and head; see `PositionCache`."""

    def __init__(self, config, batch=1):
        super().__init__(config, batch, [(np.int8, (config.head_dim,)), (np.uint16, ())]*2)

    def extend(self, layer, keys, values):
        """Store the new tokens of one layer, (b, t, c, d) float32 each.

        Returns
        -------
        keys, key_scales, values, value_scales
            Of all tokens: (b, c, s, d) int8 and (b, c, s) uint16, twice.
        """
        return self.store(layer, *append(keys.transpose(0, 2, 1, 3)), *append(values.transpose(0, 2, 1, 3)))


class DecoderArithmetic:
    """The decoder's numbers between the linear layers; see `mixpe_gateware.contract.decoder`.

    Every method may raise `RangeError`, where a device says RANGE.
    """

    new_cache = staticmethod(DecoderCache)
    read      = staticmethod(flush)
    add       = staticmethod(add)
    norm      = staticmethod(rms_norm)
    rotate    = staticmethod(rotate)
    attention = staticmethod(attention)
    gate      = staticmethod(silu_multiply)

    @staticmethod
    def tables(positions, frequencies, magnitude=1.0):
        """Cosines and sines as the device's table holds them: (t, d/2) float32 each, m18."""
        return tuple(short(table[:, :len(frequencies)]) for table in rope_tables(positions, frequencies, magnitude))
