# SPDX-License-Identifier: BSD-2-Clause
"""Every memory model is ready without a CPU, holds what it was given, and no DRAM timing is violated."""

import numpy as np
import pytest

from mixpe.link import open_link
from mixpe_sim import open_sim
from mixpe_sim.memory import MEMORIES

MEM_BASE = 0x4000_0000
SEED = 99
# LiteDRAM 2024.12's count over 64 ms takes refreshes that come early for missing ones, as those of the initialisation
# do; and prints it in each cycle. test_refresher.py has their distances.
FALSE_ALARM = "tREFI violation (64ms period)"


@pytest.mark.slow
@pytest.mark.parametrize("memory", sorted(MEMORIES))
def test_patterns_all_over_the_memory(memory, tmp_path):
    size = MEMORIES[memory].size_bytes
    rng = np.random.default_rng(SEED)
    with open_sim(memory=memory, accelerator=False, sdram_verbosity=1, opt_level="O1", run_folder=tmp_path) as process:
        with open_link(process.url) as link:
            starts = sorted({0, size - 8192, *(int(start)*8192 for start in rng.integers(0, size//8192, 12))})
            bursts = {start: rng.integers(0, 256, 4*int(rng.integers(1, 2000)), dtype=np.uint8) for start in starts}
            for start, data in bursts.items():
                link.write_bytes(MEM_BASE + start, data)
            for start, data in bursts.items():
                np.testing.assert_array_equal(link.read_bytes(MEM_BASE + start, data.size), data,
                                              err_msg=f"{memory}, at {start:#x}, seed {SEED}")
            link.write_bytes(MEM_BASE + 3, b"\x01\x02")  # a part of a beat leaves its neighbours alone
            want = bytes(bursts[0][:3]) + b"\x01\x02" + bytes(bursts[0][5:16])
            assert bytes(link.read_bytes(MEM_BASE, len(want))) == want[:16]
    # The output is complete when the simulation has ended.
    with open(process.log, encoding="utf-8") as log:
        assert not [line for line in log if "violation" in line and FALSE_ALARM not in line]
