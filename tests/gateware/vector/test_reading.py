# SPDX-License-Identifier: BSD-2-Clause
"""Operands from memory: order of regions, and words behind their last one."""

import numpy as np
import pytest

from mixpe_gateware.contract.config import Config
from mixpe_gateware.vector.regions import Regions
from mixpe_gateware.vector.words import WordReader
from mixpe_sim.ports import PortMemory


def test_order_of_regions(feed, collect, seeded, simulate):
    rng, dut, out = seeded(0), Regions(), []
    plans = [(100, 7, 1, 1, 0, 0), (50, 32, 3, 1, 0, 0), (8, 16, 2, 3, 0, 0), (0, 5, 1, 4, 0, 0),
        (1000, 16, 2, 1, 1, 0), (64, 9, 4, 1, 0, 1), (1000, 16, 2, 3, 1, 0), (12, 33, 1, 1, 0, 1), (1, 1, 1, 1, 0, 0)]
    expected = []
    for place, words, times, chunks, swap, columns in plans:
        for chunk in range(chunks):
            if swap:
                expected += [(place + (2*chunk + half)*words, words, words, 0) for half in (1, 0)]
            elif columns:
                expected += [(place, words, (words - 1)*times + column + 1, column) for column in range(times)]
            else:
                expected += [(place + chunk*words, words, words, 0)]*times
    items = [{**dict(zip(("place", "words", "times", "chunks", "swap", "columns"), plan, strict=True)),
        "total": plan[1]*plan[2]} for plan in plans]
    simulate(dut, feed(dut.sink, items, rng, 0.3),
        collect(dut.source, ["place", "words", "span", "skip"], len(expected), out, np.random.default_rng(1), 0.4))
    assert out == expected


@pytest.mark.parametrize("port_bits, memory_bits", [(32, 16), (32, 32), (64, 64), (128, 32), (128, 128)])
@pytest.mark.parametrize("stall", (0.0, 0.4))
def test_words_of_regions(port_bits, memory_bits, stall, feed, collect, seeded, simulate):
    """Regions of one word to some dozens; without stalls a word a cycle where the memory gives it."""
    rng    = seeded(memory_bits)
    config = Config(rows=2, scalers=1, k_max=512, port_bits=port_bits, memory_bits=memory_bits)
    memory = PortMemory(memory_bits, 1 << 12, seed=1, stall=stall)
    memory.bytes[:] = rng.integers(0, 256, 1 << 12)
    words, step = memory.bytes.view("<u4"), max(1, memory_bits//32)
    dut = WordReader(config, memory.get_port("read"))
    regions = [(step*int(rng.integers(200//step)), count) for count in (1, 2, 3, 4, 5, 8, 32, 33, 1, 1, 64, 31)]
    expected, out = [int(word) for place, count in regions for word in words[place:place + count]], []
    items = [{"place": place, "words": count, "span": count} for place, count in regions]
    simulate(dut, feed(dut.sink, items, rng, 0),
        collect(dut.source, ["data"], len(expected), out, np.random.default_rng(2), stall),
        *memory.generators(), limit_cycles=3000 if stall else 2*len(expected) + 60 if memory_bits == 16
        else len(expected) + 60)
    assert [word for word, in out] == expected


@pytest.mark.parametrize("columns", [2, 3, 8])
@pytest.mark.parametrize("port_bits, memory_bits", [(32, 16), (64, 64), (128, 128)])
def test_words_of_columns(port_bits, memory_bits, columns, feed, collect, seeded, simulate):
    """Each column of (n, columns) words; a word a cycle where a memory word has one of each element at least."""
    rng    = seeded(memory_bits + columns)
    config = Config(rows=2, scalers=1, k_max=512, port_bits=port_bits, memory_bits=memory_bits)
    memory = PortMemory(memory_bits, 1 << 14, seed=1, stall=0)
    memory.bytes[:] = rng.integers(0, 256, 1 << 14)
    words, n, place = memory.bytes.view("<u4"), 11, 8
    dut = WordReader(config, memory.get_port("read"))
    items = [{"place": place, "words": n, "span": (n - 1)*columns + column + 1, "skip": column}
        for column in range(columns)]
    expected, out = words[place:place + n*columns].reshape(n, columns).T.reshape(-1).tolist(), []

    def set_step():
        yield dut.step.eq(columns)

    each = max(1, columns//(memory_bits//32) if memory_bits > 16 else 2*columns)  # cycles of a word
    simulate(dut, set_step(), feed(dut.sink, items, rng, 0),
        collect(dut.source, ["data"], len(expected), out, np.random.default_rng(2), 0), *memory.generators(),
        limit_cycles=(each + 1)*len(expected) + 100)
    assert [word for word, in out] == expected
