# SPDX-License-Identifier: BSD-2-Clause
"""The making of a text, token by token, and what it cost."""

import weakref

from mixpe.lm.session import listed_logits
from mixpe.lm.statistics import Phase, Snapshot, Statistics

RUN_TOKENS = 8  # that a device chooses before they are shown


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


class DeviceGeneration(Generation):
    """The same by a device's decoder: tokens alone cross the link.

    Parameters
    ----------
    model : LlamaModel
        With a decoder on its device.
    prompt, n, sampler, as_bytes, ends
        See `Generation`. The likeliest token is chosen on the device, several passes at a time; other samplers choose
        among the largest 64 logits of each pass.
    cache : Session, optional
        With what comes before the prompt. Default: one that is closed with this iterator.
    """

    def __init__(self, model, prompt, n, sampler, *, as_bytes=False, ends=frozenset(), cache=None):
        session = model.session() if cache is None else cache
        super().__init__(model, prompt, n, sampler, as_bytes=as_bytes, ends=ends, cache=session)
        self._made = []  # chosen by the device and not given yet
        if cache is None:
            weakref.finalize(self, session.close)

    def __next__(self):
        if self._end is not None:
            raise StopIteration
        if self._begin is None:
            self._begin = Snapshot.take(self._model)
            token = self._first()
            self._prefilled = Snapshot.take(self._model)
        elif self._made:
            token = self._made.pop(0)
        else:
            token = self._next()
        self._tokens.append(token)
        if len(self._tokens) == self._n or token in self._ends:
            self._end = Snapshot.take(self._model)
        return bytes([token]) if self._as_bytes else token

    def _first(self):
        """The token behind the prompt."""
        prompt = self._prompt.tolist()
        begin  = self._cache.length
        token  = self._cache.read(prompt, listed=not self._sampler.greedy)
        return token if self._sampler.takes(token) else self._sampled(begin + len(prompt) - 1, prompt[-1])

    def _sampled(self, position, token):
        """What the sampler makes of the pass of a token at a position; what came behind it is forgotten."""
        if self._sampler.greedy:  # which found the largest alone
            self._cache.length = position
            self._cache.go_on(token, 1, listed=True)
        return self._sampler(listed_logits(self._cache, self._model.config.vocab_size))

    def _next(self):
        last  = self._tokens[-1]
        begin = self._cache.length
        count = min(RUN_TOKENS if self._sampler.greedy else 1, self._n - len(self._tokens))
        made  = self._cache.go_on(last, count, listed=not self._sampler.greedy)
        for index, token in enumerate(made):
            if not self._sampler.takes(token):  # from here on it went another way
                made[index:] = [self._sampled(begin + index, [last, *made][index])]
                break
        self._made = made[1:]
        return made[0]
