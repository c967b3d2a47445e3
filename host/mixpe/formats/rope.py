# SPDX-License-Identifier: BSD-2-Clause
"""Rotary positions as checkpoints describe them, and the frequencies that follow.

    default  f[i] = theta^(−2i/d)
    linear   f[i]/factor
    llama3   wavelengths 2π/f over C/low are divided, those under C/high stay, between them a ramp; C: trained context
    yarn     pairs that turn under beta_slow times in C are divided, those over beta_fast times stay, between them a
             ramp over i; cosines and sines are multiplied by `magnitude`

A GGUF file has its llama3 scaling as a divisor for each frequency.

Sources: transformers' modeling_rope_utils.py; YaRN, arXiv 2309.00071; ggml's rope.
"""

import math
from dataclasses import dataclass

import numpy as np

from mixpe.errors import ModelError
from mixpe.formats.brief import brief

KINDS = ("default", "linear", "llama3", "yarn")


def positive(value, what):
    """A finite number over 0 as float.

    Raises
    ------
    ModelError
    """
    if type(value) not in (int, float):
        raise ModelError(f"{what} must be a positive number, not {brief(value)}")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not 0 < number < math.inf:
        raise ModelError(f"{what} must be a positive finite number, not {brief(value)}")
    return number


@dataclass(frozen=True, kw_only=True, eq=False)
class Rope:
    """Rotary positions.

    Parameters
    ----------
    theta : float
        Base of the frequencies.
    kind : str
        "default", "linear", "llama3" or "yarn".
    factor : float
        By how much the context was stretched.
    trained_context : int or None
        Tokens before it was; llama3 and yarn have it.
    low_freq_factor, high_freq_factor : float
        Of llama3; high > low.
    beta_fast, beta_slow : float
        Of yarn.
    magnitude : float
        Factor of cosines and sines.
    whole_pairs : bool
        The ends of yarn's ramp are whole numbers.
    divisors : (d/2,) float32, optional
        Of the frequencies.
    """

    theta:            float = 10000.0
    kind:             str = "default"
    factor:           float = 1.0
    trained_context:  int | None = None
    low_freq_factor:  float = 1.0
    high_freq_factor: float = 4.0
    beta_fast:        float = 32.0
    beta_slow:        float = 1.0
    magnitude:        float = 1.0
    whole_pairs:      bool = True
    divisors:         np.ndarray | None = None

    def __post_init__(self):
        if self.kind not in KINDS:
            raise ModelError(f"rotary positions of the kind {brief(self.kind)} are not supported; "
                             f"known are {', '.join(KINDS)}")
        for name in ("theta", "factor", "low_freq_factor", "high_freq_factor", "beta_fast", "beta_slow", "magnitude"):
            positive(getattr(self, name), f"{name} of the rotary positions")
        if self.kind in ("llama3", "yarn") and self.trained_context is None:
            raise ModelError(f"rotary positions of the kind {self.kind} need the context that was trained before")
        if self.kind == "llama3" and self.high_freq_factor <= self.low_freq_factor:
            raise ModelError(f"rotary positions need high_freq_factor over low_freq_factor, not "
                             f"{self.high_freq_factor} and {self.low_freq_factor}")
        if self.theta <= 1:
            raise ModelError(f"theta of the rotary positions must be over 1, not {self.theta}")

    def frequencies(self, head_dim):
        """Angle of one position for each pair of a head: (head_dim/2,) float64."""
        plain = self.theta**(-np.arange(0, head_dim, 2, dtype=np.float64)/head_dim)
        if self.kind == "linear":
            plain = plain/self.factor
        elif self.kind == "llama3":
            turns = self.trained_context*plain/(2*math.pi)
            ramp  = np.clip((turns - self.low_freq_factor)/(self.high_freq_factor - self.low_freq_factor), 0, 1)
            plain = (1 - ramp)*plain/self.factor + ramp*plain
        elif self.kind == "yarn":
            ramp  = self._yarn_ramp(head_dim)
            plain = plain*ramp/self.factor + plain*(1 - ramp)
        return plain if self.divisors is None else plain/self.divisors

    def _yarn_ramp(self, head_dim):
        """0 where a frequency stays, 1 where it is divided."""
        def pair(turns):
            """Pair, not whole, that turns so many times in the trained context."""
            return head_dim*math.log(self.trained_context/(turns*2*math.pi))/(2*math.log(self.theta))

        low, high = pair(self.beta_fast), pair(self.beta_slow)
        if self.whole_pairs:
            low, high = math.floor(low), math.ceil(high)
        low, high = max(low, 0), min(high, head_dim - 1)
        if low == high:
            high += 0.001  # as transformers: no division by zero
        return np.clip((np.arange(head_dim//2) - low)/(high - low), 0, 1)


def rope_tables(positions, frequencies, magnitude=1.0):
    """Cosines and sines of rotary positions.

    Parameters
    ----------
    positions : (t,) integers
    frequencies : (d/2,) float64
        Angle of one position for each pair.
    magnitude : float
        Factor of both.

    Returns
    -------
    cos, sin : (t, d) float32
        Both halves of the last axis hold the same angles (the half-rotation convention of `transformers`).
    """
    angle = np.outer(np.asarray(positions, np.float64), frequencies)
    angle = np.concatenate([angle, angle], axis=1)
    return (np.cos(angle)*magnitude).astype(np.float32), (np.sin(angle)*magnitude).astype(np.float32)


def yarn_magnitude(factor, scale=1.0):
    """YaRN's factor of cosines and sines: 0.1·scale·ln(factor) + 1."""
    return 0.1*scale*math.log(factor) + 1 if factor > 1 else 1.0
