# SPDX-License-Identifier: BSD-2-Clause
"""What a simulation is built with: packages, programs and headers, and which versions are there."""

import importlib.util
import os
import re

from mixpe.errors import ToolError
from mixpe.tools import ToolCrash, compiler, find_tool, package_versions, run_tool
from mixpe.tools.cachefolder import cache_folder, check_tool_folder
from mixpe.tools.programs import SIMULATION

PACKAGES = ("migen", "litex", "litedram", "pythondata-misc-tapcfg")
PACKAGES_ETHERNET = ("liteeth",)
PACKAGES_CPU = ("pythondata-cpu-vexriscv", "pythondata-software-picolibc", "pythondata-software-compiler-rt", "meson")
HEADERS = ("event2/event.h", "json-c/json.h", "zlib.h")
PROBE_LIMIT_S = 60


def check_tools(with_cpu=False, with_ethernet=False):
    """Check that everything needed is installed and that builds are kept where it works, and return the versions.

    These are part of a build's identity.

    Returns
    -------
    dict of str to str

    Raises
    ------
    ToolError
        Something is missing, or the cache folder is none for it; the message says what to do.
    """
    check_tool_folder(cache_folder("sim"), "set MIXPE_CACHE to another one")
    versions = package_versions(PACKAGES + (PACKAGES_CPU if with_cpu else ())
                                + (PACKAGES_ETHERNET if with_ethernet else ()))
    missing = [package for package, version in versions.items() if version is None]
    if missing:
        raise ToolError(f"the simulation needs the Python package {', '.join(missing)}; install it: "
                        "pip install 'mixpe[gateware]'")
    find_tool("make")
    versions["verilator"] = _first_line("verilator")
    versions["c++"] = _first_line(*compiler("c++"))
    _check_headers()
    if with_cpu:
        find_tool("riscv-gcc")
    return versions


def _first_line(*command):
    return run_tool(command[0], [*command[1:], "--version"], None, PROBE_LIMIT_S).partition("\n")[0].strip()


def _check_headers():
    command = [*compiler("c"), "-E", "-x", "c", os.devnull, "-o", os.devnull]
    command += [word for header in HEADERS for word in ("-include", header)]
    try:
        run_tool(command[0], command[1:], None, PROBE_LIMIT_S)
    except ToolCrash as error:
        missing = re.findall(r"fatal error: (\S+):", error.output)
        raise ToolError(f"the simulation needs the header {', '.join(missing) or error}; {SIMULATION}") from None


def litex_core_folder():
    """Return the folder of LiteX's simulation core, without importing LiteX."""
    return os.path.join(importlib.util.find_spec("litex").submodule_search_locations[0], "build", "sim", "core")
