# SPDX-License-Identifier: BSD-2-Clause
"""Operands from memory: order of regions, and words behind their last one."""

import numpy as np
import pytest

from mixpe_gateware.contract.config import Config
from mixpe_gateware.vector.regions import Regions
from mixpe_gateware.vector.words import WordReader
from mixpe_sim.ports import PortMemory


def test_order_of_regions(feed, collect, seeded, simulate):
    rng, dut, out = seeded(0), Regions(2), []
    plans = [(100, 7, 1, 1, 0, 0, 0), (50, 32, 3, 1, 0, 0, 0), (8, 16, 2, 3, 0, 0, 0), (0, 5, 1, 4, 0, 0, 0),
        (1000, 16, 2, 1, 1, 0, 0), (64, 9, 4, 1, 0, 1, 0), (32, 64, 2, 3, 0, 0, 1), (1000, 16, 2, 3, 1, 0, 0),
        (12, 33, 1, 1, 0, 1, 0), (16, 32, 2, 1, 0, 0, 1), (1, 1, 1, 1, 0, 0, 0)]
    expected = []
    for place, words, times, chunks, swap, columns, measures in plans:
        for chunk in range(chunks):
            if swap:
                expected += [(place + (2*chunk + half)*words, words, words, 0, 0) for half in (1, 0)]
            elif columns:
                expected += [(place, words, (words - 1)*times + column + 1, column, 0) for column in range(times)]
            elif measures:
                expected += [(place + chunk*words, words//4, words, 0, 1), (place + chunk*words, words, words, 0, 0)]
            else:
                expected += [(place + chunk*words, words, words, 0, 0)]*times
    items = [{**dict(zip(("place", "words", "times", "chunks", "swap", "columns", "measures"), plan, strict=True)),
        "total": plan[1]*plan[2]} for plan in plans]
    names = ["place", "words", "span", "skip", "most"]
    simulate(dut, feed(dut.sink, items, rng, 0.3),
        collect(dut.source, names, len(expected), out, np.random.default_rng(1), 0.4))
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


@pytest.mark.parametrize("port_bits, memory_bits", [(32, 32), (64, 64), (128, 128)])
def test_largest_of_memory_words(port_bits, memory_bits, feed, collect, seeded, simulate):
    """One of each, in whatever place it is and whatever its sign; then the words themselves."""
    rng    = seeded(memory_bits)
    config = Config(rows=2, scalers=1, k_max=512, port_bits=port_bits, memory_bits=memory_bits)
    memory = PortMemory(memory_bits, 1 << 12, seed=1, stall=0.2)
    memory.bytes[:] = rng.integers(0, 256, 1 << 12)
    words, n, parts = memory.bytes.view("<u4"), 64, memory_bits//32
    words[4:8], words[8:12], words[12:16] = 0, [5, 5, 0x80000005, 5], [0x7F800000, 0x7F7FFFFF, 0xFFC00000, 1]
    dut = WordReader(config, memory.get_port("read"), measures=True)
    items = [{"place": 0, "words": n//parts, "span": n, "most": 1}, {"place": 0, "words": n, "span": n, "most": 0},
        {"place": 64, "words": n//parts, "span": n, "most": 1}]
    largest = [(words[start:start + n].reshape(-1, parts) & 0x7FFFFFFF).max(axis=1).tolist() for start in (0, 64)]
    expected, out = [*largest[0], *words[:n].tolist(), *largest[1]], []
    simulate(dut, feed(dut.sink, items, rng, 0), collect(dut.source, ["data"], len(expected), out,
        np.random.default_rng(2), 0.2), *memory.generators(), limit_cycles=3000)
    out = [word for word, in out]
    for part in (slice(0, n//parts), slice(n//parts + n, None)):
        assert [word & 0x7FFFFFFF for word in out[part]] == expected[part]
    assert out[n//parts:n//parts + n] == expected[n//parts:n//parts + n]
