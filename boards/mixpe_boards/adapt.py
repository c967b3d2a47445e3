# SPDX-License-Identifier: BSD-2-Clause
"""LiteX's build scripts: their commands, adapted to this gateware and to the tools that pip installs."""

import re
import shlex

from mixpe.errors import ToolError
from mixpe.tools.yowasp import clocks_to_constraints, relative_sources

# Of nextpnr-ecp5, by the processing element. Dense arrays: router1 took a ULX3S from 83 MHz as placed to 99, router2
# to 80, and on the Colorlight i9 router2 does not end. Arrays of the others: router2 ends in minutes, router1 does not.
ROUTERS = {"dense": "router1", "bitplane": "router2", "shift-add": "router2"}

# Likewise, dense arrays of 32 lanes: as `heap` places an ECPIX-5 with 256 MACs, neither router is done within an hour;
# placed by `static`, with a sixth less wire, router1 takes five minutes, and it reaches 98 MHz.
WIDE_PORT_BITS = 128

DEFAULT_CLOCK = ("nextpnr-himbaechel", "nextpnr-ice40")  # get the system clock for what has no constraint

STAGES = {"yosys": "synthesis", "nextpnr": "place and route", "ecppack": "bitstream", "icepack": "bitstream",
    "gowin_pack": "bitstream"}


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


def adapt_synthesis(folder, name):
    """Let synthesis use block RAM as it is, and find its sources.

    No memory here is read where it is written in the same cycle and the value used, so the logic that Yosys would put
    around each block RAM for that case is a loss of area and of a quarter of the clock. iCE40 gets no DSP blocks: Yosys
    0.70 leaves products with two registers behind them unconnected (tests/explore/test_energy.py).
    """
    script = folder/f"{name}.ys"
    text   = script.read_text(encoding="utf-8")
    found  = re.findall(r"^synth_\w+", text, re.MULTILINE)
    if len(found) != 1:
        raise ToolError(f"{script} has {len(found)} synthesis commands, not one; is this another LiteX?")
    text = text.replace(f"{found[0]} ", f"{found[0]} -no-rw-check ", 1)
    text = re.sub(r"^(synth_ice40 .*?) -dsp\b", r"\1", text, flags=re.MULTILINE)
    script.write_text(relative_sources(text, folder), encoding="utf-8")


def adapt_placer(command, folder, config, clock_hz=None):
    """The command of nextpnr for this gateware.

    ECP5 gets the router and the placer of the array's processing element. LiteX gives Gowin no clock constraints, and
    those of iCE40 may name nets that are gone: a clock without one is asked to reach the system clock.

    Parameters
    ----------
    command : list of str
    folder : Path
    config : Config
    clock_hz : int, optional
        System clock.

    Returns
    -------
    list of str
    """
    if command[0] == "nextpnr-ecp5":
        command = [*command, "--router", ROUTERS.get(config.pe, "router2")]
        if config.pe == "dense" and config.port_bits >= WIDE_PORT_BITS:
            command += ["--placer", "static"]
    if clock_hz and command[0] in DEFAULT_CLOCK and "--freq" not in command:
        command = [*command, "--freq", f"{clock_hz/1e6:g}"]
    return clocks_to_constraints(command, folder)
