# SPDX-License-Identifier: BSD-2-Clause
"""What the weights of each design take in memory, with the scales and zeros that come with them.

MixPE's are those of `contract.layout`, padding included; table lookup computes the same and takes the same stream.
"""

from dataclasses import dataclass

from mixpe.explore.arithmetic import OLACCEL_OUTLIERS
from mixpe_gateware.baselines.olaccel import CHANNELS
from mixpe_gateware.contract.config import Config
from mixpe_gateware.contract.layout import stream_bytes

GROUP = 128
SCALE = 16  # FP16


@dataclass(frozen=True)
class Storage:
    """Bits of a weight, of what a group has besides, and of what an output channel has besides."""

    weight: float
    group: float = 0
    channel: float = SCALE


def olaccel_chunks(share=OLACCEL_OUTLIERS):
    """Chunks that OLAccel needs for one of 16 weights, the first outlier being free: E[max(1, outliers)].

    Outliers are independent, `share` of all weights.
    """
    return CHANNELS*share + (1 - share)**CHANNELS


STORAGE = {
    "int8":          Storage(8),
    "bitplane-int8": Storage(8),
    "qserve":        Storage(4, group=8 + 8),            # scale and zero·scale of the second level, both INT8
    "bitfusion":     Storage(4),
    "olaccel":       Storage(80/CHANNELS*olaccel_chunks()),  # 16 nibbles; index, high half and pointer of the outlier
    "ant":           Storage(4, channel=SCALE + 2),      # and the type
    "olive":         Storage(4),
    "fp16-dequant":  Storage(4, group=SCALE, channel=0),  # symmetric
}


def matrix_bytes(design, n, k, group=GROUP):
    """Bytes of a matrix of n output channels and k inputs, k a multiple of the group."""
    if design not in STORAGE:
        return stream_bytes(n, k, k//group, Config())
    storage = STORAGE[design]
    return n*(k*storage.weight + k//group*storage.group + storage.channel)/8


def bits_per_weight(design, n=4096, k=4096):
    """Bits a weight of a matrix, all included."""
    return 8*matrix_bytes(design, n, k)/(n*k)
