# SPDX-License-Identifier: BSD-2-Clause
"""The simulated SoC with an open device: bits that flip, resets, restarts and stops are noticed and put right."""

import os
import random
import signal
import threading
import time

import numpy as np
import pytest

pytest.importorskip("litex", reason="the simulated SoC needs mixpe[gateware]")

import mixpe
from mixpe.devices.driver import driver_of
from mixpe.errors import DamageError, JobError, LinkError, LinkTimeout, MixpeError
from mixpe_gateware.contract.jobs import JobCode
from mixpe_gateware.contract.registers import CONTROL_RESET
from mixpe_sim import open_sim

# The SoC of tests/program/test_gateware.py.
OPTIONS   = {"decoder": True, "minima": True, "k_max": 512, "rows": 4, "scalers": 4, "context_max": 128,
    "buffer_beats": 256, "queue_depth": 4}
TIMEOUT_S = 3
LIMIT_S   = 120  # of a call that has to end by itself


@pytest.fixture
def sim():
    with open_sim(**OPTIONS, show=True) as process:
        yield process


@pytest.fixture
def device(sim):
    with mixpe.open(f"{sim.url}?timeout_s={TIMEOUT_S}", verify="all") as found:
        yield found


class Work:
    """Two layers and what is right."""

    def __init__(self, device, n=64):
        rng = np.random.default_rng(4)
        self.x      = rng.standard_normal((32, 256)).astype(np.float32)
        matrices    = [mixpe.quantize(rng.standard_normal((n, 256)).astype(np.float32), 64) for _ in range(2)]
        self.layers = [device.load(matrix, name=f"layer {index}") for index, matrix in enumerate(matrices)]
        with mixpe.open("reference") as other:
            self.right = [other.load(matrix)(self.x) for matrix in matrices]

    def check(self):
        for layer, right in zip(self.layers, self.right, strict=True):
            np.testing.assert_array_equal(layer(self.x), right)


def flip(device, offset, bit):
    """What a bit of DRAM that flips is: written past the driver."""
    word = driver_of(device).link.read_words(driver_of(device).mem_base + offset//4*4, 1)
    driver_of(device).link.write_words(driver_of(device).mem_base + offset//4*4, word ^ np.uint32(1 << bit))


def test_bits_that_flip_in_weights(device):
    work = Work(device)
    rng  = random.Random(1)
    for _ in range(6):
        index = rng.randrange(2)
        layer = work.layers[index]
        flip(device, layer.addrs[0] + rng.randrange(layer.weight_bytes), rng.randrange(32))
        with pytest.raises(DamageError) as caught:
            device.check()
        assert caught.value.names == (f"layer {index}",)
        work.check()
    assert device.check() == sum(layer.weight_bytes for layer in work.layers)


def test_jobs_run_twice(sim):
    """All of a result's buffer is the engine's: it is the same each time."""
    with mixpe.open(f"{sim.url}?timeout_s={TIMEOUT_S}&twice=1") as device:
        for work in (Work(device), Work(device, n=33)):
            work.check()


def test_resets_at_random_cycles(device):
    """A job that is reset says so, and what follows is right."""
    work, rng, ended = Work(device), random.Random(2), []
    for _ in range(12):
        timer = threading.Timer(rng.uniform(0, 0.06), lambda: driver_of(device).bank.write("control", CONTROL_RESET))
        timer.start()
        try:
            work.check()
            ended.append(None)
        except JobError as error:
            ended.append(error.code)
        timer.join()
        work.check()
    assert JobCode.ABORTED in ended and set(ended) <= {None, JobCode.ABORTED}


def test_restarts_at_random_cycles(sim, device):
    """Whatever was under way: a typed error within its limit, and the same device works on by itself."""
    work, rng, running = Work(device), random.Random(3), sim
    for turn in range(3):
        timer = threading.Timer(rng.uniform(0, 0.2), os.kill, (running.pid, signal.SIGKILL))
        timer.start()
        start = time.monotonic()
        with pytest.raises(MixpeError):
            while time.monotonic() - start < LIMIT_S:
                work.check()
        assert time.monotonic() - start < LIMIT_S
        timer.join()
        running.wait(10)
        with pytest.raises(LinkError, match="nothing listens"):
            work.check()
        running = open_sim(**OPTIONS, port=sim.port)
        if turn:
            assert device.recover() == ("layer 0", "layer 1")
        work.check()
    device.close()
    running.close()


def test_a_stopped_simulation(sim, device):
    work = Work(device)
    for _ in range(2):
        os.kill(sim.pid, signal.SIGSTOP)
        try:
            start = time.monotonic()
            with pytest.raises(LinkTimeout):
                work.check()
            assert time.monotonic() - start < 4*TIMEOUT_S
        finally:
            os.kill(sim.pid, signal.SIGCONT)
        work.check()
