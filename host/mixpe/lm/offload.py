# SPDX-License-Identifier: BSD-2-Clause
"""Bring the linear layers of a model to a device."""

from mixpe.devices import open_device
from mixpe.quant.quantize import quantize


class DeviceLoader:
    """Quantises weights and loads them, one job after the other.

    Parameters
    ----------
    device : device from `mixpe.open`, or its URL
        A device opened here is closed by `close`; another one stays open, and only its layers are freed.
    group_size : int
    activations : "a8" or "a16"
    quantiser : callable, optional
        (name, weight (n, k) float32) → Int4Matrix or Int8Matrix. Default: round to nearest, 4 bits.
    """

    def __init__(self, device, *, group_size=128, activations="a8", quantiser=None):
        self._quantise = quantiser or (lambda name, weight: quantize(weight, group_size))
        self._activations = activations
        self._owned  = isinstance(device, str)
        self._layers = []
        self.device  = open_device(device) if self._owned else device

    def __call__(self, name, weight):
        """Load one job; returns what computes it, (m, k) float32 → (m, n) float32."""
        layer = self.device.load(self._quantise(name, weight), activations=self._activations)
        self._layers.append(layer)
        return layer

    def close(self):
        """Close the device if it was opened here, else free the layers' memory."""
        layers, self._layers = self._layers, []
        if self._owned:
            self.device.close()
        else:
            for layer in layers:
                layer.free()
