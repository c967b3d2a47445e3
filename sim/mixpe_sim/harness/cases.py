# SPDX-License-Identifier: BSD-2-Clause
"""Random jobs with their operands in memory, for comparing gateware with the reference."""

from dataclasses import replace

import numpy as np

from mixpe_gateware.contract import layout
from mixpe_gateware.contract.config import GROUP_SIZES
from mixpe_gateware.contract.jobs import Job, JobCode, check_job, group_code

ATTEMPTS = 10000


def random_job(rng, config, mem_bytes, region, *, k_limit=512, n_limit=30, inbox=None, **fixed):
    """A job that the accelerator must accept, with random shape, mode and place.

    Parameters
    ----------
    rng : numpy Generator
    config : Config
    mem_bytes : int
    region : (start, size)
        Where its weights, activations and results lie; a third of it each.
    inbox : (start, size), optional
        A part of the inbox, counted from its first byte, where half of the activations lie that fit it.
    fixed : fields of `Job` that are not random
    """
    start, size = region
    third = size//3//config.beat_bytes*config.beat_bytes
    for _ in range(ATTEMPTS):
        k = config.lanes*int(rng.integers(1, k_limit//config.lanes + 1))
        group_size = int(rng.choice([*GROUP_SIZES, k]))
        code = group_code(group_size, k)
        fused = config.fused and bool(rng.integers(2))
        fields = {
            "weights_addr": start, "act_addr": start + third, "out_addr": start + 2*third, "out_bytes": third,
            "n": int(rng.integers(1, n_limit)), "k": k, "group": code, "fused": fused,
            "m": int(rng.integers(1, 2 + config.rows*(config.k_max//k))),
            "wide": fused and bool(rng.integers(2)), "shift": fused and bool(rng.integers(2)),
            "planes": bool(rng.integers(2)),
        }
        fields.update(fixed)
        job = Job(**fields)
        fits = job.weight_bytes(config) <= third and job.act_bytes(config) <= third
        if inbox and job.act_bytes(config) <= inbox[1] and rng.integers(2):
            job = replace(job, act_addr=mem_bytes + inbox[0])
        if check_job(job, config, mem_bytes) == JobCode.OK and fits:
            return job
    raise RuntimeError(f"no job of {config} fits {size} bytes with {fixed}")


def fill_operands(rng, memory, job, config, *, extreme=False):
    """Write random weights, scales, zeros, activations and shifts for a job; `extreme` takes only edge values."""
    k, groups = job.passes*job.k, job.passes*job.groups
    q = rng.choice([0, 15], (job.n, k)) if extreme else rng.integers(0, 16, (job.n, k))
    x = rng.choice([-128, 127], (job.m, job.k)) if extreme else rng.integers(-128, 128, (job.m, job.k))
    zeros = rng.choice([0, 15], (job.n, groups)) if extreme else rng.integers(0, 16, (job.n, groups))
    # Scales of all sizes, subnormal and negative ones too.
    bits = rng.integers(0, 1 << 16, (job.n, groups)).astype(np.uint16)
    bits = np.where(bits >> 10 & 31 == 31, bits & 0x83FF | 30 << 10, bits).astype(np.uint16)
    if extreme:
        bits = rng.choice(np.array([0x7BFF, 0xFBFF, 0x0001, 0x0000, 0x8000], np.uint16), (job.n, groups))
    stream = layout.pack_stream(layout.pack_nibbles(q.astype(np.uint8)), bits.view(np.float16), zeros.astype(np.uint8),
        config)
    memory[job.weights_addr:job.weights_addr + stream.size] = stream
    memory[job.act_addr:job.act_addr + job.m*job.k] = x.astype(np.int8).reshape(-1).view(np.uint8)
    if job.shift:
        table = rng.integers(0, 16, (job.m, (job.act_bytes(config) - job.m*job.k)//job.m)).astype(np.uint8)
        if job.wide:
            table[1::2] = table[0::2]
        start = job.act_addr + job.m*job.k
        memory[start:start + table.size] = table.reshape(-1)
