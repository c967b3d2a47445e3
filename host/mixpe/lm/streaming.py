# SPDX-License-Identifier: BSD-2-Clause
"""Layers that have no place in a device's memory: sent when their turn comes, through one region."""

import time

import numpy as np

from mixpe.devices.driver import driver_of
from mixpe.devices.memory import Region
from mixpe.lm.fit import channels_within
from mixpe.plan.layer import LayerPlan, LayerShape
from mixpe.terminal import size_text

PROBE_BYTES = 256 << 10  # packed and sent once, to know what that takes


class Stream:
    """A region of a device's memory that layers pass through.

    Parameters
    ----------
    device : Device
    residence : Residence
        With a region.
    activations : "a8" or "a16"
    """

    def __init__(self, device, residence, activations):
        self._device      = device
        self._residence   = residence
        self._activations = activations
        self._region      = Region(driver_of(device).memory, residence.region_bytes)
        self._rate        = None  # bytes a second, once measured

    def layers(self, found):
        """What computes one job: list of (matrix, permutation or None), joined along n → `StreamedLayers`."""
        pieces = []
        for matrix, order in found:
            step    = channels_within(self._plan(matrix), self._region.size)
            pieces += [(matrix.channels(slice(start, min(matrix.n, start + step))), order)
                       for start in range(0, matrix.n, step)]
        if self._rate is None:
            self._rate = self._measured(pieces[0][0])
        return StreamedLayers(self, pieces)

    def run(self, matrix, x):
        """Send a matrix, multiply, and leave the region empty again: (m, k) float32 → (m, n) float32."""
        with driver_of(self._device).turn:  # the region is one for all
            layer = self._device.load(matrix, activations=self._activations, memory=self._region)
            try:
                return layer(x)
            finally:
                layer.free()

    def note(self, jobs):
        """What it costs, in one line; `jobs` is the number of all jobs of the model."""
        sent = self._residence.streamed_bytes
        return (f"{len(self._residence.streamed)} of {jobs} layers do not fit the device's memory and are sent for "
                f"every token (a prompt counts as one): {size_text(sent)} a token, {sent/self._rate:.3g} s at the "
                f"{size_text(self._rate)}/s at which this host packs and its link takes them")

    def close(self):
        """Give the region back."""
        self._region.close()

    def _plan(self, matrix):
        shape = LayerShape(n=matrix.n, k=matrix.k, span=matrix.span, planes=matrix.planes, form=matrix.form)
        return LayerPlan(shape, self._device.config)  # for the sizes of streams, which no activation changes

    def _measured(self, matrix):
        """Bytes a second of some channels, packed and sent."""
        channels = max(8, channels_within(self._plan(matrix), min(PROBE_BYTES, self._region.size)))
        start = time.perf_counter()
        layer = self._device.load(matrix.channels(slice(0, min(channels, matrix.n))), activations=self._activations,
            memory=self._region)
        driver_of(self._device).bank.read("scratch")  # comes back when the bytes before it are in memory
        try:
            return layer.weight_bytes/(time.perf_counter() - start)
        finally:
            layer.free()


class StreamedLayers:
    """A job that is sent for each call; a layer takes x[:, permutation].

    Parameters
    ----------
    stream : Stream
    pieces : list of (matrix, permutation or None)
        Joined along n.
    """

    def __init__(self, stream, pieces):
        self._stream = stream
        self._pieces = pieces

    def __call__(self, x):
        """(m, k) float32 → (m, n) float32."""
        found = [self._stream.run(matrix, x if order is None else np.ascontiguousarray(x[:, order]))
            for matrix, order in self._pieces]
        return np.concatenate(found, axis=1) if len(found) > 1 else found[0]
