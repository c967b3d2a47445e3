# SPDX-License-Identifier: BSD-2-Clause
"""The host initialises the simulated SDR memory over the link: no DRAM timing is violated, no access passes before."""

import numpy as np
import pytest

import mixpe
from mixpe.devices.driver import driver_of
from mixpe.link import open_link
from mixpe_gateware.contract.memory_init import CONTROL_ON, CONTROL_SEL, DFII_OFFSETS, INIT_OFFSET
from mixpe_gateware.contract.registers import CSR_BANK, CSR_BASES, CSR_PAGE_BYTES, OFFSETS, STATUS_READY
from mixpe_sim import open_sim

BANK     = CSR_BASES[0] + CSR_BANK*CSR_PAGE_BYTES
MEM_BASE = 0x4000_0000
DATA     = np.arange(64, dtype=np.uint8)
OPTIONS  = {"memory": "sdr", "rows": 1, "k_max": 512, "buffer_beats": 64, "queue_depth": 2, "scalers": 1,
            "sdram_verbosity": 1, "opt_level": "O1"}
FALSE_ALARM = "tREFI violation (64ms period)"  # see test_memories.py


@pytest.fixture
def process(tmp_path):
    with open_sim(**OPTIONS, run_folder=tmp_path) as opened:
        yield opened


def state(url):
    """(init_done, init_error), DFII control, memory ready."""
    with open_link(url) as link:
        return ([int(word) for word in link.read_words(BANK + INIT_OFFSET, 2)],
                link.read_word(BANK + DFII_OFFSETS["control"]),
                bool(link.read_word(BANK + OFFSETS["status"]) & STATUS_READY))


def test_host_initialises_sdr(process):
    assert state(process.url) == ([0, 0], CONTROL_SEL, False)  # nothing in the SoC does it
    with mixpe.open(process.url) as device:
        driver_of(device).write_memory(4096, DATA)
    assert state(process.url) == ([1, 0], CONTROL_ON | CONTROL_SEL, True)
    with mixpe.open(process.url) as device:  # and keeps what a ready memory holds
        np.testing.assert_array_equal(driver_of(device).read_memory(4096, DATA.size), DATA)

    # Cut off between two commands: not ready, and the next one begins anew.
    with open_link(process.url) as link:
        link.write_words(BANK + INIT_OFFSET, [0, 0])
        link.write_word(BANK + DFII_OFFSETS["control"], CONTROL_ON)
    assert not state(process.url)[2]
    with mixpe.open(process.url) as device:
        driver_of(device).write_memory(0, DATA)
        np.testing.assert_array_equal(driver_of(device).read_memory(0, DATA.size), DATA)
    process.close()
    log = process.log.read_text(errors="replace")  # complete when the simulation has ended
    assert "[mixpe_link] listening" in log
    assert not [line for line in log.splitlines() if "violation" in line and FALSE_ALARM not in line]


@pytest.mark.parametrize("link", ["uart", pytest.param("etherbone", marks=pytest.mark.slow)])
def test_access_before_reads_all_ones_and_writes_nothing(link, tmp_path):
    """At once, not with what a memory might hold; and neither is in anybody's way afterwards."""
    with open_sim(**OPTIONS, link=link, run_folder=tmp_path) as process:
        with open_link(f"{process.url}?timeout_s=20") as raw:
            assert raw.read_words(MEM_BASE, 2).tolist() == [0xFFFFFFFF]*2
            raw.write_words(MEM_BASE + 64, [1, 2, 3])
            raw.write_words(MEM_BASE + 64, [1], increment=False)
            assert raw.read_words(MEM_BASE + 64, 3).tolist() == [0xFFFFFFFF]*3
        with mixpe.open(f"{process.url}?timeout_s=20", rate_hz=20_000) as device:
            driver_of(device).write_memory(0, DATA)
            np.testing.assert_array_equal(driver_of(device).read_memory(0, DATA.size), DATA)
