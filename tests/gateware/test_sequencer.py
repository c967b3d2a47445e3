# SPDX-License-Identifier: BSD-2-Clause
"""Array and its sequencer between a real weight buffer and activations in Python: group sums of whole jobs."""

from collections import deque

import numpy as np
import pytest
from litex.gen import LiteXModule
from migen import passive

from mixpe_gateware.contract.config import CHANNELS_PER_BLOCK, Config
from mixpe_gateware.contract.jobs import Job, group_code
from mixpe_gateware.contract.reference import partials
from mixpe_gateware.contract.widths import GROUP_SUM_BITS
from mixpe_gateware.gemm.sequencer import FIELDS, ArraySequencer
from mixpe_gateware.gemm.weights import WeightBuffer
from mixpe_gateware.pe.element import element
from mixpe_gateware.stream.fanout import levels

CONFIGS = [
    ({"rows": 1, "port_bits": 64, "scalers": 1, "queue_depth": 2}, 0.0),
    ({"rows": 2, "port_bits": 64, "scalers": 1, "queue_depth": 2}, 0.5),
    ({"rows": 4, "port_bits": 128, "scalers": 1, "pe": "bitplane"}, 0.3),
    ({"rows": 2, "port_bits": 32, "scalers": 1, "pe": "dense"}, 0.3),
]
# k, G, n, rows as a multiple of R and what is over, planes. One channel is longer than the weight buffer, and one job
# takes both buffers of activations.
SHAPES = [(32, 32, 1, (0, 1), False), (64, 32, 9, (2, -1), False), (512, 512, 1, (0, 1), False),
    (64, 64, 2, (1, 0), True), (128, 128, 1, (5, 0), False), (128, 64, 1, (1, 0), False)]
BUFFERED = 256  # weights of a channel that the buffer holds


class Bench(LiteXModule):
    def __init__(self, config):
        self.buffer = buffer = WeightBuffer(config.port_bits, BUFFERED//config.lanes)
        self.array  = array  = ArraySequencer(config, address_bits=16, results_depth=2 if config.is_shallow else 4)
        self.comb += [
            array.available.eq(buffer.available),
            buffer.take.eq(array.take),
            buffer.release.eq(array.release),
            buffer.rewind.eq(array.rewind),
            array.weights.eq(buffer.data),
        ]


@pytest.mark.parametrize("options, stall", CONFIGS,
    ids=lambda value: "-".join(map(str, value.values())) if isinstance(value, dict) else str(value))
def test_vectors_of_jobs(options, stall, ticket, feed, collect, seeded, simulate):
    """Every channel, tile and group in order; weights, activations and the taker of results stall at random."""
    config = Config(**{"k_max": 512, "buffer_beats": 64, **options})
    rng, design = seeded(config.rows + config.lanes), element(config)
    rows, lanes, behind = config.rows, config.lanes, levels(config) + WeightBuffer.READ_LATENCY
    jobs, tickets, beats, expected, stored = [], [], [], [], []
    half = 0
    for index, (k, group_size, n, (tiles, over), planes) in enumerate(SHAPES):
        m   = tiles*rows + over or 1
        job = Job(weights_addr=0, act_addr=0, out_addr=0, out_bytes=0, n=n, k=k, m=m, group=group_code(group_size, k),
            planes=planes)
        channels = -(-n//CHANNELS_PER_BLOCK)*CHANNELS_PER_BLOCK
        q = rng.integers(0, 16, (channels, job.passes, k)).astype(np.uint8)
        x = rng.integers(-128, 128, (m, k)).astype(np.int8)
        if index == 2:
            q[:], x[:] = 15, -128
        for channel in q:
            beats += [design.encode_weights(word) for word in channel.reshape(-1, lanes)]
            for tile in range(job.tiles(config)):
                part = x[tile*rows:(tile + 1)*rows]
                for plane in channel:
                    expected += partials(part, plane[None], group_size)[:, 0].T.tolist()
        words = k//lanes
        fields = ticket(job, config, FIELDS)
        start  = half*config.act_words
        stored.append({(start + tile*words + word) % (2*config.act_words): [
            design.encode(row[word*lanes:(word + 1)*lanes]) for row in x[tile*rows:(tile + 1)*rows]]
            for tile in range(job.tiles(config)) for word in range(words)})
        half ^= 1 - fields["double"]
        if index % 2:
            tickets.append({name: int(rng.integers(1 << 16)) for name in tickets[-1]} | {"skip": 1})
        jobs.append(job)
        tickets.append(fields)

    assert sum(fields["double"] for fields in tickets if not fields["skip"]) == 1
    dut, out = Bench(config), []
    array = dut.array
    taken, wrong, counts = [0], [], dict.fromkeys(("busy", "wait_weights", "wait_results"), 0)
    per_job = [-(-job.n//8)*8*job.tiles(config)*job.passes*job.k//lanes for job in jobs]
    said    = [0]  # jobs whose activations are there

    def load():
        """Say of each job that its activations are there: a job ahead of the array, or when it has long waited."""
        for number in range(len(jobs)):
            late = number % 2 == 0
            while taken[0] < sum(per_job[:number if late else max(0, number - 1)]):
                yield
            for _ in range(100*late):
                yield
            yield array.loaded.eq(1)
            said[0] += 1
            yield
            yield array.loaded.eq(0)
            yield

    @passive
    def activate():
        """Activations of the job that the array is at; a word that no job has there is noise."""
        due = deque([None]*(behind - 1))
        while True:
            yield
            place = (yield array.address) + (yield array.buffer)*config.act_words
            number = int(np.searchsorted(np.cumsum(per_job), taken[0], side="right"))
            due.append(stored[min(number, len(jobs) - 1)].get(place % (2*config.act_words)))
            now = due.popleft()
            for row, signal in enumerate(array.activations):
                yield signal.eq(now[row] if now and row < len(now) else int(rng.integers(1 << 16)))
            if (yield array.take):
                taken[0] += 1
                if taken[0] > sum(per_job[:said[0]]):
                    wrong.append(f"a beat of job {said[0]} before its activations were there")
            happened = []
            for name in counts:
                happened.append((yield getattr(array, name)))
                counts[name] += happened[-1]
            if sum(happened) > 1:
                wrong.append(f"more than one of {tuple(counts)}: {happened}")

    simulate(dut, feed(dut.buffer.sink, [{"data": beat} for beat in beats], np.random.default_rng(1), stall),
        feed(array.sink, tickets, np.random.default_rng(2), stall), load(), activate(),
        collect(array.source, ["sums"], len(expected), out, np.random.default_rng(3), stall), limit_cycles=60_000)
    assert not wrong, f"{len(wrong)}, the first: {wrong[0]}"
    for place, ((sums,), vector) in enumerate(zip(out, expected, strict=True)):
        for row, value in enumerate(vector):
            found = sums >> GROUP_SUM_BITS*row & (1 << GROUP_SUM_BITS) - 1
            assert found == value % (1 << GROUP_SUM_BITS), f"vector {place} of {len(expected)}, row {row}"
    assert counts["busy"] == sum(per_job)
    assert all(counts.values()) or not stall, counts
