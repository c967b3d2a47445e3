# SPDX-License-Identifier: BSD-2-Clause
"""How sequences advance: all as rows of one pass, or each in a session of the device's own decoder."""

import numpy as np

from mixpe.errors import JobError
from mixpe.lm.batch import forward_many
from mixpe.lm.session import listed_logits
from mixpe.lm.together import go_on_together


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
    """Each sequence has a session in the device's memory. Their next tokens are rows of one pass, where the device has
    rows and memory for it; pieces of prompts are passes of their own.

    Only the logits that a sampler can choose from are known, the 64 largest; the others are -inf.

    Parameters
    ----------
    model : LlamaModel
        With a decoder on its device.
    slots : int
        Sequences at most; memory for passes of so many is taken before sessions take it.
    """

    def __init__(self, model, slots):
        self._model = model
        for count in range(2, slots + 1):
            model.prepare_sessions(count)

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
        """See `RowPasses`; in place of a row an error that is this sequence's alone."""
        ready = [sequence for sequence, tokens in work if len(tokens) == len(sequence.pending) == 1]
        found = self._together(ready) if len(ready) > 1 else {}
        return [found[id(sequence)] if id(sequence) in found else self._alone(sequence, tokens)
            for sequence, tokens in work]

    def _together(self, ready):
        """Rows of sequences by their identity; lists of the largest are made if one of them needs its."""
        listed   = not all(sequence.greedy for sequence in ready)
        advances = go_on_together([sequence.cache for sequence in ready], [sequence.pending[0] for sequence in ready],
            listed=listed)
        return {id(sequence): advance.error or self._row(sequence, sequence.pending, advance.tokens[0], listed)
            for sequence, advance in zip(ready, advances, strict=True)}

    def _alone(self, sequence, tokens):
        more   = len(tokens) < len(sequence.pending)  # nobody asks for the logits of this piece of a prompt
        listed = not (more or sequence.greedy)
        try:
            token = sequence.cache.read(tokens, listed=listed, more=more)
        except JobError as error:
            return error
        return None if more else self._row(sequence, tokens, token, listed)

    def _row(self, sequence, tokens, token, listed):
        """Logits behind tokens that chose a token."""
        session, vocabulary = sequence.cache, self._model.config.vocab_size
        if sequence.takes(token):                     # the others need not cross the link
            row = np.full(vocabulary, -np.inf, np.float32)
            row[token] = 0
            return row
        if not listed:                                # it found the largest alone, which may not be chosen
            session.length -= 1
            session.go_on(tokens[-1], 1, listed=True)
        return listed_logits(session, vocabulary)


def passes_of(model, slots):
    """Those that the model's decoder has, for so many sequences."""
    return DevicePasses(model, slots) if model.decodes_on_device else RowPasses(model)
