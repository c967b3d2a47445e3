# SPDX-License-Identifier: BSD-2-Clause
"""Memory that stops answering: every job ends with a code, nothing outside its buffer is written, nothing hangs."""

import dataclasses

import numpy as np
import pytest

from mixpe_gateware.contract.jobs import JobCode
from mixpe_sim.harness.cases import fill_operands, random_job

OPTIONS = {"rows": 2, "port_bits": 16, "scalers": 1}
CYCLES  = 1024  # of the watchdog here


def post_three(rng, harness, mem_bytes):
    part = mem_bytes//4
    jobs = [random_job(rng, harness.config, mem_bytes, (slot*part, part), tag=slot) for slot in range(3)]
    for job in jobs:
        fill_operands(rng, harness.memory, job, harness.config)
        harness.post(job)
    return jobs


@pytest.mark.parametrize("seed", range(12))
def test_memory_that_stops_for_good(seed, open_harness, mem_bytes):
    harness = open_harness(**OPTIONS, watchdog_cycles=CYCLES)
    rng = np.random.default_rng(seed)
    harness.setup(seed=seed, stall=0.2)
    before = np.array(harness.memory)
    jobs = post_three(rng, harness, mem_bytes)
    for job in jobs:
        before[job.weights_addr:job.out_addr] = harness.memory[job.weights_addr:job.out_addr]
    harness.idle(int(rng.integers(0, 3000)))
    ended = harness.take_ended()
    harness.setup(seed=seed, stall=1.0)
    harness.idle(3*CYCLES + 200)
    harness.setup(seed=seed, stall=0.0)  # ended jobs can be collected again
    harness.idle(64)
    ended += harness.take_ended()
    assert [tag for tag, _, _ in ended] == [0, 1, 2]
    codes = [code for _, code, _ in ended]
    done  = codes.count(JobCode.OK)
    assert codes[:done] == [JobCode.OK]*done
    if done < 3:
        assert codes[done] == JobCode.WATCHDOG and set(codes[done + 1:]) <= {JobCode.ABORTED, JobCode.WATCHDOG}
    outside = np.ones(len(before), bool)
    for job in jobs:
        outside[job.out_addr:job.out_addr + job.result_bytes(harness.config)] = False
    assert (harness.memory == before)[outside].all()


def test_the_next_job_is_right_when_the_memory_came_back_in_time(open_harness, compare, mem_bytes):
    """A pause longer than the watchdog, but over before what is under way is given up: only the jobs are lost."""
    harness = open_harness(**OPTIONS, watchdog_cycles=CYCLES)
    rng  = np.random.default_rng(3)
    jobs = post_three(rng, harness, mem_bytes)
    harness.idle(400)
    ended = harness.take_ended()
    harness.setup(seed=0, stall=1.0)
    harness.idle(2*CYCLES - 100)  # the array went on for some cycles with what it had
    harness.setup(seed=0, stall=0.0)
    harness.idle(1000)
    ended += harness.take_ended()
    assert [code for _, code, _ in ended] == [JobCode.WATCHDOG, JobCode.ABORTED, JobCode.ABORTED]
    compare(harness, jobs)


def test_a_dead_memory_ends_every_later_job(open_harness, mem_bytes):
    """A late answer could be taken for another's, so nothing is run any more, and nobody waits."""
    harness = open_harness(**OPTIONS, watchdog_cycles=CYCLES)
    rng  = np.random.default_rng(3)
    jobs = post_three(rng, harness, mem_bytes)
    harness.idle(400)
    harness.setup(seed=0, stall=1.0)
    harness.idle(3*CYCLES)
    harness.setup(seed=0, stall=0.0)
    harness.idle(64)
    assert [code for _, code, _ in harness.take_ended()][0] == JobCode.WATCHDOG
    before = np.array(harness.memory)
    for _ in range(2):
        harness.post(dataclasses.replace(jobs[0], tag=9))
        assert harness.run(1, limit_cycles=200)[0][:2] == (9, JobCode.WATCHDOG)
        harness.reset()
    assert (harness.memory == before).all()


def test_work_without_memory_is_progress(open_harness, compare, mem_bytes):
    """A job whose array works long on what is in its buffers is not taken for one that hangs."""
    harness = open_harness(rows=2, port_bits=16, scalers=1, watchdog_cycles=256)
    rng = np.random.default_rng(0)
    job = random_job(rng, harness.config, mem_bytes, (0, mem_bytes), k=512, m=4, n=16, group=7, fused=False, wide=False,
        shift=False, planes=False, tag=1)
    fill_operands(rng, harness.memory, job, harness.config)
    compare(harness, [job])
