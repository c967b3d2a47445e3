# SPDX-License-Identifier: BSD-2-Clause
"""What programs and Python packages say they are: part of what every build and measurement is known by."""

import re
from functools import cache
from importlib import metadata

from mixpe.tools.programs import find_tool
from mixpe.tools.run import run_tool

LIMIT_S = 600  # the first call of a WebAssembly tool compiles it
VERSION = re.compile(r"Yosys \d[\w.+-]*|nextpnr-\d[\w.+-]*")


def tool_version(name):
    """What a program says it is, one line.

    Raises
    ------
    ToolError
    """
    return _version_of(find_tool(name), "-V" if name == "yosys" else "--version")


@cache
def _version_of(path, option):
    output = run_tool(path, [option], None, LIMIT_S)
    match  = VERSION.search(output)
    return match.group(0) if match else next(iter(output.strip().splitlines()), "")


def package_versions(packages):
    """Versions of Python packages: dict of name to str, None for those that are not installed."""
    found = {}
    for package in dict.fromkeys(packages):
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = None
    return found
