# SPDX-License-Identifier: BSD-2-Clause
"""Words whose frame was whole come out, once and in order, and no others: under stalls, the FIFO full and empty."""

import random

import pytest
from migen import passive, run_simulation

from mixpe_gateware.link.payload_fifo import PayloadFIFO

LIMIT_CYCLES = 400


@pytest.mark.parametrize("seed, taking", [(1, 0.9), (2, 0.5), (3, 0.2)])
def test_words_of_whole_frames_come_out(seed, taking):
    rng, dut = random.Random(seed), PayloadFIFO(16)
    wanted, found, levels = [], [], set()

    def host():
        value = 0
        for _ in range(120):
            size, is_whole = rng.choice([1, 2, 3, 7, 8]), rng.random() < 0.7
            for _ in range(size):
                value += 1
                wanted.extend([value]*is_whole)
                yield dut.sink.valid.eq(1)
                yield dut.sink.data.eq(value)
                yield
                for _ in range(LIMIT_CYCLES):
                    if (yield dut.sink.ready):
                        break
                    levels.add("full")
                    yield
                else:
                    raise AssertionError("no room comes")
                yield dut.sink.valid.eq(0)
                if rng.random() < 0.2:
                    yield
            strobe = dut.commit if is_whole else dut.undo
            yield strobe.eq(1)
            yield
            yield strobe.eq(0)
            if rng.random() < 0.5:
                yield
        for _ in range(LIMIT_CYCLES):
            yield

    @passive
    def device():
        while True:
            yield dut.source.ready.eq(rng.random() < taking)
            yield
            if (yield dut.source.valid) and (yield dut.source.ready):
                found.append((yield dut.source.data))

    run_simulation(dut, [host(), device()])
    assert found == wanted and len(wanted) > 200
    assert levels or taking > 0.5
