# SPDX-License-Identifier: BSD-2-Clause
"""A checkpoint's tensor quantised again by its float32 values, at once or a few rows at a time; and what that loses."""

import math
from dataclasses import dataclass

import numpy as np

from mixpe.errors import ModelError
from mixpe.quant.matrix import Int4Matrix, Int8Matrix
from mixpe.quant.quantize import quantize


class Loss:
    """Signal to noise of a matrix, added up over blocks of rows."""

    def __init__(self):
        self._signal = self._noise = 0.0

    def add(self, exact, found):
        noise = np.subtract(found, exact).reshape(-1)
        exact = exact.reshape(-1)
        self._signal += float(np.dot(exact, exact))  # of a block: FP32 is enough to state decibels
        self._noise  += float(np.dot(noise, noise))

    @property
    def decibels(self):
        return 10*math.log10(self._signal/self._noise) if self._signal and self._noise else math.inf


def requantize(tensor, group_size=32, bits=8, symmetric=False):
    """Quantise the tensor's float32 values again, round to nearest.

    Parameters
    ----------
    tensor : Tensor
        Of two axes.
    group_size : int or None
        32, 64, 128, 256 or k (None).
    bits : int
        4 or 8. Eight in groups of 32 keep 44 to 46 dB of the file; four lose more than the file's own quantisation.
    symmetric : bool
        See `quantize`.

    Returns
    -------
    matrix : Int4Matrix or Int8Matrix
        In the model's order of columns.
    decibels : float
        10·log10 of signal to noise against the tensor's float32 values; inf where nothing was lost.

    Raises
    ------
    ModelError
        The tensor is a vector, or has values that are not finite.
    RangeError
        Values that need a scale beyond FP16, another group size or number of bits.
    """
    packed = []

    def take(rows, some):
        if not packed:
            packed.append(np.empty((tensor.shape[0], some.shape[1]), np.uint8))
        packed[0][rows] = some

    found = requantize_into(take, tensor, group_size, bits, symmetric)
    kind  = Int4Matrix if bits == 4 else Int8Matrix
    return kind(tensor.shape, packed[0], found.scales, found.zeros, found.group_size), found.decibels


@dataclass(frozen=True)
class Requantised:
    """What `requantize_into` leaves: all of a matrix but its packed weights, and the loss in decibels."""

    scales: np.ndarray
    zeros: np.ndarray
    group_size: int
    decibels: float


def requantize_into(take, tensor, group_size=32, bits=8, symmetric=False):
    """As `requantize`, with the packed weights given away: they may be several times the tensor itself.

    Parameters
    ----------
    take : callable
        Gets rows, a slice, and their packed weights, (rows, planes·k_padded/2) uint8; from the first rows to the last.
    tensor, group_size, bits, symmetric
        See `requantize`, also for errors.

    Returns
    -------
    Requantised
    """
    if len(tensor.shape) != 2:
        raise ModelError(f"{tensor.name} has the shape {tensor.shape}; only a matrix can be quantised")
    loss, scales, zeros = Loss(), [], []
    for rows in tensor.spans():
        values = tensor.dequantize(rows)
        part   = quantize(values, group_size, symmetric, bits)
        loss.add(values, part.dequantize())
        take(rows, part.packed)
        scales.append(part.scales)
        zeros.append(part.zeros)
    return Requantised(np.concatenate(scales), np.concatenate(zeros), part.group_size, loss.decibels)
