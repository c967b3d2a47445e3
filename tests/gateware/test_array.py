# SPDX-License-Identifier: BSD-2-Clause
"""Datapath of the array against the contract's reference: group sums of every row, and when they come."""

from collections import deque

import numpy as np
import pytest

from mixpe_gateware.contract.config import PE_KINDS, Config
from mixpe_gateware.contract.reference import partials
from mixpe_gateware.gemm.array import ArrayDatapath
from mixpe_gateware.pe.element import element
from mixpe_gateware.stream.fanout import levels

CONFIGS = [
    ({"rows": 1, "port_bits": 16, "queue_depth": 2}, 1),
    ({"rows": 1, "port_bits": 128, "queue_depth": 2, "pe": "bitplane"}, 512),  # the longest group: k = 16384
    ({"rows": 2, "port_bits": 32, "queue_depth": 2, "pe": "dense"}, 8),
    ({"rows": 4, "port_bits": 64}, 16),
    *[({"rows": 4, "port_bits": 16, "pe": name}, 4) for name in PE_KINDS],
    ({"rows": 16, "port_bits": 32}, 8),  # two copies of what all rows need
    ({"rows": 32, "port_bits": 16, "pe": "bitplane"}, 8),  # two levels
]


@pytest.mark.parametrize("options, beats", CONFIGS,
    ids=lambda value: "-".join(map(str, value.values())) if isinstance(value, dict) else str(value))
def test_group_sums(options, beats, seeded, simulate):
    """Groups of one beat up to the longest, one after the other and with pauses, for all rows and for some of them."""
    config = Config(**{"k_max": 512, "scalers": 1, **options})
    rng, dut, design = seeded(config.rows), ArrayDatapath(config), element(config)
    rows, lanes, latency = config.rows, config.lanes, dut.latency
    assert latency == levels(config) + design.latency + 1

    def make(kind, count):
        q = rng.integers(0, 16, (count, lanes)).astype(np.uint8)
        x = rng.integers(-128, 128, (rows, count, lanes)).astype(np.int8)
        if kind < 4:
            q[:] = 15*(kind & 1)
            x[:] = 127 if kind & 2 else -128
        elif kind == 4:
            q, x = rng.choice(np.array([0, 15], np.uint8), q.shape), rng.choice(np.array([-128, 127], np.int8), x.shape)
        used = (1 << rows) - 1 if kind < 5 else int(rng.integers(1, 1 << rows))
        return q, x, used

    groups  = [make(kind, beats) for kind in (1, 3, 0, 2, 4)]
    groups += [make(5, int(rng.integers(1, 1 + min(beats, 16)))) for _ in range(30)]
    groups += [make(5, 1) for _ in range(20)]
    due     = deque([None]*latency)         # sums that come in a cycle
    follow  = deque([None]*levels(config))  # activations, later than the weights that they meet
    noise   = np.array([-128, 127], np.int8)
    wrong, seen = [], [0]

    def cycle(beat=None, ends=None):
        """A beat (q, x, rows, first, last) or noise."""
        valid = beat is not None
        q, x, used, first, last = beat if valid else (rng.integers(0, 16, lanes), None, int(rng.integers(1 << rows)),
            *map(int, rng.integers(0, 2, 2)))
        follow.append(x)
        x = follow.popleft()
        x = rng.choice(noise, (rows, lanes)) if x is None else x
        yield dut.weights.eq(design.encode_weights(q))
        for signal, values in zip(dut.activations, x, strict=True):
            yield signal.eq(design.encode(values))
        yield dut.valid.eq(int(valid))
        yield dut.rows.eq(used)
        yield dut.first.eq(int(first))
        yield dut.last.eq(int(last))
        due.append(ends)
        yield
        expected = due.popleft()
        if (yield dut.done) != (expected is not None):
            wrong.append(("done", expected))
        if expected is not None:
            seen[0] += 1
            sums, used = expected
            for row in range(rows):
                if used >> row & 1 and (yield dut.sums[row]) != sums[row]:
                    wrong.append((row, sums[row]))

    def drive():
        for number, (q, x, used) in enumerate(groups):
            sums = partials(x.reshape(rows, -1), q.reshape(1, -1), q.size)[:, 0, 0].tolist()
            for index in range(len(q)):
                while number > 2 and rng.random() < 0.2:
                    yield from cycle()
                last = index == len(q) - 1
                yield from cycle((q[index], x[:, index], used, index == 0, last), (sums, used) if last else None)
            if number % 4 == 0:
                for _ in range(int(rng.integers(2*latency))):
                    yield from cycle()
        for _ in range(latency + 1):
            yield from cycle()

    simulate(dut, drive())
    assert seen[0] == len(groups)
    assert not wrong, f"{len(wrong)}, the first: row, sum = {wrong[0]}"
