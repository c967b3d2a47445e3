# SPDX-License-Identifier: BSD-2-Clause
"""A job with a fence uses the results of the jobs before it; without one it would not."""

import dataclasses

import numpy as np
import pytest

from mixpe_gateware.contract.jobs import Job, JobCode, group_code
from mixpe_sim.harness.cases import fill_operands

OPTIONS = [
    {"rows": 2, "port_bits": 16, "scalers": 1},
    {"rows": 8, "port_bits": 128, "scalers": 2, "read_ports": 4},
    {"rows": 1, "port_bits": 16, "scalers": 1, "fused": False, "queue_depth": 2},
]


def chain(rng, harness):
    """Two jobs: the second one's activations are the bytes of the first one's partial sums."""
    first = Job(weights_addr=0, act_addr=0x8000, out_addr=0x10000, n=64, k=128, m=1, group=group_code(128, 128),
        out_bytes=256, tag=1)
    second = Job(weights_addr=0x20000, act_addr=first.out_addr, out_addr=0x40000, n=5, k=256, m=1,
        group=group_code(64, 256), out_bytes=256, tag=2, fence=True)
    for job in (second, first):
        fill_operands(rng, harness.memory, job, harness.config)
    return first, second


@pytest.mark.parametrize("options", OPTIONS, ids=lambda options: "-".join(map(str, options.values())))
def test_results_are_activations_behind_a_fence(options, open_harness, compare):
    harness = open_harness(**options)
    for seed in range(20):
        rng = np.random.default_rng(seed)
        harness.setup(seed=seed, stall=float(rng.choice([0, 0.3, 0.8])), latency_cycles=int(rng.integers(1, 40)))
        first, second = chain(rng, harness)
        free = dataclasses.replace(first, out_addr=0x50000, tag=3)
        compare(harness, [first, second, free, dataclasses.replace(second, tag=4)])


def test_without_it_they_are_read_too_early(open_harness, compare):
    """What the fence is for: the second job's activations are on chip before the first one's results are written."""
    harness = open_harness(**OPTIONS[1])
    first, second = chain(np.random.default_rng(0), harness)
    with pytest.raises(AssertionError, match="bytes differ"):
        compare(harness, [first, dataclasses.replace(second, fence=False)])


def test_a_fence_costs_nothing_of_what_it_waits_for(open_harness, compare):
    """A job's cycles begin at its check, so those of one behind a fence are those of one alone."""
    harness = open_harness(**OPTIONS[1])
    first, second = chain(np.random.default_rng(0), harness)
    alone = compare(harness, [second])[0][2]
    assert compare(harness, [first, second])[1][2] == alone


@pytest.mark.parametrize("opcode", [0, 2, 255])
def test_unknown_operations_are_refused_in_their_turn(opcode, open_harness, compare):
    harness = open_harness(**OPTIONS[0])
    first, second = chain(np.random.default_rng(0), harness)
    for fence in (False, True):
        ended = compare(harness, [first, dataclasses.replace(second, opcode=opcode, fence=fence), second])
        assert [code for _, code, _ in ended] == [JobCode.OK, JobCode.UNSUPPORTED, JobCode.OK]
