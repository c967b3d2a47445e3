# SPDX-License-Identifier: BSD-2-Clause
"""Is this board right, and how fast? python examples/board.py serial:///dev/ttyUSB0"""

import sys
import time

import numpy as np

import mixpe
from mixpe.selftest import run_selftest

url = sys.argv[1] if len(sys.argv) > 1 else "reference"
with mixpe.open(url) as device:
    print(f"{device} at {device.clock_hz/1e6:g} MHz, {device.info()['mem_bytes'] >> 20} MiB")
    checks = list(run_selftest(device))
    print(*checks, sep="\n")
    layer = device.load(mixpe.quantize(np.eye(256, 512, dtype=np.float32), group_size=128))
    x     = np.ones((1, 512), np.float32)
    before, start = device.counters()["cycles"], time.perf_counter()
    for _ in range(10):
        layer(x)
    seconds = time.perf_counter() - start
    cycles  = device.counters()["cycles"] - before
print(f"10 calls of a 256 x 512 layer: {seconds:.3f} s, of which the device worked {cycles/device.clock_hz:.6f} s")
sys.exit(not all(check.ok for check in checks))
