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
    plans = [(100, 7, 1, 1, 0), (50, 32, 3, 1, 0), (8, 16, 2, 3, 0), (0, 5, 1, 4, 0), (1000, 16, 2, 1, 1),
        (1000, 16, 2, 3, 1), (1, 1, 1, 1, 0)]
    expected = []
    for place, words, times, chunks, swap in plans:
        for chunk in range(chunks):
            if swap:
                expected += [(place + (2*chunk + 1)*words, words), (place + 2*chunk*words, words)]
            else:
                expected += [(place + chunk*words, words)]*times
    items = [dict(zip(("place", "words", "times", "chunks", "swap"), plan, strict=True)) for plan in plans]
    simulate(dut, feed(dut.sink, items, rng, 0.3),
        collect(dut.source, ["place", "words"], len(expected), out, np.random.default_rng(1), 0.4))
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
    simulate(dut, feed(dut.sink, [{"place": place, "words": count} for place, count in regions], rng, 0),
        collect(dut.source, ["data"], len(expected), out, np.random.default_rng(2), stall),
        *memory.generators(), limit_cycles=3000 if stall else 2*len(expected) + 60 if memory_bits == 16
        else len(expected) + 60)
    assert [word for word, in out] == expected
