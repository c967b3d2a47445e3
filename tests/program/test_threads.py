# SPDX-License-Identifier: BSD-2-Clause
"""Threads on one device with a decoder: sessions, layers, read-backs, looks and damage, all at once and all right."""

import random
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import mixpe
from mixpe.devices.driver import driver_of
from mixpe.errors import DamageError
from mixpe.lm import LlamaModel

PROMPTS = ([5, 17, 40, 2], [40, 2], [9, 9, 9, 9, 9, 1, 7])
TOKENS  = 6


@pytest.fixture
def model(folder, device):
    driver_of(device).verify = "all"  # the checksum unit is everybody's
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)  # as many ways to be interrupted as there can be
    with LlamaModel.from_pretrained(folder("smollm2"), device, group_size=32, decoder="device") as found:
        yield found
    sys.setswitchinterval(before)


class Work:
    """What threads do, each with what is right."""

    def __init__(self, model, device):
        rng = np.random.default_rng(3)
        self.model, self.device = model, device
        self.matrix = mixpe.quantize(rng.standard_normal((24, 96)).astype(np.float32), 32)
        self.x      = rng.standard_normal((3, 96)).astype(np.float32)
        self.layer  = device.load(self.matrix, name="the layer")
        self.data   = rng.integers(0, 256, 4096, dtype=np.uint8)
        self.place  = driver_of(device).memory.allocate(self.data.size)
        driver_of(device).write_memory(self.place, self.data)
        self.y      = self.layer(self.x)
        self.texts  = [list(model.generate_tokens(prompt, TOKENS)) for prompt in PROMPTS]

    def session(self, index):
        """A session of this thread's own."""
        prompt, text = PROMPTS[index % len(PROMPTS)], self.texts[index % len(PROMPTS)]
        with self.model.session() as session:
            made = [session.read(prompt, listed=True)]
            assert session.top()[0][0] == made[0]
            while len(made) < TOKENS:
                made += session.go_on(made[-1], 2)
            assert made[:TOKENS] == text

    def multiply(self, _index):
        np.testing.assert_array_equal(self.layer(self.x), self.y)

    def load(self, _index):
        """A layer of this thread's own."""
        layer = self.device.load(self.matrix)
        try:
            np.testing.assert_array_equal(layer(self.x), self.y)
        finally:
            layer.free()

    def read_back(self, _index):
        np.testing.assert_array_equal(driver_of(self.device).read_memory(self.place, self.data.size), self.data)

    def look(self, _index):
        assert self.device.check() > 0 and self.device.counters()["errors"] == 0

    def recover(self, _index):
        assert self.device.recover() == ()


def at_once(threads, work):
    """Run work(index) in so many threads that begin together; what each gives."""
    begin = threading.Barrier(threads)

    def one(index):
        begin.wait(60)
        return work(index)

    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(one, range(threads), timeout=300))


@pytest.mark.parametrize("threads", [3, 5, 8])
def test_all_at_once(model, device, threads):
    work = Work(model, device)
    free = driver_of(device).memory.free_bytes

    def some(index):
        rng  = random.Random(100*threads + index)
        todo = [work.session, work.multiply, work.load, work.read_back, work.look, work.recover]
        rng.shuffle(todo)
        for each in todo:
            each(index)

    at_once(threads, some)
    assert driver_of(device).memory.free_bytes == free


def test_damage_under_many_threads(model, device):
    """Each of them gets the right result or is told; nobody gets another's."""
    driver_of(device).upkeep.check_s = 0.0
    work = Work(model, device)
    told = []

    def some(index):
        for turn in range(4):
            if index == 0:
                with driver_of(device).turn:
                    byte = driver_of(device).read_memory(work.layer.addrs[0] + 8, 4)
                    driver_of(device).write_memory(work.layer.addrs[0] + 8, byte ^ 1)
            else:
                try:
                    (work.multiply, work.session)[(index + turn) % 2](index)
                except DamageError as error:
                    told.append(error.names)

    at_once(4, some)
    assert set(told) <= {("the layer",)}
    device.recover()
    work.multiply(0)
