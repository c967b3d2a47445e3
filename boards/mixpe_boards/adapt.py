# SPDX-License-Identifier: BSD-2-Clause
"""LiteX's build scripts, adapted to the tools that pip installs and to this gateware."""

import os
import re

from mixpe.errors import ToolError

CLOCK = re.compile(r'ctx\.addClock\("(\w+)", ([\d.]+)\)')

# Of nextpnr-ecp5, by the processing element. Dense arrays: router1 took a ULX3S from 83 MHz as placed to 99, router2
# to 80, and on the Colorlight i9 router2 does not end. Arrays of the others: router2 ends in minutes, router1 does not.
ROUTERS = {"dense": "router1", "bitplane": "router2", "shift-add": "router2"}

DEFAULT_CLOCK = ("nextpnr-himbaechel", "nextpnr-ice40")  # get the system clock for what has no constraint

SOURCE = re.compile(r"^(read_verilog .*?)(/\S+)$", re.MULTILINE)


def adapt_synthesis(folder, name):
    """Let synthesis use block RAM as it is, and find its sources.

    No memory here is read where it is written in the same cycle and the value used, so the logic that Yosys would put
    around each block RAM for that case is a loss of area and of a quarter of the clock. iCE40 gets no DSP blocks: Yosys
    0.70 leaves products with two registers behind them unconnected (tests/cost/test_energy.py). Sources are named from
    the build's folder, since the WebAssembly builds have a /tmp of their own.
    """
    script = folder/f"{name}.ys"
    text   = script.read_text(encoding="utf-8")
    found  = re.findall(r"^synth_\w+", text, re.MULTILINE)
    if len(found) != 1:
        raise ToolError(f"{script} has {len(found)} synthesis commands, not one; is this another LiteX?")
    text = text.replace(f"{found[0]} ", f"{found[0]} -no-rw-check ", 1)
    text = re.sub(r"^(synth_ice40 .*?) -dsp\b", r"\1", text, flags=re.MULTILINE)
    text = SOURCE.sub(lambda match: match.group(1) + os.path.relpath(match.group(2), folder), text)
    script.write_text(text, encoding="utf-8")


def adapt_placer(command, folder, pe, clock_hz=None):
    """The command of nextpnr as the packages take it.

    ECP5 gets the router of the array's processing element. The build of nextpnr-ice40 has no Python, so the clocks of
    ``--pre-pack`` go to the constraints. LiteX gives Gowin no clock constraints, and those of iCE40 may name nets that
    are gone: a clock without one is asked to reach the system clock.

    Parameters
    ----------
    command : list of str
    folder : Path
    pe : str
        Processing element, `Config.pe`.
    clock_hz : int, optional
        System clock.

    Returns
    -------
    list of str
    """
    if command[0] == "nextpnr-ecp5":
        command = [*command, "--router", ROUTERS[pe]]
    if clock_hz and command[0] in DEFAULT_CLOCK and "--freq" not in command:
        command = [*command, "--freq", f"{clock_hz/1e6:g}"]
    if "--pre-pack" not in command:
        return command
    at     = command.index("--pre-pack")
    clocks = CLOCK.findall((folder/command[at + 1]).read_text(encoding="utf-8"))
    pcf    = folder/command[command.index("--pcf") + 1]
    lines  = [line for line in pcf.read_text(encoding="utf-8").splitlines() if not line.startswith("set_frequency")]
    lines += [f"set_frequency {net} {float(mhz):g}" for net, mhz in clocks if net in _nets(folder, command)]
    pcf.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return command[:at] + command[at + 2:]


def _nets(folder, command):
    """Names of nets of the netlist that the placer is given."""
    text = (folder/command[command.index("--json") + 1]).read_text(encoding="utf-8")
    return set(re.findall(r'^ {8}"(\w+)": \{$', text, re.MULTILINE))
