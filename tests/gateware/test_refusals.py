# SPDX-License-Identifier: BSD-2-Clause
"""Bad descriptors, full queues and resets: a code, no write outside the buffer, and the next job is right."""

import dataclasses

import numpy as np
import pytest

from mixpe_gateware.contract.descriptor import INDEX, flag_bits
from mixpe_gateware.contract.jobs import Job, JobCode, check_job
from mixpe_sim.harness.cases import fill_operands, random_job

OPTIONS = {"rows": 2, "port_bits": 16, "scalers": 1}
PLAIN = {"wide": False, "shift": False, "planes": False}


@dataclasses.dataclass(frozen=True)
class RawJob(Job):
    """A job with any flag word."""

    raw_flags: int = 0

    def words(self):
        words = super().words()
        words[INDEX["flags"]] = self.raw_flags
        return words


def good_job(rng, harness, mem_bytes, tag, **fixed):
    job = random_job(rng, harness.config, mem_bytes, (0, mem_bytes//2), tag=tag, **fixed)
    fill_operands(rng, harness.memory, job, harness.config)
    return job


@pytest.mark.parametrize("change, code", [
    ({"n": 0}, JobCode.SHAPE),
    ({"n": 65537}, JobCode.SHAPE),
    ({"n": 1 << 31}, JobCode.SHAPE),
    ({"k": 0}, JobCode.SHAPE),
    ({"k": 130}, JobCode.SHAPE),
    ({"k": 513}, JobCode.SHAPE),
    ({"m": 0}, JobCode.SHAPE),
    ({"m": 513}, JobCode.SHAPE),
    ({"m": 18}, JobCode.ROWS),
    ({"group": 4}, JobCode.GROUP),
    ({"group": 3}, JobCode.SHAPE),
    ({"weights_addr": 1}, JobCode.ALIGN),
    ({"act_addr": 0x10001}, JobCode.ALIGN),
    ({"out_addr": 0x20001}, JobCode.ALIGN),
    ({"weights_addr": (1 << 20) - 2}, JobCode.MEMORY),
    ({"act_addr": 0xFFFFFFFE}, JobCode.MEMORY),
    ({"out_addr": 1 << 20}, JobCode.MEMORY),
    ({"out_addr": 0}, JobCode.OVERLAP),
    ({"out_addr": 0x10002}, JobCode.OVERLAP),
    ({"out_bytes": 4*12*2 - 2}, JobCode.SPACE),
    ({"out_bytes": 0}, JobCode.SPACE),
])
def test_each_check(change, code, open_harness, compare, mem_bytes):
    harness = open_harness(**OPTIONS)
    rng = np.random.default_rng(1)
    good = Job(weights_addr=0, act_addr=0x10000, out_addr=0x20000, n=12, k=128, m=2, group=2, out_bytes=96, tag=1)
    fill_operands(rng, harness.memory, good, harness.config)
    assert check_job(good, harness.config, mem_bytes) == JobCode.OK
    bad = dataclasses.replace(good, tag=2, **change)
    assert check_job(bad, harness.config, mem_bytes) == code
    ended = compare(harness, [good, bad, dataclasses.replace(good, tag=3)])
    assert ended[1][1] == code


def test_mutated_descriptors(open_harness, compare, mem_bytes):
    """Random words in a good descriptor: gateware and reference agree on the code, good jobs around it are right."""
    harness = open_harness(**OPTIONS)
    seen = set()
    for seed in range(150):
        rng = np.random.default_rng(seed)
        harness.setup(seed=seed, stall=0.2)
        good = good_job(rng, harness, mem_bytes, 1, n_limit=10)
        field = rng.choice(["weights_addr", "act_addr", "out_addr", "n", "k", "m", "out_bytes", "group"])
        value = int(rng.integers(0, 8)) if field == "group" else int(rng.choice([rng.integers(0, 1 << 32),
            rng.integers(0, mem_bytes), rng.integers(0, 600), getattr(good, field) + 2]))
        bad = dataclasses.replace(good, tag=2, **{field: value})
        if check_job(bad, harness.config, mem_bytes) == JobCode.OK:
            continue  # its operands may not exist
        ended = compare(harness, [good, bad, good])
        seen.add(ended[1][1])
    assert len(seen) >= 6, seen


def test_unknown_flags_are_refused(open_harness, compare, mem_bytes):
    harness = open_harness(**OPTIONS)
    good = good_job(np.random.default_rng(0), harness, mem_bytes, 1, fused=False, **PLAIN)
    fields = {name: getattr(good, name) for name in
        ("weights_addr", "act_addr", "out_addr", "n", "k", "m", "out_bytes")}
    for flags in (1 << flag_bits(()), 1 << 31, good.group | 1 << 5, good.group | 1 << 6):
        harness.post(RawJob(**fields, group=good.group, tag=9, raw_flags=flags))
        (tag, code, _), = harness.run(1, limit_cycles=10_000)
        assert (tag, code) == (9, JobCode.UNSUPPORTED)
    compare(harness, [good])


def test_fused_is_refused_where_it_is_not_built(open_harness, mem_bytes):
    harness = open_harness(rows=4, port_bits=32, scalers=1, fused=False)
    good = good_job(np.random.default_rng(0), harness, mem_bytes, 1, **PLAIN)
    harness.post(dataclasses.replace(good, fused=True))
    assert harness.run(1, limit_cycles=10_000)[0][1] == JobCode.UNSUPPORTED


def test_reset_in_the_middle(open_harness, compare, mem_bytes):
    """A reset ends every posted job with ABORTED in order, writes nothing outside the results, and leaves no trace."""
    harness = open_harness(**OPTIONS)
    for seed in range(60):
        rng = np.random.default_rng(seed)
        harness.setup(seed=seed, stall=float(rng.choice([0, 0.3, 0.8])), latency_cycles=int(rng.integers(1, 30)))
        jobs = [good_job(rng, harness, mem_bytes, tag) for tag in range(1, 4)]
        before = np.array(harness.memory)
        for job in jobs:
            harness.post(job)
        harness.idle(int(rng.integers(1, 6000)))
        harness.reset()
        harness.idle(3000)
        ended = harness.take_ended()
        codes = [code for _, code, _ in ended]
        assert [tag for tag, _, _ in ended] == [1, 2, 3][:len(ended)]
        done = codes.count(JobCode.OK)
        assert codes == [JobCode.OK]*done + [JobCode.ABORTED]*(len(codes) - done)
        outside = np.ones(len(before), bool)
        for job in jobs:
            outside[job.out_addr:job.out_addr + job.result_bytes(harness.config)] = False
        assert (harness.memory == before)[outside].all()
        job = good_job(rng, harness, mem_bytes, 7)
        compare(harness, [job])


@pytest.mark.parametrize("offset, size, code", [
    (-64, 64, JobCode.OK),               # the memory's last bytes
    (-32, 64, JobCode.MEMORY),           # half in the memory, half in the inbox
    (0, 64, JobCode.OK),                 # the inbox's first bytes
    (4096 - 64, 64, JobCode.OK),         # its last ones
    (4096 - 64, 128, JobCode.MEMORY),
    (4096, 64, JobCode.MEMORY),
    ((1 << 20) - 64, 64, JobCode.MEMORY),
    ((1 << 21), 64, JobCode.MEMORY),
])
@pytest.mark.parametrize("port_bits", [16, 128])
def test_ends_of_the_inbox(offset, size, code, port_bits, open_harness, compare, mem_bytes):
    """Activations lie in the memory or in the inbox, not in both and not behind it."""
    harness = open_harness(rows=2, port_bits=port_bits, scalers=1, inbox_bytes=4096)
    job = Job(weights_addr=0, act_addr=mem_bytes + offset, out_addr=0x20000, n=8, k=64, m=size//64, group=0,
        out_bytes=1024, tag=5)
    assert check_job(job, harness.config, mem_bytes) == code
    if code == JobCode.OK:
        fill_operands(np.random.default_rng(2), harness.memory, job, harness.config)
    (_, found, _), = compare(harness, [job])
    assert found == code
    for name in ("weights_addr", "out_addr"):  # only activations
        other = dataclasses.replace(job, act_addr=0x10000, m=1, **{name: mem_bytes})
        (_, found, _), = compare(harness, [other])
        assert found == JobCode.MEMORY


def test_no_inbox(open_harness, compare, mem_bytes):
    harness = open_harness(**OPTIONS)
    job = Job(weights_addr=0, act_addr=mem_bytes, out_addr=0x20000, n=8, k=64, m=1, group=0, out_bytes=1024, tag=5)
    (_, found, _), = compare(harness, [job])
    assert found == JobCode.MEMORY
