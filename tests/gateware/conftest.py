# SPDX-License-Identifier: BSD-2-Clause
"""Accelerators in Verilator that are compared with the reference, and blocks in the Migen simulator."""

import numpy as np
import pytest
from migen import passive, run_simulation

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


@pytest.fixture
def seeded():
    """Random numbers from a seed that is shown when the test fails."""
    def seeded_(seed):
        print(f"seed {seed}")
        return np.random.default_rng(seed)

    return seeded_


@pytest.fixture
def simulate():
    """Run a block and its drivers in the Migen simulator; to be still busy at the cycle limit is a failure."""
    def simulate_(dut, *generators, limit_cycles=20_000):
        @passive
        def limit():
            for _ in range(limit_cycles):
                yield
            raise AssertionError(f"the drivers are not done after {limit_cycles} cycles")

        run_simulation(dut, [*generators, limit()])

    return simulate_


@pytest.fixture
def feed():
    """Driver that offers items (dict of field: value) to an endpoint, with random pauses of probability `stall`.

    Between items the fields hold random values, which must not matter.
    """
    def feed_(endpoint, items, rng, stall):
        for item in items:
            while rng.random() < stall:
                for name in item:
                    yield getattr(endpoint, name).eq(int(rng.integers(1 << 32)))
                yield
            for name, value in item.items():
                yield getattr(endpoint, name).eq(value)
            yield endpoint.valid.eq(1)
            yield
            while not (yield endpoint.ready):
                yield
            yield endpoint.valid.eq(0)

    return feed_


@pytest.fixture
def collect():
    """Driver that takes `count` items of an endpoint into `out`, as tuples of fields, with random pauses."""
    def collect_(endpoint, fields, count, out, rng, stall):
        while len(out) < count:
            ready = rng.random() >= stall
            yield endpoint.ready.eq(int(ready))
            yield
            if ready and (yield endpoint.valid):
                item = []
                for name in fields:
                    item.append((yield getattr(endpoint, name)))
                out.append(tuple(item))
        yield endpoint.ready.eq(0)

    return collect_


@pytest.fixture
def ticket():
    """Fields of a checked job worked out in plain Python, those of the given names: dict."""
    def ticket_(job, config, names):
        beat, words = config.beat_bytes, job.k//config.lanes
        tiles = job.tiles(config)
        fields = {
            "skip": 0, "code": 0, "fused": int(job.fused), "wide": int(job.wide), "shift": int(job.shift),
            "double": int(tiles*words > config.act_words),
            "act_beat": job.act_addr//beat, "weights_beat": job.weights_addr//beat, "out_beat": job.out_addr//beat,
            "act_beats": job.act_bytes(config)//beat, "stream_beats": job.weight_bytes(config)//beat,
            "m_last": job.m - 1, "tiles_last": tiles - 1, "last_rows": job.m - (tiles - 1)*config.rows,
            "kwords": words, "kwords_last": words - 1, "group_words_last": job.group_size//config.lanes - 1,
            "groups": job.groups, "groups_last": job.groups - 1,
            "stream_words": job.passes*words, "stream_words_last": job.passes*words - 1,
            "stream_groups": job.passes*job.groups, "stream_groups_last": job.passes*job.groups - 1,
            "n_last": job.n - 1, "blocks_last": -(-job.n//8) - 1, "form": int(job.form),
        }
        return {name: fields[name] for name in names if name != "form" or config.minima}

    return ticket_


@pytest.fixture
def switch_writes():
    """Switch a writer off and on at random cycles: when it says `idle`, nothing more is written until it is back on.

    A process of the simulator; `running` says whether to go on, `stopped` gets the words written at each pause.
    """

    def switch_(dut, memory, rng, running, stopped):
        while running():
            for _ in range(int(rng.integers(1, 120))):
                yield
            yield dut.enable.eq(0)
            yield
            yield
            while not (yield dut.idle):
                yield
            written = len(memory.writes)
            for _ in range(60):
                yield
                assert (yield dut.idle) and len(memory.writes) == written
            stopped.append(written)
            yield dut.enable.eq(1)
            yield

    return switch_
