# SPDX-License-Identifier: BSD-2-Clause
"""Whole accelerator in Verilator against the reference, byte for byte over the whole memory."""

import numpy as np
import pytest

from mixpe_gateware.contract.config import PE_KINDS
from mixpe_gateware.contract.jobs import Job, group_code
from mixpe_sim.harness.cases import fill_operands, random_job

CONFIGS = [
    {"rows": 2, "port_bits": 16, "scalers": 1},
    {"rows": 1, "port_bits": 32, "scalers": 1, "read_ports": 2},
    {"rows": 4, "port_bits": 64, "scalers": 4, "pe": "bitplane"},
    {"rows": 8, "port_bits": 128, "scalers": 2, "read_ports": 4, "inbox_bytes": 1 << 15},
    {"rows": 4, "port_bits": 32, "scalers": 1, "fused": False},
    {"rows": 8, "port_bits": 64, "scalers": 2, "memory_bits": 16, "read_ports": 2, "queue_depth": 2,
        "inbox_bytes": 1 << 14},
    {"rows": 16, "port_bits": 32, "scalers": 2, "pe": "dense"},
    {"rows": 4, "port_bits": 128, "scalers": 2, "read_ports": 4, "inbox_bytes": 1 << 15, "pe": "dense"},
    {"rows": 1, "port_bits": 16, "scalers": 1, "fused": False, "queue_depth": 2, "pe": "dense"},
    {"rows": 2, "port_bits": 16, "scalers": 1, "queue_depth": 2, "minima": True},
    {"rows": 4, "port_bits": 64, "scalers": 2, "minima": True, "pe": "bitplane"},
    {"rows": 8, "port_bits": 128, "scalers": 8, "read_ports": 4, "inbox_bytes": 1 << 15, "minima": True, "pe": "dense"},
]
STALLS = (0.0, 0.1, 0.5, 0.9)


@pytest.mark.parametrize("options", CONFIGS, ids=lambda options: "-".join(map(str, options.values())))
def test_random_jobs_queued_four_deep(options, open_harness, compare, mem_bytes):
    harness = open_harness(**options)
    for seed in range(16):
        rng = np.random.default_rng(seed)
        harness.setup(seed=seed, stall=STALLS[seed % len(STALLS)], latency_cycles=int(rng.integers(1, 40)))
        jobs = []
        part = harness.config.inbox_bytes//4
        for slot in range(4):
            job = random_job(rng, harness.config, mem_bytes, (slot*mem_bytes//4, mem_bytes//4),
                inbox=(slot*part, part) if part else None, tag=4*seed + slot)
            fill_operands(rng, harness.memory, job, harness.config, extreme=seed % 6 == 0)
            jobs.append(job)
        compare(harness, jobs)


@pytest.mark.parametrize("pe", PE_KINDS)
def test_all_products(pe, open_harness, compare, mem_bytes):
    """16 weights × 256 activations: one activation of a row is not zero, a channel holds one weight everywhere."""
    harness = open_harness(**{**CONFIGS[3], "pe": pe})
    config, k = harness.config, 32
    activations = np.arange(-128, 128)
    for part in np.split(activations, 2):
        m = len(part)
        job = Job(weights_addr=0, act_addr=0x10000, out_addr=0x20000, n=16, k=k, m=m, group=group_code(32, k),
            out_bytes=0x10000)
        fill_operands(np.random.default_rng(0), harness.memory, job, config)
        weights = np.repeat(np.arange(16, dtype=np.uint8)*0x11, k//2).reshape(2, 8, k//2)
        block = job.weight_bytes(config)//2
        harness.memory[:2*block].reshape(2, block)[:, -8*k//2:] = weights.reshape(2, -1)
        x = np.zeros((m, k), np.int8)
        x[np.arange(m), np.arange(m) % k] = part
        harness.memory[0x10000:0x10000 + x.size] = x.reshape(-1).view(np.uint8)
        compare(harness, [job])
        out = harness.memory[0x20000:0x20000 + 4*16*m].view(np.int32).reshape(16, m)
        assert (out == np.arange(16)[:, None]*part[None, :]).all()


def test_extreme_groups_at_every_size(open_harness, compare, mem_bytes):
    """G = 32 … 256 and k, weights 0 and 15, activations −128 and 127, largest and smallest scales."""
    harness = open_harness(**CONFIGS[0])
    for seed, group_size in enumerate((32, 64, 128, 256, 512)):
        rng = np.random.default_rng(seed)
        jobs = [random_job(rng, harness.config, mem_bytes, (half*mem_bytes//2, mem_bytes//2), k=512, m=2, n=9,
            group=group_code(group_size, 512), fused=bool(half), wide=bool(half), shift=bool(half), planes=False,
            tag=half) for half in range(2)]
        for job in jobs:
            fill_operands(rng, harness.memory, job, harness.config, extreme=True)
        compare(harness, jobs)


def test_cycles_of_a_stream_without_stalls(open_harness, compare, mem_bytes):
    """The array takes a beat a cycle: a job costs its beats and a fixed start and end."""
    harness = open_harness(**CONFIGS[3])
    rng = np.random.default_rng(0)
    counts = []
    for n in (64, 128):
        job = random_job(rng, harness.config, mem_bytes, (0, mem_bytes), n=n, k=512, m=1, n_limit=200,
            group=group_code(128, 512), fused=True, wide=False, shift=False, planes=False, tag=n)
        fill_operands(rng, harness.memory, job, harness.config)
        before = harness.events()
        (_, _, cycles), = compare(harness, [job])
        after = harness.events()
        assert after["busy"] - before["busy"] == n*512//32
        counts.append((cycles, job.weight_bytes(harness.config)//16))
    (short, short_beats), (long, long_beats) = counts
    # The checker multiplies bit by bit: n and its blocks have one bit more. The results, less than a burst, are written
    # when the job ends.
    more_results = (128 - 64)*4//harness.config.beat_bytes
    assert long - short == long_beats - short_beats + 2 + more_results
    assert short - short_beats < 250


def test_the_queue_hides_checks_and_activations(open_harness, compare, mem_bytes):
    """Between queued jobs the array idles at most 32 cycles plus the memory's latency."""
    harness = open_harness(**CONFIGS[3])
    latency = 10
    harness.setup(seed=0, stall=0.0, latency_cycles=latency)
    rng = np.random.default_rng(0)
    jobs = []
    for slot in range(4):
        job = random_job(rng, harness.config, mem_bytes, (slot*mem_bytes//4, mem_bytes//4), n=32, k=512, m=1,
            n_limit=40, group=group_code(128, 512), fused=True, wide=False, shift=False, planes=False, tag=slot)
        fill_operands(rng, harness.memory, job, harness.config)
        jobs.append(job)
    compare(harness, jobs[:1])
    start = harness.events()
    compare(harness, jobs)
    end = harness.events()
    busy = end["busy"] - start["busy"]
    alone = start["cycles"] - start["busy"]
    idle = (end["cycles"] - start["cycles"]) - busy - alone
    metadata_beats = sum(job.weight_bytes(harness.config)//16 - 32*512//32 for job in jobs[1:])
    assert idle <= metadata_beats + 3*(32 + latency), (idle, alone)
