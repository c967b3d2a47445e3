# SPDX-License-Identifier: BSD-2-Clause
"""The FPGA tools of PyPI are WebAssembly builds (YoWASP). What is different about them, and how it is met:

- their names (`programs.PROGRAMS`);
- a /tmp of their own: they work in another folder (`scratch_folder`), and scripts name files from there
  (`relative_sources`);
- nextpnr without Python: clocks go to the constraints (`clocks_to_constraints`).

Native tools take all of this as well.
"""

import os
import re
import tempfile
from contextlib import contextmanager
from pathlib import Path

from mixpe.tools.cachefolder import check_tool_folder

SOURCE = re.compile(r"^(read_verilog .*?)(/\S+)$", re.MULTILINE)
CLOCK  = re.compile(r'ctx\.addClock\("(\w+)", ([\d.]+)\)')
NET    = re.compile(r'^ {8}"(\w+)": \{$', re.MULTILINE)


@contextmanager
def scratch_folder(root):
    """A temporary folder in ``root/work``, which must not be in /tmp for the tools to see it: Path."""
    parent = Path(root)/"work"
    check_tool_folder(parent, "set MIXPE_CACHE to another one")
    parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=parent) as folder:
        yield Path(folder)


def relative_sources(script, folder):
    """A Yosys script with its sources named from its folder: str."""
    return SOURCE.sub(lambda match: match.group(1) + os.path.relpath(match.group(2), folder), script)


def clocks_to_constraints(command, folder):
    """The command of nextpnr-ice40 without the Python script of ``--pre-pack``, whose clocks go to the PCF file.

    Parameters
    ----------
    command : list of str
    folder : Path
        Holds the script, the constraints (``--pcf``) and the netlist (``--json``). Clocks of nets that synthesis has
        removed are left out, since nextpnr refuses them.

    Returns
    -------
    list of str
    """
    if "--pre-pack" not in command:
        return command
    at     = command.index("--pre-pack")
    clocks = CLOCK.findall((folder/command[at + 1]).read_text(encoding="utf-8"))
    nets   = set(NET.findall((folder/command[command.index("--json") + 1]).read_text(encoding="utf-8")))
    pcf    = folder/command[command.index("--pcf") + 1]
    lines  = [line for line in pcf.read_text(encoding="utf-8").splitlines() if not line.startswith("set_frequency")]
    lines += [f"set_frequency {net} {float(mhz):g}" for net, mhz in clocks if net in nets]
    pcf.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return command[:at] + command[at + 2:]
