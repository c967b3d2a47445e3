# SPDX-License-Identifier: BSD-2-Clause
"""The linear layers of a model as jobs: what shares an input is one matrix, on the host in float32 or on a device.

Quantisation is per output channel and group, so joining matrices along n changes no result.
"""

import time

import numpy as np

from mixpe.lm.weights import TABLE
from mixpe.program.jobs import HEAD, JOBS


def job_tensors(tensors, name):
    """Names of the tensors that one job consists of, in order; a tied head is the embedding."""
    if name == HEAD:
        return ["lm_head.weight" if "lm_head.weight" in tensors else TABLE]
    layer, _, job = name.rpartition(".")
    return [f"model.{layer}.{part}.weight" for part in JOBS[job]]


def job_weight(tensors, name):
    """Weight of one job, (n, k) float32, from a checkpoint's tensors."""
    parts = [np.asarray(tensors[source], np.float32) for source in job_tensors(tensors, name)]
    return np.concatenate(parts, axis=0) if len(parts) > 1 else np.ascontiguousarray(parts[0])


class FloatLinear:
    """x·Wᵀ in float32 on the host: (m, k) float32 → (m, n) float32."""

    def __init__(self, weight):
        self._transposed = np.ascontiguousarray(np.asarray(weight, np.float32).T)

    def __call__(self, x):
        return x @ self._transposed


class Timed:
    """A linear layer that adds up the time spent in it.

    Attributes
    ----------
    calls : int
    seconds : float
    """

    def __init__(self, linear):
        self.linear  = linear
        self.calls   = 0
        self.seconds = 0.0

    def __call__(self, x):
        begin = time.perf_counter()
        try:
            return self.linear(x)
        finally:
            self.seconds += time.perf_counter() - begin
            self.calls += 1
