# SPDX-License-Identifier: BSD-2-Clause
"""Choose the next token from logits: the largest, or a draw with temperature and nucleus (top-p) cut."""

import math

import numpy as np

from mixpe.errors import RangeError


class Sampler:
    """Choose tokens; two samplers with the same settings and seed make the same choices from the same logits.

    Parameters
    ----------
    temperature : float
        0 takes the largest logit (the lowest token of equals); else logits are divided by it.
    top_p : float, over 0 … 1
        Draw from the smallest set of most likely tokens that together have this probability.
    seed : int from 0
    allowed : (vocab,) bool, optional
        Tokens that may be chosen; default: all.

    Raises
    ------
    RangeError
        A setting is outside its range.

    Source: A. Holtzman et al., "The Curious Case of Neural Text Degeneration", ICLR 2020, section 3.1 (top-p).
    """

    def __init__(self, temperature=0.0, top_p=1.0, seed=0, allowed=None):
        if not (math.isfinite(temperature) and temperature >= 0):
            raise RangeError(f"temperature must be a number from 0, not {temperature!r}")
        if not 0 < top_p <= 1:
            raise RangeError(f"top_p must be over 0 and at most 1, not {top_p!r}")
        if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or seed < 0:
            raise RangeError(f"seed must be a whole number from 0, not {seed!r}")
        self.temperature, self.top_p = float(temperature), float(top_p)
        self._random  = np.random.default_rng(seed)
        self._allowed = allowed

    @property
    def greedy(self):
        """Whether it chooses the token of the largest logit, of those that may be chosen."""
        return self.temperature == 0

    def takes(self, token):
        """Whether it chooses this token if that has the largest logit, whatever the others are."""
        return self.greedy and (self._allowed is None or bool(self._allowed[token]))

    def __call__(self, logits):
        """Choose from (vocab,) float32 logits; returns the token as int."""
        if self._allowed is not None:
            logits = np.where(self._allowed, logits, np.float32(-np.inf))
        if self.greedy:
            return int(np.argmax(logits))
        scaled = (logits.astype(np.float64) - float(logits.max())) / self.temperature
        order = np.argsort(-scaled, kind="stable")
        probability = np.exp(scaled[order])
        cumulative = np.cumsum(probability / probability.sum())
        kept = int(np.searchsorted(cumulative, self.top_p)) + 1 if self.top_p < 1 else len(order)
        kept = min(kept, len(order))
        draw = self._random.random() * cumulative[kept - 1]
        return int(order[min(int(np.searchsorted(cumulative[:kept], draw, side="right")), kept - 1)])
