# SPDX-License-Identifier: BSD-2-Clause
"""LiteX's BIOS boots beside the host link and says so on the simulation's output."""

import shutil
import time

import pytest

from mixpe.link import open_link
from mixpe_sim import open_sim

BOOT_LIMIT_S = 300.0


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("riscv64-unknown-elf-gcc") is None, reason="needs gcc-riscv64-unknown-elf")
def test_bios_boots_and_the_link_works():
    with open_sim(memory="sdr", cpu_type="vexriscv", accelerator=False) as process:
        end = time.monotonic() + BOOT_LIMIT_S
        while "Memtest OK" not in process.log.read_text(errors="replace"):
            assert process.is_running() and time.monotonic() < end, process.log_tail(30)
            time.sleep(0.5)
        with open_link(process.url) as link:
            assert link.read_word(0xf0000004) == 0x12345678
            link.write_words(0x4100_0000, [1, 2, 3])
            assert link.read_words(0x4100_0000, 3).tolist() == [1, 2, 3]
