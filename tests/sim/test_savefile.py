# SPDX-License-Identifier: BSD-2-Clause
"""Files about a simulated SoC: GTKWave's savefile names signals that the trace has; register maps are where asked."""

import csv
import json
import re
import subprocess
import sys

import pytest

import mixpe
from mixpe.errors import ToolError
from mixpe.exports import copy_exports
from mixpe_gateware.contract.registers import CSR_BANK, CSR_BASES, CSR_PAGE_BYTES
from mixpe_sim import SimOptions
from mixpe_sim.savefile import FOLDER, HERE, SAVEFILE, place_savefile

SMALL = {"memory": "sdr32", "rows": 2, "k_max": 512, "buffer_beats": 64, "queue_depth": 4, "scalers": 1}
BANK  = CSR_BASES[0] + CSR_BANK*CSR_PAGE_BYTES
DECLARED = re.compile(r"^\s*(?:input\s+|output\s+)?(?:wire|reg)\s+(?:signed\s+)?(?:\[(\d+):0\]\s+)?(\w+)", re.MULTILINE)


def shown(savefile):
    """Signals of a savefile: dict of name to width."""
    found = {}
    for line in savefile.read_text().splitlines():
        if line.startswith("+"):
            name, _, top = line.split(" ", 1)[1].removesuffix(":0]").partition("[")
            found[name] = int(top or 0) + 1
    return found


def titles(savefile):
    return [line[1:] for line in savefile.read_text().splitlines() if line.startswith("-")]


@pytest.fixture(scope="module")
def elaborated(tmp_path_factory):
    """A small SoC, in a process of its own as the build has it."""
    folder = tmp_path_factory.mktemp("soc")
    options = SimOptions.create(**SMALL, trace_fst=True)
    (folder/"options.json").write_text(json.dumps(options.build_dict()))
    subprocess.run([sys.executable, "-m", "mixpe_sim.elaborate", str(folder/"options.json"), str(folder)], cwd=folder,
        check=True, timeout=300, capture_output=True)
    return folder


def test_savefile_shows_what_the_verilog_has(elaborated):
    declared = {name: int(top or 0) + 1 for top, name in DECLARED.findall((elaborated/"gateware"/"sim.v").read_text())}
    found = shown(elaborated/FOLDER/SAVEFILE)
    assert len(found) > 300
    for name, width in found.items():
        assert name.startswith("TOP.sim.")
        assert declared[name.removeprefix("TOP.sim.")] == width, name


def test_savefile_has_the_parts_of_the_soc(elaborated):
    found = titles(elaborated/FOLDER/SAVEFILE)
    assert found[:2] == ["clock", "clock"] and found.count("states") == 2
    for part in ("accelerator", "bus master link", "bus slave main_ram"):
        assert part in found
    assert any(title.startswith("mixpe.accelerator") and title.endswith(".source") for title in found)
    assert all(found.count(title) == 2 for title in found)  # opened and closed


def test_states_have_names(elaborated):
    text  = (elaborated/FOLDER/SAVEFILE).read_text()
    files = re.findall(r"^\^1 (\S+)$", text, re.MULTILINE)
    assert files and all(file.startswith(f"{HERE}/") for file in files)
    for file in files:
        lines = (elaborated/FOLDER/file.removeprefix(f"{HERE}/")).read_text().splitlines()
        assert all(re.fullmatch(r"[0-9a-f]+ \S+", line) for line in lines) and len(lines) >= 2
    assert "0 HEADER" in (elaborated/FOLDER/"states_linkbridge_state.txt").read_text()


def test_savefile_goes_beside_the_trace(elaborated, tmp_path):
    place_savefile(elaborated, tmp_path)
    text = (tmp_path/SAVEFILE).read_text()
    assert text.startswith(f'[dumpfile] "{tmp_path}/sim.fst"') and HERE not in text
    for file in re.findall(r"^\^1 (\S+)$", text, re.MULTILINE):
        assert file.startswith(f"{tmp_path}/") and (tmp_path/file).exists()
    with pytest.raises(ToolError, match="cannot write .*nowhere"):
        place_savefile(elaborated, tmp_path/"nowhere")


def test_register_maps_agree(elaborated, tmp_path):
    copy_exports(elaborated, {"csr_csv": tmp_path/"a.csv", "csr_json": tmp_path/"a.json", "soc_svd": tmp_path/"a.svd"})
    rows = list(csv.reader(line for line in (tmp_path/"a.csv").read_text().splitlines() if not line.startswith("#")))
    assert ["csr_base", "mixpe", f"0x{BANK:08x}", "", ""] in rows
    assert [f"0x{CSR_BASES[0]:08x}"] == [row[2] for row in rows if row[:2] == ["memory_region", "csr"]]
    assert json.loads((tmp_path/"a.json").read_text())["csr_bases"]["mixpe"] == BANK
    assert f"<baseAddress>0x{BANK:08X}</baseAddress>" in (tmp_path/"a.svd").read_text()
    with pytest.raises(ToolError, match="cannot write .*nowhere/a.csv"):
        copy_exports(elaborated, {"csr_csv": tmp_path/"nowhere"/"a.csv"})


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["vcd", "fst"])
def test_trace_has_what_the_savefile_shows(kind, tmp_path):
    """The command as a user gives it, a device opened on it, and the trace read."""
    option = "--trace" if kind == "vcd" else "--trace-fst"
    shape  = [word for name, value in SMALL.items() for word in (f"--{name.replace('_', '-')}", str(value))]
    process = subprocess.Popen([sys.executable, "-m", "mixpe", "sim", *shape, option, "--opt-level", "O1", "--json",
        "--gtkwave-savefile", "--csr-csv", str(tmp_path/"my.csv"), "--soc-svd", str(tmp_path/"my.svd"),
        "--run-folder", str(tmp_path)], stdout=subprocess.PIPE, text=True)
    try:
        url = json.loads(process.stdout.readline())["url"]
        with mixpe.open(url):
            pass
    finally:
        process.terminate()
        process.wait(60)
    trace = tmp_path/f"sim.{kind}"
    assert trace.stat().st_size > 10_000
    assert f'[dumpfile] "{trace}"' in (tmp_path/SAVEFILE).read_text()
    assert (tmp_path/"my.csv").exists() and (tmp_path/"my.svd").exists()
    if kind == "fst":
        return
    scope, there = [], {}
    with open(trace, encoding="ascii") as lines:
        for line in lines:
            words = line.split()
            if words[:1] == ["$scope"]:
                scope.append(words[2])
            elif words[:1] == ["$upscope"]:
                scope.pop()
            elif words[:1] == ["$var"]:
                there[".".join([*scope, words[4]])] = int(words[2])
            elif words[:1] == ["$enddefinitions"]:
                break
    missing = {name: width for name, width in shown(tmp_path/SAVEFILE).items() if there.get(name) != width}
    assert not missing
