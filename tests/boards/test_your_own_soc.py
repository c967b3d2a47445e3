# SPDX-License-Identifier: BSD-2-Clause
"""The target in docs/your-own-soc.md, run as it stands there."""

import csv
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("litex_boards", reason="the gateware extra is not installed")

from mixpe.devices.finding import find_registers
from mixpe_gateware.contract.memory_init import DFII_BANK, INIT_BANK
from mixpe_gateware.contract.registers import COUNTER_BANK, CSR_BANK, CSR_PAGE_BYTES, MAGIC

PAGE = Path(__file__).parents[2]/"docs"/"your-own-soc.md"
BASE = 0xA000_0000


def blocks():
    return re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def execute(folder, script):
    return subprocess.run([sys.executable, script], cwd=folder, capture_output=True, text=True, timeout=300,
        check=False)


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    folder = tmp_path_factory.mktemp("own")
    (folder/"my_soc.py").write_text(blocks()[0])
    run = execute(folder, "my_soc.py")
    assert run.returncode == 0, run.stderr[-2000:]
    return folder


def test_it_elaborates(built):
    assert "module radiona_ulx3s" in (built/"build"/"my_soc"/"gateware"/"radiona_ulx3s.v").read_text()
    csr = json.loads((built/"build"/"my_soc"/"csr.json").read_text())
    assert csr["csr_bases"]["mixpe"] == BASE + CSR_BANK*CSR_PAGE_BYTES
    assert csr["csr_bases"]["mixpe_counters"] == BASE + COUNTER_BANK*CSR_PAGE_BYTES
    assert csr["csr_bases"]["ddrctrl"] == BASE + INIT_BANK*CSR_PAGE_BYTES
    assert csr["csr_bases"]["sdram"] == BASE + DFII_BANK*CSR_PAGE_BYTES
    assert csr["memories"]["main_ram"]["size"] == 32 << 20
    assert "config_l2_size" not in csr["constants"]


def test_its_registers_are_found_as_the_page_says(built):
    """The line of csr.csv that the page and the driver's message name, and the URL of the page."""
    rows = list(csv.reader((built/"csr.csv").read_text().splitlines()))
    base, = [int(row[2], 16) for row in rows if row[:2] == ["memory_region", "csr"]]
    assert base == BASE
    access = {row[1]: row[-1] for row in rows if row[0] == "csr_register"}
    assert access["mixpe_job_tag"] == "wo" and access["mixpe_status"] == "ro"
    assert ["csr_field", "mixpe_status_posted", "8", "8", "ro"] in rows
    assert int(re.search(r"\?csr_base=(0x\w+)", blocks()[1])[1], 16) == base

    class Link:
        def read_word(self, addr, *, retry=True):
            return MAGIC if addr == base + CSR_BANK*CSR_PAGE_BYTES else 0

    assert find_registers(Link(), "x") == find_registers(Link(), "x", base) == base + CSR_BANK*CSR_PAGE_BYTES


def test_the_cache_of_the_page_matters(built):
    """The same target with LiteX's default is refused by name."""
    code = blocks()[0].replace(", l2_cache_size=0)", ")")
    assert code != blocks()[0]
    (built/"cached.py").write_text(code)
    run = execute(built, "cached.py")
    assert run.returncode and "l2_cache_size=0" in run.stderr and "8192" in run.stderr
