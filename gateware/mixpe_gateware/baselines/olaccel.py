# SPDX-License-Identifier: BSD-2-Clause
"""OLAccel's PE group: one 4-bit activation meets 16 weights of 16 output channels, and a 17th multiplier takes the
high half of the one outlier weight that a chunk may have.

A weight chunk has 16 nibbles (signed; the outlier's is its unsigned low half), the outlier's lane, its signed high
half and a flag that there is one: w = 16·high + low. An INT8 activation takes two cycles: low half (unsigned), then
high half (signed), added at 16 times its value. Each output channel has its own accumulator: the group's sums are the
outputs.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from migen import If, Module, Mux, Signal

from mixpe_gateware.contract.errors import ConfigError, RangeError, ShapeError
from mixpe_gateware.pe.interface import DotProduct

CHANNELS = 16
SUM_BITS = 24


@dataclass(frozen=True, kw_only=True)
class OlAccel(DotProduct):
    """A PE group. `lanes` is its 16 output channels; not a dot product but 16 of length one, accumulated.

    The unit has ports of its own: see `OlAccelUnit`.
    """

    lanes: int = CHANNELS

    name: ClassVar[str] = "olaccel"
    summary: ClassVar[str] = "OLAccel PE group: 16 4-bit MACs and one for the outlier; INT8 in two cycles"
    multiplies: ClassVar[bool] = True
    weight_format: ClassVar[str] = "INT4 + 8-bit outliers"
    cycles_per_input: ClassVar[int] = 2

    def __post_init__(self):
        super().__post_init__()
        if self.lanes != CHANNELS:
            raise ConfigError(f"{self.name}: lanes must be {CHANNELS}, not {self.lanes!r}")

    @property
    def latency(self):
        return 4

    def reference(self, w, x):
        """Sums (16,) int64 of a group: weights w (k, 16) INT8 with at most one outside −8 … 7 in each row, x (k,) INT8.

        Raises
        ------
        ShapeError, RangeError
        """
        w, x = np.asarray(w, np.int64), np.asarray(x, np.int64)
        if w.ndim != 2 or w.shape[1] != CHANNELS or x.shape != w.shape[:1]:
            raise ShapeError(f"weights must be (k, {CHANNELS}) and activations (k,), not {w.shape} and {x.shape}")
        outliers = ((w < -8) | (w > 7)).sum(axis=1)
        if (np.abs(w + 0.5) > 128).any() or (np.abs(x + 0.5) > 128).any() or (outliers > 1).any():
            raise RangeError("weights and activations must be INT8, with at most one weight a chunk outside -8..7; "
                             f"the most in one chunk is {outliers.max(initial=0)}")
        return x @ w

    def encode_weights(self, w):
        """The `weights` port's value for one chunk (16,)."""
        w = np.asarray(w, np.int64)
        word = sum((int(value) & 15) << 4*lane for lane, value in enumerate(w))
        for lane in np.flatnonzero((w < -8) | (w > 7)):
            word |= int(lane) << 64 | (int(w[lane]) >> 4 & 15) << 68 | 1 << 72
        return word

    def create(self):
        return OlAccelUnit(self)

    def create_group(self, group_size=128, accumulator_bits=None):
        if accumulator_bits is not None:
            raise ConfigError(f"{self.name}: the width of the sums is fixed, accumulator_bits={accumulator_bits!r}")
        return OlAccelUnit(self)


class OlAccelUnit(Module):
    """OLAccel's PE group with its accumulators.

    Attributes
    ----------
    weights : Signal(73), in
        16 nibbles, the outlier's lane (4), its high half (4), whether there is one.
    activations : Signal(5), in
        A half, and whether it is the high one.
    first, last : Signal(), in
        This input begins a group (its low half); ends it (its high half).
    total : Signal(16·24), out
        Sums of the group, lane i at bits 24·i; held until the next group ends.
    done : Signal(), out
    latency : int
        Cycles from `last` to `done`.
    """

    def __init__(self, params):
        self.weights     = Signal(73)
        self.activations = Signal(5)
        self.first       = Signal()
        self.last        = Signal()
        self.total       = Signal(CHANNELS*SUM_BITS, reset_less=True)
        self.done        = Signal()
        self.latency     = params.latency

        # # #

        # Stage 1: operands. Both halves as signed 5-bit numbers.
        half     = Signal((5, True), reset_less=True)
        high     = Signal(reset_less=True)
        index    = Signal(4, reset_less=True)
        outlier  = Signal((4, True), reset_less=True)
        is_high  = self.activations[4]
        present  = self.weights[72]
        first, last = Signal(reset_less=True), Signal()
        self.sync += [
            half[:4].eq(self.activations[:4]),
            half[4].eq(self.activations[3] & is_high),
            high.eq(is_high),
            index.eq(self.weights[64:68]),
            outlier.eq(Mux(present, self.weights[68:72], 0)),
            first.eq(self.first),
            last.eq(self.last),
        ]
        # Stage 2: 17 products.
        extra  = Signal((9, True), reset_less=True)
        index2 = Signal(4, reset_less=True)
        high2  = Signal(reset_less=True)
        first2, last2, last3 = Signal(reset_less=True), Signal(), Signal()
        self.sync += [
            extra.eq(outlier*half),
            index2.eq(index),
            high2.eq(high),
            first2.eq(first),
            last2.eq(last),
            last3.eq(last2),
            self.done.eq(last3),
        ]
        sums = []
        for lane in range(CHANNELS):
            low     = Signal((5, True), reset_less=True)
            product = Signal((10, True), reset_less=True)
            total   = Signal((14, True))
            value   = Signal((18, True))
            running = Signal((SUM_BITS, True), reset_less=True)
            nibble  = self.weights[4*lane:4*lane + 4]
            is_outlier = present & (self.weights[64:68] == lane)
            self.sync += [
                low[:4].eq(nibble),
                low[4].eq(nibble[3] & ~is_outlier),
                product.eq(low*half),
                running.eq(Mux(first2, 0, running) + value),
            ]
            self.comb += [
                total.eq(product + Mux(index2 == lane, extra << 4, 0)),
                value.eq(Mux(high2, total << 4, total)),
            ]
            sums.append(running)
        self.sync += If(last3, *(self.total[SUM_BITS*lane:SUM_BITS*(lane + 1)].eq(running)
                                 for lane, running in enumerate(sums)))
