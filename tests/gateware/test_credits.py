# SPDX-License-Identifier: BSD-2-Clause
"""Places of a FIFO against a counter, and a pipeline that may not stall in front of one."""

import pytest
from litex.gen import LiteXModule
from litex.soc.interconnect import stream
from migen import Signal

from mixpe_gateware.stream.credits import Credits
from mixpe_gateware.stream.fanout import delayed


@pytest.mark.parametrize("depth", (1, 2, 4, 16))
def test_places_are_counted(depth, seeded, simulate):
    """Taken and given in any order and at once, down to none and up to all."""
    rng, dut = seeded(depth), Credits(depth)
    seen = set()

    def drive():
        free, bias = depth, 0.5
        for cycle in range(2000):
            if cycle % 100 == 0:
                bias = rng.random()
            taken = free > 0 and rng.random() < bias
            given = free < depth and rng.random() < 1 - bias
            yield dut.take.eq(int(taken))
            yield dut.give.eq(int(given))
            yield
            found = (yield dut.whole), (yield dut.room)
            assert found == (free == depth, free > 0), f"cycle {cycle}: {free} of {depth} free"
            seen.add((free, taken, given))
            free += given - taken

    simulate(dut, drive())
    assert {(0, False, True), (depth, True, False), (depth, False, False)} <= seen
    assert depth == 1 or (1, True, True) in seen


@pytest.mark.parametrize("depth, cycles", [(1, 3), (4, 3), (8, 3), (4, 9)])
@pytest.mark.parametrize("stall", (0.0, 0.5, 0.9))
def test_nothing_is_lost_behind_a_pipeline(depth, cycles, stall, collect, seeded, simulate):
    """Entries set out when there is a place; the FIFO behind `cycles` registers is never full when one arrives."""
    rng, dut, out = seeded(depth), LiteXModule(), []
    dut.fifo = fifo = stream.SyncFIFO([("data", 16)], depth)
    want, go, number = Signal(), Signal(), Signal(16)
    dut.places = places = Credits(depth)
    dut.comb += [
        places.take.eq(go),
        places.give.eq(fifo.source.valid & fifo.source.ready),
        go.eq(want & places.room),
        fifo.sink.valid.eq(delayed(dut, go, cycles)),
        fifo.sink.data.eq(delayed(dut, number, cycles)),
    ]
    dut.sync += number.eq(number + go)

    def drive():
        while len(out) < 200:
            yield want.eq(int(rng.random() < 0.9))
            yield
            assert not (yield fifo.sink.valid) or (yield fifo.sink.ready), "an entry finds no place"

    simulate(dut, drive(), collect(fifo.source, ["data"], 200, out, seeded(1), stall))
    assert [data for data, in out] == list(range(200))
