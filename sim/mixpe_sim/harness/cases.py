# SPDX-License-Identifier: BSD-2-Clause
"""Random jobs with their operands in memory, for comparing gateware with the reference."""

from dataclasses import replace

import numpy as np

from mixpe_gateware.contract import layout
from mixpe_gateware.contract.config import GROUP_SIZES
from mixpe_gateware.contract.jobs import Job, JobCode, check_job, group_code
from mixpe_gateware.contract.scaling import SUPERBLOCK_GROUPS, TWO_LEVEL_GROUP, Form, Scaling

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
        if config.minima:
            fields["form"] = Form(int(rng.integers(len(Form))))
            if fields["form"] == Form.TWO_LEVEL and "k" not in fixed:  # whole superblocks
                superblock = SUPERBLOCK_GROUPS*TWO_LEVEL_GROUP
                fields |= {"k": superblock*int(rng.integers(1, k_limit//superblock + 1)),
                    "group": group_code(TWO_LEVEL_GROUP, 0)}
        fields.update(fixed)
        job = Job(**fields)
        fits = job.weight_bytes(config) <= third and job.act_bytes(config) <= third
        if inbox and job.act_bytes(config) <= inbox[1] and rng.integers(2):
            job = replace(job, act_addr=mem_bytes + inbox[0])
        if check_job(job, config, mem_bytes) == JobCode.OK and fits:
            return job
    raise RuntimeError(f"no job of {config} fits {size} bytes with {fixed}")


def _random_scaling(rng, n, groups, form, extreme):
    def integers(limit, shape):
        found = rng.choice([0, limit], shape) if extreme else rng.integers(0, limit + 1, shape)
        return found.astype(np.uint8)

    def halves(shape):
        """Of all sizes, subnormal and negative ones too."""
        bits = rng.integers(0, 1 << 16, shape).astype(np.uint16)
        bits = np.where(bits >> 10 & 31 == 31, bits & 0x83FF | 30 << 10, bits).astype(np.uint16)
        if extreme:
            bits = rng.choice(np.array([0x7BFF, 0xFBFF, 0x0001, 0x0000, 0x8000], np.uint16), shape)
        return bits.view(np.float16)

    if form == Form.ZERO:
        zeros = integers(15, (n, groups))
        return Scaling(halves((n, groups)), zeros=zeros)
    if form == Form.MINIMUM:
        return Scaling(halves((n, groups)), minima=halves((n, groups)))
    shape = n, groups//SUPERBLOCK_GROUPS
    return Scaling(halves(shape), minima=halves(shape), factors=integers(63, (n, groups, 2)))


def fill_operands(rng, memory, job, config, *, extreme=False):
    """Write random weights, scalings, activations and shifts for a job; `extreme` takes only edge values."""
    k, groups = job.passes*job.k, job.passes*job.groups
    q = rng.choice([0, 15], (job.n, k)) if extreme else rng.integers(0, 16, (job.n, k))
    x = rng.choice([-128, 127], (job.m, job.k)) if extreme else rng.integers(-128, 128, (job.m, job.k))
    scaling = _random_scaling(rng, job.n, groups, job.form, extreme)
    stream  = layout.pack_stream(layout.pack_nibbles(q.astype(np.uint8)), scaling, config)
    memory[job.weights_addr:job.weights_addr + stream.size] = stream
    memory[job.act_addr:job.act_addr + job.m*job.k] = x.astype(np.int8).reshape(-1).view(np.uint8)
    if job.shift:
        table = rng.integers(0, 16, (job.m, (job.act_bytes(config) - job.m*job.k)//job.m)).astype(np.uint8)
        if job.wide:
            table[1::2] = table[0::2]
        start = job.act_addr + job.m*job.k
        memory[start:start + table.size] = table.reshape(-1)
