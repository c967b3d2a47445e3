# SPDX-License-Identifier: BSD-2-Clause
import numpy as np
import pytest

from mixpe.reference.execute import Executor
from mixpe_gateware.contract.config import Config
from mixpe_sim.harness import Harness

MEM_BYTES = 1 << 20
SMALL = {"k_max": 512, "buffer_beats": 128, "queue_depth": 4}


@pytest.fixture
def mem_bytes():
    return MEM_BYTES


@pytest.fixture
def open_harness():
    """Open an accelerator in Verilator; small memories and DRAM rows so that every wrap-around happens."""
    opened = []

    def open_(*, watchdog_cycles=1 << 20, **options):
        harness = Harness(Config(**{**SMALL, **options}), MEM_BYTES, chunk_beats=16, watchdog_cycles=watchdog_cycles)
        harness.memory[:] = np.random.default_rng(0).integers(0, 256, len(harness.memory), dtype=np.uint8)
        opened.append(harness)
        return harness

    yield open_
    for harness in opened:
        harness.close()


@pytest.fixture
def compare():
    """Run posted jobs on accelerator and reference and compare codes and the whole memory."""

    def compare_(harness, jobs, *, limit_cycles=2_000_000):
        expected = np.array(harness.memory)
        executor = Executor(harness.config, expected)
        codes = []
        for job in jobs:
            executor.written(0, len(expected))
            codes.append(executor.run(job))
        for job in jobs:
            harness.post(job)
        ended = harness.run(len(jobs), limit_cycles=limit_cycles)
        assert [tag for tag, _, _ in ended] == [job.tag for job in jobs]
        assert [code for _, code, _ in ended] == codes
        wrong = np.flatnonzero(harness.memory != expected)
        assert not wrong.size, f"{wrong.size} bytes differ, the first at {wrong[0]:#x}: {jobs}"
        return ended

    return compare_
