# SPDX-License-Identifier: BSD-2-Clause
"""The list of the largest numbers against `contract.decoder.choice`."""

import numpy as np
import pytest

from mixpe_gateware.contract.decoder.choice import largest
from mixpe_gateware.vector.toplist import TopList


@pytest.mark.parametrize("most", (1, 2, 5, 64))
def test_largest(most, feed, collect, seeded, simulate):
    """Fewer numbers than places, rising and falling ones, equal ones, both signs; lists follow each other."""
    rng, dut = seeded(most), TopList()
    rows = [rng.normal(0, 1, 1), rng.normal(0, 1, 3), np.arange(40) - 20, 20 - np.arange(40), np.zeros(70),
        np.round(rng.normal(0, 2, 300)), rng.normal(-50, 1, 150)]
    got = []

    def drive():
        for row in rows:
            yield dut.most.eq(most)
            yield dut.clear.eq(1)
            yield
            yield dut.clear.eq(0)
            words = (row.astype(np.float32) + np.float32(0)).view(np.uint32)
            yield from feed(dut.sink, [{"data": int(word)} for word in words], rng, 0.2)
            while not (yield dut.idle):
                yield
            out = []
            yield dut.show.eq(1)
            yield from collect(dut.source, ["data"], 2*min(most, len(row)), out, rng, 0.3)
            got.append(([word for word, in out[0::2]], [word for word, in out[1::2]], (yield dut.best)))
            yield dut.show.eq(0)
            yield
            yield

    simulate(dut, drive())
    for row, (indices, words, best) in zip(rows, got, strict=True):
        row = row.astype(np.float32) + np.float32(0)
        assert indices == list(largest(row, most)) and best == indices[0]
        assert (np.array(words, np.uint32).view(np.float32) == row[indices]).all()


def test_a_number_a_cycle_where_none_is_kept(feed, seeded, simulate):
    dut, rng = TopList(), seeded(0)

    def drive():
        yield dut.most.eq(2)
        yield from feed(dut.sink, [{"data": 0x40000000}, {"data": 0x40000000}], rng, 0)
        while not (yield dut.idle):
            yield
        yield from feed(dut.sink, [{"data": 0x3F800000}]*100, rng, 0)

    simulate(dut, drive(), limit_cycles=220)
