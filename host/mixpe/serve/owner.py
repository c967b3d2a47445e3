# SPDX-License-Identifier: BSD-2-Clause
"""The one thread that has the model and its device.

    submit ─► waiting (bounded) ─► active: at most as many as the array has rows for ─► pieces to each client
                                      one pass after the other: every active sequence's next token, and a piece of one
                                      prompt; a kept cache with the same beginning is continued

With a decoder on the device caches are sessions in its memory; the next tokens of all are rows of one run, the piece of
a prompt is another.

While there is nothing to do, what lies in the device's memory is looked at, a little at a time. What is damaged is sent
again; caches that are kept may have been made with it, and are kept no longer.
"""

import threading
from collections import deque

from mixpe.errors import DamageError, DeviceError, DeviceMemoryError, MixpeError
from mixpe.serve.ask import AskError
from mixpe.serve.passes import passes_of

CHUNK   = 32   # tokens of a prompt in one pass: others get a token meanwhile
PAUSE_S = 1.0  # without anything to do, until a look
LOOK_S  = 0.1  # of looks at a time: what comes meanwhile waits so long


def common(first, second):
    """How many tokens two lists begin with alike."""
    count = 0
    for a, b in zip(first, second, strict=False):
        if a != b:
            break
        count += 1
    return count


class Owner(threading.Thread):
    """Serves sequences until `close`.

    Parameters
    ----------
    model : LlamaModel
    figures : Figures
    slots : int
        Sequences that advance together.
    waiting : int
        Further ones that may wait.
    kept : int
        Caches of ended sequences that are kept for what continues them.
    check_s : float, optional
        While idle, what was looked at longer ago is looked at.
    """

    def __init__(self, model, figures, *, slots, waiting=32, kept=4, check_s=None):
        super().__init__(name="mixpe-owner", daemon=True)
        self._passes, self._figures = passes_of(model, slots), figures
        self._slots, self._limit, self._keep = slots, waiting, kept
        self._device  = None if check_s is None else model.device
        self._check_s = check_s
        self._change  = threading.Condition()
        self._waiting = deque()
        self._active  = []
        self._kept    = []      # (tokens, cache), the least recently used first
        self._closing = False

    def submit(self, sequence):
        """Have a sequence served.

        Raises
        ------
        AskError
            Too many wait already (status 429), or the server ends (503).
        """
        with self._change:
            if self._closing:
                raise AskError("the server is closing", code="closing", status=503)
            if len(self._waiting) >= self._limit:
                raise AskError(f"{self._limit} requests wait already; try again later", code="queue_full", status=429)
            self._waiting.append(sequence)
            self._change.notify()

    def cancel(self, sequence):
        """Nobody waits for it any more: its place goes to the next one before the next pass."""
        with self._change:
            sequence.cancelled = True
            self._change.notify()

    def lengths(self):
        """How many wait, and how many are active."""
        with self._change:
            return len(self._waiting), len(self._active)

    def close(self, limit_s=60):
        """End all, and the thread."""
        with self._change:
            self._closing = True
            self._change.notify()
        self.join(limit_s)

    def run(self):
        """Passes until `close`; an error ends the sequences that it hit, not the thread."""
        while self._admit():
            try:
                if self._active:
                    self._pass()
                else:
                    self._look()
            except MixpeError as error:
                self._drop(error)
            except Exception as error:  # a fault of ours must not leave clients waiting
                self._drop(DeviceError(f"the server failed: {type(error).__name__}: {error}"))
        for sequence in [*self._active, *self._waiting]:
            sequence.fail(DeviceError("the server was closed"))
        for cache in [*(sequence.cache for sequence in self._active), *(cache for _, cache in self._kept)]:
            self._passes.close_cache(cache)
        self._active, self._kept = [], []

    def _admit(self):
        """Fill the slots; waits while there is nothing to do, not even to look. False: it is time to end."""
        with self._change:
            while True:
                for sequence in [*self._active, *self._waiting]:
                    if sequence.cancelled:
                        sequence.end("cancelled")
                for sequence in [each for each in self._active if each.ended]:
                    self._active.remove(sequence)
                    self._retire(sequence)
                for sequence in [each for each in self._waiting if each.ended]:
                    self._waiting.remove(sequence)
                    self._figures.ended(sequence)
                while self._waiting and len(self._active) < self._slots:
                    if not self._begin(self._waiting[0]):
                        break
                    self._waiting.popleft()
                if self._closing:
                    return False
                if self._active:
                    return True
                if not self._change.wait(None if self._device is None else PAUSE_S):
                    return True

    def _begin(self, sequence):
        """Give it a cache, one that holds its beginning if there is. False: there is no room before another ends."""
        best = max(self._kept, key=lambda kept: common(kept[0], sequence.prompt), default=None)
        known = 0 if best is None else min(common(best[0], sequence.prompt), len(sequence.prompt) - 1)
        if known:
            self._kept.remove(best)
            sequence.cache = best[1]
            sequence.cache.length = known
        else:
            try:
                sequence.cache = self._new_cache()
            except MixpeError as error:
                if self._active and isinstance(error, DeviceMemoryError):
                    return False
                sequence.fail(error)
                self._figures.ended(sequence)
                return True
        sequence.known   = known
        sequence.pending = sequence.prompt[known:]
        self._active.append(sequence)
        return True

    def _new_cache(self):
        """A fresh one; kept ones make room for it, the least recently used first."""
        while True:
            try:
                return self._passes.new_cache()
            except DeviceMemoryError:
                if not self._kept:
                    raise
                self._passes.close_cache(self._kept.pop(0)[1])

    def _retire(self, sequence):
        """Keep its cache for a while."""
        self._figures.ended(sequence)
        if sequence.cache.length:
            self._kept.append((sequence.tokens[:sequence.cache.length], sequence.cache))
        else:
            self._passes.close_cache(sequence.cache)
        while len(self._kept) > self._keep:
            self._passes.close_cache(self._kept.pop(0)[1])

    def _pass(self):
        """One pass: a token for all whose prompt is done, and a piece of the first prompt that is not."""
        work, prompt = [], False
        for sequence in self._active:
            if len(sequence.pending) > 1:
                if prompt:
                    continue
                prompt = True
            work.append((sequence, sequence.pending[:CHUNK]))
        with self._figures.timed(work):
            logits = self._passes(work)
        for (sequence, tokens), row in zip(work, logits, strict=True):
            if isinstance(row, MixpeError):  # of this one alone: what its cache holds is known
                sequence.fail(row)
                continue
            sequence.pending = sequence.pending[len(tokens):]
            if not sequence.pending:
                sequence.take(row)
        if all(sequence.ended for sequence in self._active):
            self._figures.read()  # an answer may be shorter than the time between two readings

    def _look(self):
        """See whether the device's memory is what it was, and put right what is not."""
        try:
            self._figures.looked(self._device.check(self._check_s, LOOK_S))
        except DamageError as error:
            self._drop(error)
            self._device.recover()

    def _drop(self, error):
        """The pass failed: what its caches hold is not known; nor what others do, if it was made of what is damaged."""
        if isinstance(error, DamageError):
            self._figures.damaged(error.names)
            while self._kept:
                self._passes.close_cache(self._kept.pop()[1])
        with self._change:
            for sequence in self._active:
                sequence.fail(error)
                self._figures.ended(sequence)
                self._passes.close_cache(sequence.cache)
            self._active = []
