# SPDX-License-Identifier: BSD-2-Clause
"""Dispatcher between a queue and two engines: order of ends, fences, unknown operations, under random delays."""

import numpy as np
import pytest
from litex.gen import LiteXModule
from migen import run_simulation

from mixpe_gateware.contract.descriptor import INDEX, WORDS
from mixpe_gateware.control.dispatch import Dispatcher
from mixpe_gateware.control.engine import Engine
from mixpe_gateware.control.queue import JobQueue

DEPTH        = 8
JOBS         = 60
LIMIT_CYCLES = 20_000
OPCODES      = (1, 5)
FENCE        = WORDS[INDEX["op"]].field("fence").mask


class Bench(LiteXModule):
    """Queue, dispatcher, and engines that the test plays."""

    def __init__(self, opcodes):
        self.engines    = {opcode: Engine() for opcode in opcodes}
        self.queue      = queue = JobQueue(DEPTH)
        self.dispatcher = dispatcher = Dispatcher(self.engines, DEPTH)
        for engine in self.engines.values():
            self.submodules += engine
        self.comb += [
            dispatcher.valid.eq(queue.valid),
            dispatcher.value.eq(queue.value),
            queue.index.eq(dispatcher.index),
            queue.pop.eq(dispatcher.pop),
        ]


@pytest.mark.parametrize("opcodes", [OPCODES, OPCODES[:1]], ids=["two engines", "one engine"])
@pytest.mark.parametrize("seed", range(4))
def test_order_and_fences(opcodes, seed):
    print(f"seed {seed}")
    rng = np.random.default_rng(seed)
    dut = Bench(opcodes)
    ops    = [int(rng.choice([*opcodes, 9]))| FENCE*int(rng.integers(4) == 0) for _ in range(JOBS)]
    begun, ended, at_engine = [], [], []  # jobs in order; (job, engine) as the engines read them

    def host():
        posted = 0
        for _ in range(LIMIT_CYCLES):
            if posted < JOBS and posted - len(ended) < DEPTH and rng.integers(3):
                for word, value in (("op", ops[posted]), ("n", 1000 + posted), ("tag", posted)):
                    yield dut.queue.word.eq(INDEX[word])
                    yield dut.queue.data.eq(value)
                    yield dut.queue.write.eq(1)
                    yield dut.queue.post.eq(word == "tag")
                    yield
                yield dut.queue.write.eq(0)
                yield dut.queue.post.eq(0)
                posted += 1
            yield dut.dispatcher.source.ready.eq(int(rng.integers(2)))
            yield
            if len(ended) == JOBS:
                return
        raise AssertionError(f"{len(ended)} of {JOBS} jobs ended within {LIMIT_CYCLES} cycles")

    def collect():
        while len(ended) < JOBS:
            yield
            if (yield dut.dispatcher.source.valid) and (yield dut.dispatcher.source.ready):
                ended.append((yield dut.dispatcher.source.start) - 1000)

    def work(opcode, engine):
        """Read word n of each descriptor, then end the job, some cycles later; up to three jobs at once."""
        from collections import deque
        waiting = deque()
        rng_here = np.random.default_rng((seed, opcode))
        while len(ended) < JOBS:
            if (yield engine.valid) and len(waiting) < 3 and rng_here.integers(4) == 0:
                yield engine.index.eq(INDEX["n"])
                yield
                yield
                job = (yield engine.value) - 1000
                at_engine.append((job, opcode))
                begun.append((job, len(ended)))
                waiting.append(job)
                yield engine.index.eq(0)
                yield engine.pop.eq(1)
                yield
                yield engine.pop.eq(0)
                yield
            if waiting and rng_here.integers(6) == 0:
                yield engine.source.valid.eq(1)
                yield engine.source.start.eq(1000 + waiting[0])
                yield
                while not (yield engine.source.ready):
                    yield
                waiting.popleft()
                yield engine.source.valid.eq(0)
            yield

    run_simulation(dut, [host(), collect(), *[work(*item) for item in dut.engines.items()]])
    assert ended == list(range(JOBS))
    assert sorted(at_engine) == [(job, op & 255 if op & 255 in opcodes else opcodes[0]) for job, op in enumerate(ops)]
    for job, before in begun:
        if ops[job] & FENCE:
            assert before == job, f"job {job} began when {before} had ended"
    assert any(before < job for job, before in begun)  # without fences they do overlap
