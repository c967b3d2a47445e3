# SPDX-License-Identifier: BSD-2-Clause
"""How sequences advance: all as rows of one pass, or each in a session of the device's own decoder."""

import numpy as np

from mixpe.lm.batch import forward_many
from mixpe.lm.session import listed_logits


class RowPasses:
    """The tokens of all sequences are rows of the same linear layers; what is between these runs on the host.

    Parameters
    ----------
    model : LlamaModel
    """

    def __init__(self, model):
        self._model = model

    def new_cache(self):
        """A cache for one sequence."""
        return self._model.new_cache()

    def close_cache(self, cache):
        """It is not used any more."""

    def __call__(self, work):
        """Run new tokens of each sequence: list of (Sequence, tokens) → a row of (vocab,) float32 logits for each."""
        return forward_many(self._model, [(tokens, sequence.cache) for sequence, tokens in work])


class DevicePasses:
    """Each sequence has a session in the device's memory, and they take turns: a token each.

    Only the logits that a sampler can choose from are known, the 64 largest; the others are -inf.

    Parameters
    ----------
    model : LlamaModel
        With a decoder on its device.
    """

    def __init__(self, model):
        self._model = model

    def new_cache(self):
        """A session for one sequence.

        Raises
        ------
        DeviceMemoryError
            There is no room for one more.
        """
        return self._model.session()

    def close_cache(self, cache):
        """Give its memory back."""
        cache.close()

    def __call__(self, work):
        """See `RowPasses`."""
        return [self._row(sequence, tokens) for sequence, tokens in work]

    def _row(self, sequence, tokens):
        session, vocabulary = sequence.cache, self._model.config.vocab_size
        more  = len(tokens) < len(sequence.pending)  # nobody asks for the logits of this piece of a prompt
        token = session.read(tokens, listed=not (more or sequence.greedy), more=more)
        if more or sequence.takes(token):            # the others need not cross the link
            row = np.full(vocabulary, -np.inf, np.float32)
            row[token] = 0
            return row
        if sequence.greedy:                          # it found the largest alone, which may not be chosen
            session.length -= 1
            session.go_on(tokens[-1], 1, listed=True)
        return listed_logits(session, vocabulary)


def passes_of(model):
    """Those that the model's decoder has."""
    return DevicePasses(model) if model.decodes_on_device else RowPasses(model)
