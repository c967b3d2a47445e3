# SPDX-License-Identifier: BSD-2-Clause
"""Random jobs, sessions and formats in random order on the simulated SoC: every number is the reference device's.

`make soak` goes on for ten minutes; SOAK_SECONDS=3600 make soak for an hour.
"""

import gc
import os
import time
import warnings
from pathlib import Path

import numpy as np
import pytest

from mixpe import quantize, quantize_activations
from mixpe.devices import open_device
from mixpe.lm import LlamaModel
from mixpe.lm.together import go_on_together
from mixpe.quant.matrix import Int4Matrix, Int8Matrix
from mixpe_gateware.contract.scaling import Form
from tests.host.test_minima_on_device import random_matrix
from tests.program.test_damage import SMALL

SECONDS  = float(os.environ.get("MIXPE_SOAK_SECONDS", "8"))
LAYERS   = 6   # that are loaded at once
SESSIONS = 3
WARM     = 40  # steps until every path was taken; memory is flat from there
GROWTH   = 24 << 20


def memory_bytes(pid="self"):
    """Of a process."""
    gc.collect()
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1])*os.sysconf("SC_PAGE_SIZE")


class Pair:
    """The same on both devices; what is done next is drawn from `rng`. Counts what was compared in `done`."""

    def __init__(self, devices, models, seed):
        self.devices, self.models = devices, models
        self.rng    = np.random.default_rng(seed)
        self.layers, self.sessions = [], []  # of both devices: (sim's, reference's)
        self.done   = {step.__name__: 0 for step in self.steps}

    @property
    def steps(self):
        return (self.load, self.call, self.several, self.sums, self.free, self.begin, self.go_on, self.back,
            self.together, self.look)

    def step(self):
        step = self.steps[self.rng.integers(len(self.steps))]
        self.done[step.__name__] += bool(step())

    def drawn(self, things):
        return things[self.rng.integers(len(things))] if things else None

    def x(self, k):
        return (self.rng.standard_normal((int(self.rng.integers(1, 9)), k))*4.0**self.rng.integers(-4, 5)) \
            .astype(np.float32)

    def load(self):
        if len(self.layers) == LAYERS:
            return False
        rng  = self.rng
        n, k = int(rng.integers(1, 40)), int(rng.choice([32, 64, 200, 512, 700]))
        form = [None, Form.MINIMUM, Form.TWO_LEVEL][rng.integers(3)]
        if form is None:
            matrix = quantize(rng.standard_normal((n, k)), group_size=[32, 64, 128, None][rng.integers(4)],
                bits=int(rng.choice([4, 8])), symmetric=bool(rng.integers(2)))
        else:
            matrix = random_matrix(rng, [Int4Matrix, Int8Matrix][rng.integers(2)], form, n=n, k=k)
        how = {"activations": str(rng.choice(["a8", "a8g", "a16"])), "fused": [None, False][rng.integers(2)]}
        if how["activations"] != "a8":
            how["fused"] = None
        self.layers.append([device.load(matrix, **how) for device in self.devices])
        return True

    def call(self):
        if both := self.drawn(self.layers):
            x = self.x(both[0].shape[1])
            np.testing.assert_array_equal(both[0](x), both[1](x))
        return both

    def several(self):
        """Jobs of several layers queued behind each other."""
        some = [both for both in self.layers if self.rng.integers(2)]
        xs   = [self.x(both[0].shape[1]) for both in some]
        found, wanted = (device.run([(both[index], x) for both, x in zip(some, xs, strict=True)])
            for index, device in enumerate(self.devices))
        for mine, its in zip(found, wanted, strict=True):
            np.testing.assert_array_equal(mine, its)
        return len(some) > 1

    def sums(self):
        both = self.drawn([both for both in self.layers if both[0].activations == "a8"])
        if both:
            xq = quantize_activations(self.x(both[0].shape[1]))[0]
            np.testing.assert_array_equal(both[0].partials(xq), both[1].partials(xq))
        return both

    def free(self):
        if both := self.drawn(self.layers):
            self.layers.remove(both)
            for layer in both:
                layer.free()
        return both

    def begin(self):
        """A session that reads a prompt; the oldest makes room for it."""
        if len(self.sessions) == SESSIONS:
            for session in self.sessions.pop(0)[:2]:
                session.close()
        prompt = self.rng.integers(0, 99, int(self.rng.integers(1, 7))).tolist()
        both   = [model.session() for model in self.models]
        first, wanted = (session.read(prompt) for session in both)
        assert first == wanted
        self.sessions.append([*both, first])
        return True

    def go_on(self):
        if found := self.drawn(self.sessions):
            mine, its, token = found
            count, listed = int(self.rng.integers(1, 4)), bool(self.rng.integers(2))
            if mine.length + count > mine.context:
                return False
            made = mine.go_on(token, count, listed)
            assert made == its.go_on(token, count, listed) and mine.tokens == its.tokens
            if listed:
                for one, other in zip(mine.top(), its.top(), strict=True):
                    np.testing.assert_array_equal(one, other)
            found[2] = made[-1]
        return found

    def back(self):
        """A text goes on from an earlier token."""
        if found := self.drawn(self.sessions):
            length = int(self.rng.integers(1, found[0].length + 1))
            for session in found[:2]:
                session.length = length
        return found

    def together(self):
        some = [found for found in self.sessions if found[0].length + 2 <= found[0].context]
        if len(some) < 2:
            return False
        mine, its = ([each.tokens for each in go_on_together([found[index] for found in some],
            [found[2] for found in some], 2)] for index in range(2))
        assert mine == its
        for found, made in zip(some, mine, strict=True):
            found[2] = made[-1]
        return True

    def look(self):
        """What lies in memory is what was put there; no error was counted."""
        assert self.devices[0].check() > 0
        assert self.devices[0].counters()["errors"] == 0
        return True

    def close(self):
        for *both, _ in self.sessions:
            for session in both:
                session.close()
        while self.layers:
            self.free()


@pytest.mark.timeout(SECONDS*2 + 600)
def test_random_work(folder):
    pytest.importorskip("litex", reason="the gateware extra is not installed")
    from mixpe_sim import open_sim
    path = folder("smollm2")
    with open_sim(**SMALL) as sim, open_device(f"{sim.url}?timeout_s=10") as device, \
            open_device("reference", **SMALL) as reference, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the embedding is quantised
        models = [LlamaModel.from_pretrained(path, each, group_size=32, decoder="device")
            for each in (device, reference)]
        pair  = Pair([device, reference], models, seed=int(os.environ.get("MIXPE_SOAK_SEED", "1")))
        begin = time.monotonic()
        steps, flat, spent = 0, None, []  # bytes of this process and the simulation's, once warm and at the end
        while time.monotonic() - begin < SECONDS or steps <= WARM:
            pair.step()
            steps += 1
            if steps == WARM:
                flat = memory_bytes(), memory_bytes(sim.pid)
        spent = memory_bytes(), memory_bytes(sim.pid)
        pair.close()
        models[0].close()
        assert device.info()["mem_free_bytes"] == device.info()["mem_bytes"]
    print(f"{steps} steps in {time.monotonic() - begin:.0f} s, compared: {pair.done}; grew by "
        f"{[(end - start) >> 10 for start, end in zip(flat, spent, strict=True)]} KiB, this process and the simulation")
    assert all(end - start < GROWTH for start, end in zip(flat, spent, strict=True)), (flat, spent)
    if SECONDS >= 60:
        assert all(pair.done.values()), pair.done
