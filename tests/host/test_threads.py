# SPDX-License-Identifier: BSD-2-Clause
"""Several threads on one device: every result is right, and a device that is closed meanwhile says so."""

import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import mixpe
from mixpe.devices.driver import driver_of
from mixpe.errors import DeviceError

THREADS, CALLS = 4, 25
SHAPES = ((24, 64), (40, 96), (9, 256), (64, 128))


@pytest.fixture
def device():
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)  # as many ways to be interrupted as there can be
    with mixpe.open("reference") as device:
        yield device
    sys.setswitchinterval(before)


def test_threads_on_one_device_get_their_own_results(device):
    rng    = np.random.default_rng(5)
    layers = [device.load(mixpe.quantize(rng.standard_normal(shape), group_size=32), fused=index % 2 == 0)
              for index, shape in enumerate(SHAPES)]
    inputs = [rng.standard_normal((3, layer.shape[1])).astype(np.float32) for layer in layers]
    codes  = [rng.integers(-128, 128, (2, layer.shape[1])).astype(np.int8) for layer in layers]
    wanted = [(layer(x), layer.partials(q)) for layer, x, q in zip(layers, inputs, codes, strict=True)]
    begin  = threading.Barrier(THREADS)

    def work(index):
        begin.wait(60)
        own = device.load(mixpe.quantize(np.eye(32, 64) + index, group_size=64))
        for _ in range(CALLS):
            np.testing.assert_array_equal(layers[index](inputs[index]), wanted[index][0])
            np.testing.assert_array_equal(layers[index].partials(codes[index]), wanted[index][1])
            addr = own.addrs[0]
            driver_of(device).write_memory(addr, bytes(16))
            assert not driver_of(device).read_memory(addr, 16).any()
            assert device.counters()["errors"] == 0
        own.free()
        return index

    free = device.info()["mem_free_bytes"]
    with ThreadPoolExecutor(THREADS) as pool:
        assert list(pool.map(work, range(THREADS), timeout=300)) == list(range(THREADS))
    assert device.info()["mem_free_bytes"] == free


def test_a_device_closed_by_another_thread_is_closed(device):
    layer = device.load(mixpe.quantize(np.eye(32, 64), group_size=32))
    x, started = np.ones((1, 64), np.float32), threading.Event()

    def work():
        while True:
            layer(x)
            started.set()

    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(work)
        assert started.wait(60)
        device.close()
        with pytest.raises(DeviceError, match="was closed; open it again"):
            running.result(60)
