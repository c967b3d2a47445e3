# SPDX-License-Identifier: BSD-2-Clause
"""Memory of a KV cache, whatever a position is kept as: it grows with the positions."""

import numpy as np


class PositionCache:
    """What every decoder layer keeps of the tokens seen so far.

    Parameters
    ----------
    config : Architecture
    batch : int
        Sequences that advance together.
    parts : list of (dtype, shape)
        What is kept of one position and head.

    Attributes
    ----------
    length : int
        Tokens in the cache.
    """

    def __init__(self, config, batch, parts):
        self._context = config.max_position_embeddings
        self._room    = min(256, self._context)
        self._shape   = config.num_hidden_layers, batch, config.num_key_value_heads
        self._arrays  = [np.zeros((*self._shape, self._room, *shape), dtype) for dtype, shape in parts]
        self.length   = 0

    @property
    def batch(self):
        return self._shape[1]

    @property
    def nbytes(self):
        """That are kept, with the room for further positions."""
        return sum(array.nbytes for array in self._arrays)

    def store(self, layer, *parts):
        """Store the new tokens of one layer, each part (b, c, t, …); returns all tokens, (b, c, s, …) each."""
        end = self.length + parts[0].shape[2]
        if end > self._room:
            self._grow(max(end, min(2*self._room, self._context)))
        for array, part in zip(self._arrays, parts, strict=True):
            array[layer, :, :, self.length:end] = part
        return tuple(array[layer, :, :, :end] for array in self._arrays)

    def _grow(self, room):
        for index, old in enumerate(self._arrays):
            new = np.zeros((*self._shape, room, *old.shape[4:]), old.dtype)
            new[:, :, :, :self.length] = old[:, :, :, :self.length]
            self._arrays[index] = new
        self._room = room
