# SPDX-License-Identifier: BSD-2-Clause
"""Pipelines of the vector engine in the Migen simulator: a value in every cycle, results `LATENCY` cycles later."""

import numpy as np
import pytest
from migen import run_simulation


def float_bits(x):
    return np.asarray(x, np.float32).view(np.uint32)


@pytest.fixture
def edges():
    """Words of float32 whose exponents are all there are, with mantissas at the edges: (n,) uint32."""
    mantissas = np.array([0, 1, 0x1F, 0x20, 0x21, 0x3F, 0x40, 0x5F, 0x60, 0x7FFFDF, 0x7FFFE0, 0x7FFFFF, 0x400000],
        np.uint32)
    words = (np.arange(255, dtype=np.uint32)[:, None] << np.uint32(23)) | mantissas
    return np.concatenate([words.reshape(-1), words.reshape(-1) | np.uint32(1 << 31)])


@pytest.fixture
def stream_through():
    """Run a unit on a value a cycle: {signal: values}, signals to read → list of arrays of their values."""
    def stream_through_(unit, inputs, outputs, latency):
        count, out = len(next(iter(inputs.values()))), [[] for _ in outputs]

        def drive():
            for cycle in range(count + latency):
                if cycle < count:
                    for signal, values in inputs.items():
                        yield signal.eq(int(values[cycle]))
                yield
                if cycle >= latency:
                    for signal, found in zip(outputs, out, strict=True):
                        found.append((yield signal))

        run_simulation(unit, drive())
        return [np.array(found) for found in out]

    return stream_through_
