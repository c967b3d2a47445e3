# SPDX-License-Identifier: BSD-2-Clause
"""The rows' memories against a numpy array: every row at every address, read from the first cycle allowed."""

from collections import deque

import numpy as np
import pytest

from mixpe_gateware.contract.config import Config
from mixpe_gateware.gemm.rowmemories import RowMemories
from mixpe_gateware.pe.element import element
from mixpe_gateware.stream.fanout import levels

CONFIGS = [
    {"rows": 1, "port_bits": 16, "queue_depth": 2},
    {"rows": 2, "port_bits": 32, "queue_depth": 2, "pe": "dense"},
    {"rows": 4, "port_bits": 64, "pe": "bitplane"},
    {"rows": 4, "port_bits": 128},
    {"rows": 16, "port_bits": 32, "pe": "dense"},  # two copies of what all rows need
    {"rows": 32, "port_bits": 32},                 # two levels
]


@pytest.mark.parametrize("options", CONFIGS, ids=lambda options: "-".join(map(str, options.values())))
def test_words_of_all_rows(options, seeded, simulate):
    """A beat of extreme or random bytes in some cycles, a read in every cycle.

    Half of the reads are of the word that was written `latency` cycles ago, the others of any word that is not on its
    way. Which row a beat is for shows at once, since a read gives the words of all of them.
    """
    config = Config(**{"k_max": 512, "scalers": 1, **options})
    rng, dut, design = seeded(config.rows), RowMemories(config), element(config)
    lanes, depth, delay = config.lanes, 2*config.act_words, levels(config) + 2
    stored  = np.zeros((depth, config.rows, lanes), np.int8)
    written = {}                         # address: rows that are known
    fresh   = deque([None]*dut.latency)  # what may be addressed when
    checks  = deque([None]*delay)    # what is due when
    wrong, compared = [], [0]

    def drive():
        address, row, upper, word = 0, 0, 0, np.zeros(lanes, np.int8)
        for cycle in range(1500):
            # Write: the two beats of a word follow each other, pauses anywhere.
            valid, ends = rng.random() < (0.5 if cycle < 500 else 1), None
            if valid and not upper:
                row     = int(rng.integers(config.rows))
                address = int(rng.choice([0, depth//2 - 1, depth//2, depth - 1, rng.integers(depth)]))
                word    = rng.integers(-128, 128, lanes).astype(np.int8)
                if rng.random() < 0.3:
                    word = rng.choice(np.array([-128, 127], np.int8), lanes)
            half = word[lanes//2*upper:][:lanes//2]
            yield dut.valid.eq(int(valid))
            yield dut.beat.eq(int.from_bytes(half.tobytes() if valid else rng.bytes(lanes//2), "little"))
            yield dut.upper.eq(upper if valid else int(rng.integers(2)))
            yield dut.row.eq(row if valid else int(rng.integers(config.rows)))
            yield dut.write_address.eq(address if valid else int(rng.integers(depth)))
            if valid:
                if upper:
                    ends = address, row, word
                upper ^= 1

            # Read: only what is not on its way.
            ready = fresh.popleft()
            fresh.append(ends)
            if ready:
                stored[ready[0], ready[1]] = ready[2]
                written.setdefault(ready[0], set()).add(ready[1])
            busy = {entry[0] for entry in fresh if entry} | ({address} if upper else set())
            known = [place for place in written if place not in busy]
            check = None
            if ready and ready[0] not in busy and rng.random() < 0.5:
                check = ready[0]
            elif known:
                check = known[int(rng.integers(len(known)))]
            yield dut.read_address.eq(int(rng.integers(depth)) if check is None else check)
            checks.append(None if check is None else (check, stored[check].copy(), set(written[check])))
            yield

            due = checks.popleft()
            if due:
                for index in due[2]:
                    compared[0] += 1
                    if (yield dut.data[index]) != design.encode(due[1][index]):
                        wrong.append((cycle, index, due[0]))

    simulate(dut, drive())
    assert compared[0] > 1000
    assert not wrong, f"{len(wrong)} of {compared[0]}; the first in cycle {wrong[0][0]}, row {wrong[0][1]}"
