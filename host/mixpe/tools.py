# SPDX-License-Identifier: BSD-2-Clause
"""Running the FPGA tools: found beside this Python or on PATH, limited in time, failures as named errors."""

import re
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

from mixpe_gateware.contract.errors import ToolError


class ToolMissing(ToolError):
    """A tool is not installed."""


class ToolCrash(ToolError):
    """A tool ended with an error."""


class ToolTimeout(ToolError):
    """A tool ran out of time."""


class NotMeasured(ToolError):
    """The result is not in the cache, and no tool may run for it."""


class DoesNotFit(ToolError):
    """The design needs more than the device has."""


FIT = re.compile(r"(?i)unable to place|no more .* available|failed to find a placement|no bels? (?:remaining|available)"
                 r"|exceed|too many|failed to (?:expand|place)|not enough|Unable to find legal placement")
ERROR_TAIL_CHARS = 400


@cache
def find_tool(name):
    """Path of a tool.

    Raises
    ------
    ToolMissing
    """
    beside = Path(sys.executable).parent/name
    path = str(beside) if beside.exists() else shutil.which(name)
    if path is None:
        raise ToolMissing(f"{name} is not installed; pip install {name} brings it")
    return path


@cache
def tool_version(name):
    """What the tool says it is, one line.

    Raises
    ------
    ToolError
    """
    option = "-V" if name.endswith("yosys") else "--version"
    output = run_tool(name, [option], None, 600)
    match = re.search(r"Yosys \d[\w.+-]*|nextpnr-\d[\w.+-]*", output)
    return match.group(0) if match else output.strip().splitlines()[-1]


def run_tool(name, arguments, folder, limit_s):
    """Run a tool in `folder` and return what it printed.

    Raises
    ------
    ToolMissing, ToolCrash, ToolTimeout, DoesNotFit
    NotMeasured
        No time at all was given.
    """
    if limit_s <= 0:
        raise NotMeasured(f"{name} was not allowed to run")
    command = [find_tool(name), *map(str, arguments)]
    try:
        done = subprocess.run(command, cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, errors="replace", timeout=limit_s, check=False)
    except subprocess.TimeoutExpired:
        raise ToolTimeout(f"{name} did not finish within {limit_s:.0f} s") from None
    if done.returncode:
        errors = [line for line in done.stdout.splitlines() if "ERROR" in line or "error:" in line]
        text = " / ".join(errors)[-ERROR_TAIL_CHARS:] or done.stdout[-ERROR_TAIL_CHARS:]
        if FIT.search(text):
            raise DoesNotFit(f"{name}: {text}")
        raise ToolCrash(f"{name} ended with {done.returncode}: {text}")
    return done.stdout
