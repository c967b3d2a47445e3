# SPDX-License-Identifier: BSD-2-Clause
"""Activation memory: words, row sums and shifts of the jobs in its two buffers, while the next ones arrive."""

from collections import deque

import numpy as np
import pytest
from migen import passive

from mixpe_gateware.contract.config import Config
from mixpe_gateware.contract.layout import unpack_shifts
from mixpe_gateware.contract.reference import row_sums
from mixpe_gateware.gemm.activations import FIELDS, ActivationMemory
from mixpe_gateware.pe.element import element
from mixpe_gateware.stream.fanout import levels
from mixpe_sim.harness.cases import fill_operands, random_job
from mixpe_sim.ports import PortMemory

MEM_BYTES = 1 << 17
CONFIGS = [
    ({"rows": 1, "port_bits": 32, "scalers": 1, "queue_depth": 2}, 0.3),
    ({"rows": 2, "port_bits": 16, "scalers": 1, "queue_depth": 2}, 0.0),
    ({"rows": 4, "port_bits": 64, "scalers": 2, "memory_bits": 32}, 0.3),
    ({"rows": 4, "port_bits": 128, "scalers": 4, "pe": "dense"}, 0.5),
]
# k, rows of a job as a multiple of R and what is over, alignment shifts. The third and the last take both buffers.
SHAPES = [(32, (0, 1), True), (64, (1, 0), False), (512, (1, 1), True), (96, (2, -1), True), (128, (1, 0), True),
    (32, (3, 1), True), (512, (2, 0), False)]


@pytest.mark.parametrize("options, stall", CONFIGS,
    ids=lambda value: "-".join(map(str, value.values())) if isinstance(value, dict) else str(value))
def test_jobs_in_two_buffers(options, stall, ticket, feed, seeded, simulate):
    """What is read just before a job's release is right, however long the next one has been there."""
    config = Config(**{"k_max": 512, "buffer_beats": 128, **options})
    rng, design = seeded(config.rows), element(config)
    slots, behind = config.rows//config.scalers, levels(config) + ActivationMemory.READ_LATENCY
    memory = PortMemory(config.memory_bits, MEM_BYTES, seed=1, stall=stall)
    memory.bytes[:] = rng.integers(0, 256, MEM_BYTES)
    jobs, tickets = [], []
    for index, (k, (tiles, over), shift) in enumerate(SHAPES):
        job = random_job(rng, config, MEM_BYTES, (index*16384, 16384), k=k, group=0, n=1,
            m=tiles*config.rows + over or 1, fused=True, wide=False, shift=shift, planes=False)
        fill_operands(rng, memory.bytes, job, config, extreme=index == 1)
        jobs.append(job)
        if index % 3 == 1:
            tickets.append({name: int(rng.integers(1 << 16)) for name in tickets[-1]} | {"skip": 1})
        tickets.append(ticket(job, config, FIELDS))
    dut = ActivationMemory(config, memory.get_port("read"))
    loaded, wrong, counted, most = [0], [], [0], [0]

    def words_of(job, x, half):
        """(buffer, address, what each row has there) of words at both ends and in between."""
        words = job.k//config.lanes
        for tile in range(job.tiles(config)):
            rows = x[tile*config.rows:(tile + 1)*config.rows].reshape(-1, words, config.lanes)
            for word in sorted({0, words//2, words - 1, int(rng.integers(words))}):
                yield half, tile*words + word, [design.encode(row[word]) for row in rows]

    def groups_of(job, x, half):
        """(buffer, address, row sums, shifts or None) of groups at both ends and in between."""
        sums   = row_sums(x, job.group_size)
        start  = job.act_addr + job.m*job.k
        table  = memory.bytes[start:job.act_addr + job.act_bytes(config)]
        shifts = unpack_shifts(table, job.m, job.groups, config) if job.shift else None
        for row in range(0, job.m, config.scalers):
            tile, slot = row//config.rows, row % config.rows//config.scalers
            for group in sorted({0, job.groups - 1, int(rng.integers(job.groups))}):
                here = slice(row, min(row + config.scalers, job.m, (tile + 1)*config.rows))
                yield (half, (tile*job.groups + group)*slots + slot, sums[here, group].tolist(),
                    None if shifts is None else shifts[here, group].tolist())

    def use():
        half = 0
        for number, job in enumerate(jobs):
            double = ticket(job, config, ["double"])["double"]
            while loaded[0] <= number:
                yield
            for _ in range(int(rng.integers(400, 800)) if number % 2 else 0):
                yield
            x = memory.bytes[job.act_addr:job.act_addr + job.m*job.k].view(np.int8).reshape(job.m, job.k)
            # A word and a group a cycle, first what arrived last.
            due_words, due_groups = deque([None]*behind), deque([None])
            words, groups = list(words_of(job, x, half))[::-1], list(groups_of(job, x, half))[::-1]
            for index in range(max(len(words), len(groups)) + behind):
                word  = words[index] if index < len(words) else None
                group = groups[index] if index < len(groups) else None
                if word:
                    yield dut.buffer.eq(word[0])
                    yield dut.address.eq(word[1])
                if group:
                    yield dut.groups.buffer.eq(group[0])
                    yield dut.groups.address.eq(group[1])
                due_words.append(word)
                due_groups.append(group)
                yield
                word, group = due_words.popleft(), due_groups.popleft()
                for row, expected in enumerate(word[2] if word else ()):
                    if (yield dut.data[row]) != expected:
                        wrong.append((number, "word", word[1], row))
                for row, expected in enumerate(group[2] if group else ()):
                    if (yield dut.groups.sums[row]) != expected:
                        wrong.append((number, "row sum", group[1], row))
                    if group[3] and (yield dut.groups.shifts[row]) != group[3][row]:
                        wrong.append((number, "shift", group[1], row))
            yield dut.release.eq(1)
            yield dut.release_both.eq(double)
            yield
            yield dut.release.eq(0)
            yield dut.release_both.eq(int(rng.integers(2)))
            half ^= 1 - double
            most[0] = max(most[0], loaded[0] - number)

    @passive
    def watch():
        while True:
            yield
            loaded[0]  += (yield dut.finished)
            counted[0] += (yield dut.beat)

    simulate(dut, feed(dut.sink, tickets, np.random.default_rng(2), stall), use(), watch(), *memory.generators(),
        limit_cycles=60_000)
    assert not wrong, f"{len(wrong)}, the first: job, what, address, row = {wrong[0]}"
    assert loaded == [len(jobs)] and most == [2]
    assert counted == [sum(job.act_bytes(config) for job in jobs)//config.beat_bytes]
