# SPDX-License-Identifier: BSD-2-Clause
"""Event counters against counts in Python."""

import pytest

from mixpe_gateware.contract.registers import COUNTERS, counters_of
from mixpe_gateware.control.counters import Counters


@pytest.mark.parametrize("names, most", [(COUNTERS, 3), (counters_of(("decoder",)), 5)], ids=["all builds", "decoder"])
def test_they_are_latched_all_at_once(names, most, seeded, simulate):
    """Totals and copies against counts in Python: clear at any phase of the walk, latch, a latch after a latch."""
    dut, rng, seen = Counters(names, most), seeded(0), []
    counts = dict.fromkeys(names, 0)
    history = []
    walk = 64 if names == COUNTERS else 128

    def cycle(clear=0, latch=0):
        events = {name: int(rng.integers(0, most)) for name in names}
        dropped = int(rng.integers(0, 2))
        for name, count in events.items():
            yield dut.events[name].eq(count)
        yield dut.dropped.eq(dropped)
        yield dut.clear.eq(clear)
        yield dut.latch.eq(latch)
        yield
        for name in names:
            counts[name] = (0 if clear else counts[name]) + events[name] + (dropped if name == "errors" else 0)
        history.append(dict(counts))

    def drive():
        for pause in (1, 7, 63, 64, 100, 200):
            for _ in range(pause):
                yield from cycle()
            yield from cycle(clear=1)
            for _ in range(pause):
                yield from cycle()
            for _ in range(2):
                first = len(history)
                yield from cycle(latch=1)
                yield from cycle()
                while (yield dut.latching):
                    yield from cycle()
                copied = []
                for index in range(2*len(names)):
                    copied.append((yield dut.memory[index]))
                found = dict(zip(names, (low | high << 32 for low, high in zip(copied[::2], copied[1::2],
                    strict=True)), strict=True))
                seen.append(any(found == each for each in history[first:first + walk + 2]))

    simulate(dut, drive())
    assert len(seen) == 12 and all(seen), seen
