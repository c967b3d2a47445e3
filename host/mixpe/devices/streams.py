# SPDX-License-Identifier: BSD-2-Clause
"""A layer as its weight stream, packed before."""

from dataclasses import dataclass

import numpy as np

from mixpe.plan.layer import LayerShape


@dataclass(frozen=True, eq=False)
class LayerStream:
    """What `Device.load` takes instead of a matrix, of a layer that the device dequantises itself.

    Attributes
    ----------
    shape : LayerShape
    stream : (bytes,) uint8
        As `contract.layout.pack_stream` gives it for the device's configuration.
    """

    shape: LayerShape
    stream: np.ndarray
