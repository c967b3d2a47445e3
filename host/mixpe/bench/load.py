# SPDX-License-Identifier: BSD-2-Clause
"""How fast quantised tensors of a file become weight streams, on this host."""

import time

import numpy as np

from mixpe.formats.convert import stored_matrix
from mixpe.formats.ggml_blocks import TYPES, block_tensor
from mixpe_gateware.contract.layout import pack_stream

BYTES = 16 << 20  # of a type's file


def weight_stream(tensor, config):
    """The stream of a tensor that one slab holds: (bytes,) uint8."""
    matrix = stored_matrix(tensor, config.minima).matrix
    return pack_stream(*matrix.stream_parts(slice(None), 0, matrix.k_padded), config)


def load_rates(config, size=BYTES, k=2048, repeats=3):
    """Bytes of a GGUF file that become streams in a second of processor time, by type.

    Parameters
    ----------
    config : Config
    size : int
        Bytes of each type's tensor, about.
    k : int
        Of its rows.
    repeats : int
        The best of so many is taken.

    Returns
    -------
    dict of str → float
        "Q4_0" → bytes a second …; of types that a device computes with as they are stored.
    """
    rng, rates = np.random.default_rng(0), {}
    for kind in TYPES.values():
        if kind.form is None or kind.form and not config.minima:
            continue
        n    = size*kind.weights//(kind.nbytes*k)
        data = rng.integers(0, 256, (n*k//kind.weights, kind.nbytes), np.uint8)
        data[:, 1] &= 0x3B  # finite scales and minima that two planes hold
        data[:, 3] &= 0x3B
        tensor = block_tensor(kind.name, kind, data.reshape(-1), (n, k))
        times  = []
        for _ in range(repeats):
            start = time.process_time()
            weight_stream(tensor, config)
            times.append(time.process_time() - start)
        rates[kind.name] = data.nbytes/min(times)
    return rates
