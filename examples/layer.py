# SPDX-License-Identifier: BSD-2-Clause
"""One quantised layer on a device: python examples/layer.py [URL], by default the numpy reference."""

import sys

import numpy as np

import mixpe

url = sys.argv[1] if len(sys.argv) > 1 else "reference"
rng = np.random.default_rng(0)
w   = rng.standard_normal((512, 1024)).astype(np.float32)  # (n, k)
x   = rng.standard_normal((4, 1024)).astype(np.float32)    # (m, k)

w4 = mixpe.quantize(w, group_size=128)
with mixpe.open(url) as device:
    for activations in ("a8", "a8g", "a16"):
        layer = device.load(w4, activations=activations)
        y     = layer(x)
        exact = x @ w4.dequantize().T
        error = np.abs(y - exact).max()/np.abs(exact).max()
        print(f"{layer!r}: largest error against float activations {100*error:.3f} %")
        layer.free()
    counts = device.counters()
print(f"{counts['jobs']} jobs in {counts['cycles']} cycles, the array busy in {counts['busy']} of them")
