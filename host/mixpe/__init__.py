# SPDX-License-Identifier: BSD-2-Clause
"""mixpe: quantised LLM layers on an FPGA, on its simulation, or on the numpy reference.

    w4  = mixpe.quantize(w, group_size=128)   # float (n, k) → Int4Matrix
    dev = mixpe.open("sim")                   # "reference", "serial:///dev/ttyUSB0?baudrate=3000000", …
    lin = dev.load(w4)
    y   = lin(x)                              # (m, k) float → (m, n) float32
    p   = lin.partials(xq)                    # (m, k) int8 → (m, n, k/G) int32, exact

    model = mixpe.LlamaModel.from_pretrained(device="sim")   # the packaged language model, its layers on a device
"""

import sys as _sys
from importlib import import_module as _import_module
from importlib.metadata import version as _version
from typing import Any as _Any

from mixpe import errors
from mixpe.devices import Device, DeviceLinear
from mixpe.devices import open_device as open
from mixpe.errors import MixpeError
from mixpe.lm import LlamaModel
from mixpe.quant.matrix import Int4Matrix, Int8Matrix
from mixpe.quant.quantize import quantize, quantize_activations

__all__ = ["Device", "DeviceLinear", "Int4Matrix", "Int8Matrix", "LlamaModel", "MixpeError", "errors", "open",
    "quantize", "quantize_activations"]


__version__: str


def __getattr__(name: str) -> _Any:
    """What is loaded when it is first asked for: the version, and the layers for PyTorch."""
    if name == "__version__":
        return _version("mixpe")
    if name == "torch":
        try:
            return _import_module("mixpe.torch")
        except ModuleNotFoundError as error:
            raise AttributeError(f"mixpe.torch needs {error.name}; get it with: pip install 'mixpe[torch]'") from error
    raise AttributeError(f"module 'mixpe' has no attribute {name!r}")


def __dir__():
    # Whoever looks at all names, as Tab does, is not to load PyTorch.
    return sorted({*__all__, "__version__", *(["torch"] if "mixpe.torch" in _sys.modules else [])})
