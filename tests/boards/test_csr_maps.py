# SPDX-License-Identifier: BSD-2-Clause
"""soc.svd, csr.csv and csr.json of a simulated SoC and of a board: registers, fields and access of the table."""

import csv
import json
import subprocess
import sys
from xml.etree import ElementTree

import pytest

pytest.importorskip("litex_boards", reason="the gateware extra is not installed")

from litex.tools.remote.csr_builder import CSRBuilder

from mixpe_boards.build import elaborate_board
from mixpe_boards.registry import BOARDS
from mixpe_gateware.contract.registers import CSR_BANK, CSR_BASES, CSR_PAGE_BYTES, OFFSETS, registers_of
from mixpe_gateware.control.csr_map import SVD_ACCESS
from mixpe_sim.options import SimOptions

BANK = CSR_BASES[0] + CSR_BANK*CSR_PAGE_BYTES


PARTS = {"sim": ("minima",), "icebreaker": ()}  # optional parts of the contract that are built


@pytest.fixture(scope="module", params=PARTS)
def maps(request, tmp_path_factory):
    """Folder with the three files."""
    folder = tmp_path_factory.mktemp(request.param)
    if request.param == "sim":
        options = folder/"options.json"
        options.write_text(json.dumps(SimOptions.create(rows=1, scalers=1, memory="sdr").build_dict()))
        subprocess.run([sys.executable, "-m", "mixpe_sim.elaborate", str(options), str(folder)], cwd=folder, check=True,
            capture_output=True, timeout=300)
    else:
        elaborate_board(BOARDS[request.param], folder, {}, software=False)
    return folder


@pytest.fixture
def parts(maps):
    """Optional parts of that build, which is named by its folder."""
    return next(parts for name, parts in PARTS.items() if maps.name.startswith(name))


def test_svd(maps, parts):
    root = ElementTree.parse(maps/"soc.svd").getroot()
    bank, = [each for each in root.iter("peripheral") if each.findtext("name") == "MIXPE"]
    assert int(bank.findtext("baseAddress"), 0) == BANK
    found = {each.findtext("name").lower(): each for each in bank.iter("register")}
    assert list(found) == [register.name for register in registers_of(parts)]
    for register in registers_of(parts):
        entry = found[register.name]
        assert int(entry.findtext("addressOffset"), 0) == OFFSETS[register.name]
        assert entry.findtext("access") == SVD_ACCESS[register.access]
        fields = [(field.findtext("name"), int(field.findtext("lsb")), int(field.findtext("msb")))
            for field in entry.iter("field")]
        whole = [(register.name, 0, 31)]  # LiteX's way to say that there are none
        assert fields == [(field.name, field.lsb, field.msb) for field in register.fields_of(parts)] or (
            not register.fields and fields == whole)
        for field, said in zip(register.fields_of(parts), entry.iter("field"), strict=False):
            assert " ".join(said.findtext("description").split()) == field.text
    # Registers of others stay as LiteX writes them.
    others = [each for peripheral in root.iter("peripheral") if peripheral is not bank
        for each in peripheral.iter("register")]
    assert others and not [each for each in others if each.find("access") is not None]


def test_csv(maps, parts):
    rows = list(csv.reader(line for line in (maps/"csr.csv").read_text().splitlines() if not line.startswith("#")))
    fields = {name: (int(lsb), int(width), access) for kind, name, lsb, width, access in rows if kind == "csr_field"}
    expected = {f"mixpe_{register.name}_{field.name}": (field.lsb, field.width, register.access)
        for register in registers_of(parts) for field in register.fields_of(parts)}
    assert {name: found for name, found in fields.items() if name.startswith("mixpe_")} == expected
    assert "mixpe_status_ended" in expected


def test_litex_clients_take_the_access(maps, parts):
    """LiteX's own reader of csr.csv, which RemoteClient and litex_cli use."""
    class Comm:
        def read(self, addr, length=1):
            return addr

        def write(self, addr, data):
            self.written = addr, data

    comm = Comm()
    regs = CSRBuilder(comm, str(maps/"csr.csv")).regs
    for register in registers_of(parts):
        found = getattr(regs, f"mixpe_{register.name}")
        assert found.addr == BANK + OFFSETS[register.name] and found.mode == register.access
    assert regs.mixpe_status.read() == BANK + OFFSETS["status"]
    regs.mixpe_job_tag.write(5)
    assert comm.written == (BANK + OFFSETS["job_tag"], [5])
    with pytest.raises(KeyError, match="not readable"):
        regs.mixpe_job_tag.read()
    with pytest.raises(KeyError, match="not writable"):
        regs.mixpe_status.write(1)


def test_json(maps, parts):
    found = json.loads((maps/"csr.json").read_text())["csr_registers"]
    for register in registers_of(parts):
        entry = found[f"mixpe_{register.name}"]
        assert entry["addr"] == BANK + OFFSETS[register.name] and entry["type"] == register.access
        assert entry.get("fields", {}) == {field.name: {"offset": field.lsb, "size": field.width}
            for field in register.fields_of(parts)}
