# SPDX-License-Identifier: BSD-2-Clause
"""The time of a refresh at the clocks of boards: the chip's, and less than two cycles beyond it."""

import pytest

pytest.importorskip("litedram", reason="the gateware extra is not installed")

from litedram import modules

from mixpe_gateware.dram.refreshtime import with_refresh_time

# Of JEDEC, by size; LiteDRAM has those of the next larger chip for the first one.
NEEDED_NS = {"MT41K64M16": 160, "MT41K128M16": 160, "MT41K256M16": 260, "MT41K512M16": 350}


@pytest.mark.parametrize("clock_hz", [48_000_000, 75_000_000])
@pytest.mark.parametrize("name", NEEDED_NS)
def test_a_refresh_takes_its_time(name, clock_hz):
    module   = getattr(modules, name)
    plain    = vars(module(clock_hz, "1:2").timing_settings)
    found    = vars(with_refresh_time(module)(clock_hz, "1:2").timing_settings)
    cycle_ns = 1e9/clock_hz
    assert NEEDED_NS[name] <= found["tRFC"]*cycle_ns < NEEDED_NS[name] + 2*cycle_ns  # LiteDRAM adds a margin
    assert plain["tRFC"] > 4*found["tRFC"]
    for timing in set(plain) - {"tRFC", "self"}:
        assert found[timing] == plain[timing]
