# SPDX-License-Identifier: BSD-2-Clause
"""The making of a text, token by token, and what it cost."""

from mixpe.lm.statistics import Phase, Snapshot, Statistics


class Generation:
    """Iterator over the tokens of one text, each as soon as it is made.

    The first token needs one pass of the whole prompt, every further one a pass of a single row. Nothing runs before
    the first token is asked for.

    Parameters
    ----------
    model : LlamaModel
    prompt : (t,) int64
        What is not in the cache yet.
    n : int
        Most tokens to make.
    sampler : callable
        (vocab,) float32 logits → int.
    as_bytes : bool
        Give bytes of length 1 instead of integers.
    ends : set of int
        Tokens that end the text; such a one is still given.
    cache : KVCache, optional
        With what comes before the prompt.
    """

    def __init__(self, model, prompt, n, sampler, *, as_bytes=False, ends=frozenset(), cache=None):
        self._model, self._prompt, self._n = model, prompt, n
        self._sampler, self._as_bytes, self._ends = sampler, as_bytes, ends
        self._cache = model.new_cache() if cache is None else cache
        self._tokens = []
        self._begin = self._prefilled = self._end = None

    def __repr__(self):
        state = "ended" if self._end is not None else "running" if self._begin is not None else "not begun"
        return f"Generation({len(self._tokens)} of at most {self._n} tokens, {state})"

    def __iter__(self):
        return self

    def __next__(self):
        if self._end is not None:
            raise StopIteration
        if self._begin is None:
            self._begin = Snapshot.take(self._model)
            logits = self._model.forward(self._prompt[None], self._cache, last_only=True)
            self._prefilled = Snapshot.take(self._model)
        else:
            logits = self._model.forward([[self._tokens[-1]]], self._cache, last_only=True)
        token = self._sampler(logits[0, -1])
        self._tokens.append(token)
        if len(self._tokens) == self._n or token in self._ends:
            self._end = Snapshot.take(self._model)
        return bytes([token]) if self._as_bytes else token

    @property
    def tokens(self):
        """Tokens made so far, without the prompt."""
        return tuple(self._tokens)

    def statistics(self):
        """Cost so far; exact once the last token is made. None before the first."""
        if self._begin is None:
            return None
        end = self._end or Snapshot.take(self._model)
        return Statistics(len(self._tokens), Phase.between(len(self._prompt), self._begin, self._prefilled),
                          Phase.between(max(0, len(self._tokens) - 1), self._prefilled, end))
