# SPDX-License-Identifier: BSD-2-Clause
"""Make a board's bitstream: elaborate, run the tools, check timing, name the result.

    build/ulx3s_32x8/ulx3s_32x8_1f2e3d4c.bit    board, array (link), contract digest
    build/ulx3s_32x8/ulx3s_32x8_1f2e3d4c.json   what is in it, what it takes, who made it
"""

import hashlib
import ipaddress
import json
import sys
import time
from pathlib import Path

from mixpe.errors import ConfigError, ToolError
from mixpe.exports import copy_exports
from mixpe.tools import CHAINS, ToolTimeout, check_chain, find_tool, package_versions, run_tool
from mixpe.tools.cachefolder import check_tool_folder
from mixpe.tools.programs import PROGRAMS
from mixpe_boards import report as pnr
from mixpe_boards.adapt import adapt_placer, script_commands, stage_of
from mixpe_gateware.contract.digest import VERSION, digest

ADDRESS           = "192.168.1.50"  # of a board in a network, unless it gets another one
ELABORATE_LIMIT_S = 1200  # with the BIOS and its library
TOOL_LIMIT_S      = 4*3600
ROUTE_LIMIT_S     = 3600  # of one seed: those that end do so in a third of it, those that do not go on for ever
LITEX             = ("litex", "litedram", "litex-boards", "migen")
NETLIST           = "top.json"  # of synthesis, in the folder ``gateware``
RESULT_OPTIONS    = ("--textcfg", "--asc", "--write")  # of nextpnr, before the file it makes


class TimingError(ToolError):
    """The routed design is slower than its clock."""


class NotRouted(ToolError):
    """No seed ended within its time."""


def contract_tag(config):
    """First half of the digest of a configuration's contract, as bitstreams carry it in their names."""
    return f"{digest(config.parts):016x}"[:8]


def artefact_name(board, link=None):
    """File name of the bitstream without suffix."""
    return f"{board.build_name(link)}_{contract_tag(board.config)}"


def check_link(board, link, ip_address):
    """Check what a build is told of its link, before minutes are spent.

    Raises
    ------
    ConfigError
        The board has no such link, or the address is none that a board can have.
    """
    if link is not None and link not in board.links:
        raise ConfigError(f"{board.title} has no link {link!r}; it has {', '.join(board.links)}")
    try:
        address = ipaddress.IPv4Address(str(ip_address))
    except ValueError:
        address = None
    if address is None or address.is_unspecified or address.is_multicast or address.is_loopback or address.is_reserved:
        raise ConfigError("the board's address must be an IPv4 address of the host's network, such as 192.168.1.50, "
                          f"not {ip_address!r}")


def elaborate_board(board, folder, changes, *, link=None, ip_address=ADDRESS, software=True, seed=1,
                    savefile=False):
    """Write Verilog, constraints and scripts in `folder`, in a process of its own.

    Raises
    ------
    ToolError
        LiteX failed, or there is no compiler for the BIOS.
    """
    if software and board.cpu:  # a program trains the memory
        find_tool("riscv-gcc")
    folder = Path(folder).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    options = {"board": board.name, "changes": changes, "folder": str(folder), "link": link, "software": software,
        "ip_address": ip_address, "seed": seed, "savefile": savefile}
    (folder/"options.json").write_text(json.dumps(options, indent=1), encoding="utf-8")
    log = folder/"elaborate.log"
    log.unlink(missing_ok=True)
    run_tool(sys.executable, ["-m", "mixpe_boards.elaborate", "options.json"], folder, ELABORATE_LIMIT_S, log=log,
             what=f"elaboration of {board.name}")


def versions(toolchain):
    """Versions of the packages that made a bitstream: dict of str. ``native`` where a tool is not from a package."""
    tools = [PROGRAMS[name].package for name in CHAINS[toolchain] if PROGRAMS[name].package]
    return {name: version or "native" for name, version in package_versions([*LITEX, *tools]).items()}


def _with(command, **options):
    """A placer's command with other values of options."""
    words = list(command)
    for name, value in options.items():
        if f"--{name}" in words:
            at = words.index(f"--{name}")
            del words[at:at + 2]
        words += [f"--{name}", str(value)]
    return words


def _log_name(seed):
    """File in which nextpnr says what it does with a seed."""
    return f"nextpnr_{seed}.log"


def _place_and_route(board, command, gateware, seeds, say):
    """Try seeds until the clocks are met; the best result stays. Returns its seed.

    Raises
    ------
    NotRouted
    ToolError
        nextpnr failed.
    """
    command = adapt_placer(command, gateware, board.config, board.clock_hz)
    output = gateware/next(command[i + 1] for i, word in enumerate(command) if word in RESULT_OPTIONS)
    report = gateware/"report.json"
    best   = None
    for seed in seeds:
        say(f"{board.name}: place and route, seed {seed}")
        words = _with(command, seed=seed, report=report.name, log=_log_name(seed))
        try:
            run_tool(words[0], words[1:], gateware, ROUTE_LIMIT_S)
        except ToolTimeout:
            say(f"{board.name}: seed {seed} was not routed within {ROUTE_LIMIT_S} s")
            continue
        routed  = pnr.read_report(report)
        reached = pnr.system_clock(routed, board.clock_hz)
        met     = not pnr.failing(routed, board.clock_hz)
        if best is None or (met, reached) > best[0]:
            best = ((met, reached), seed, output.read_bytes(), report.read_bytes())
        if met:
            break
    if best is None:
        raise NotRouted(f"{board.name} was not routed within {ROUTE_LIMIT_S} s, with seed "
                        f"{' or '.join(map(str, seeds))}; try another --seed or fewer --rows")
    output.write_bytes(best[2])
    report.write_bytes(best[3])
    return best[1]


def _run_tools(board, folder, seeds, say):
    """Run LiteX's build script line by line. Returns the seed that was used and the seconds of each stage."""
    gateware = folder/"gateware"
    script = (gateware/"build_top.sh").read_text(encoding="utf-8")
    times, seed = {}, seeds[0]
    for command in script_commands(script):
        stage = stage_of(command)
        start = time.monotonic()
        if board.is_open and command[0].startswith("nextpnr"):
            seed = _place_and_route(board, command, gateware, seeds, say)
        else:
            say(f"{board.name}: {stage}")
            run_tool(command[0], command[1:], gateware, TOOL_LIMIT_S)
        times[stage] = round(time.monotonic() - start, 1)
    return seed, times


def synthesise_board(board, root, *, say=None):
    """Make the netlist of a board, as `build_board` does on the way to its bitstream.

    Parameters
    ----------
    board : Board
        With open tools.
    root : Path
        The build goes to a folder of its own in it.
    say : callable, optional
        Gets a line at the start of each stage.

    Returns
    -------
    Path
        Yosys' JSON.

    Raises
    ------
    ConfigError
        The board has no open tools.
    ToolError
        A tool is missing or failed.
    """
    say = say or (lambda _text: None)
    if not board.is_open:
        raise ConfigError(f"{board.title} is synthesised by {board.toolchain} alone")
    folder = Path(root).resolve()/board.build_name()
    check_tool_folder(folder, "name another one")
    check_chain(board.toolchain)
    say(f"{board.name}: elaboration")
    elaborate_board(board, folder, {}, software=False)
    gateware = folder/"gateware"
    for command in script_commands((gateware/"build_top.sh").read_text(encoding="utf-8")):
        if command[0].startswith("yosys"):
            say(f"{board.name}: {stage_of(command)}")
            run_tool(command[0], command[1:], gateware, TOOL_LIMIT_S)
    return gateware/NETLIST


def build_board(board, root, *, changes=None, link=None, ip_address=ADDRESS, compile_gateware=True, seeds=(1,),
                force=False, exports=None, savefile=False, say=None):
    """Make the bitstream of a board.

    Parameters
    ----------
    board : Board
        As it comes from the registry.
    root : Path
        The build goes to a folder of its own in it.
    changes : dict
        Arguments of `Board.changed`.
    link, ip_address
        See `BoardSoC`.
    compile_gateware : bool
        False stops after elaboration.
    seeds : tuple of int
        Of the placer, tried in order until the clocks are met.
    force : bool
        Keep a bitstream whose timing is not met.
    exports : dict of str to path, optional
        Files about the SoC to write, as `mixpe.exports.copy_exports` takes them.
    savefile : bool
        Leave GTKWave's savefile in the build's folder, for a simulation of the Verilog.
    say : callable, optional
        Gets a line at the start of each stage.

    Returns
    -------
    dict
        The report, as it is written beside the bitstream.

    Raises
    ------
    ConfigError
        An array, clock, link or address that cannot be.
    ToolError
        A tool is missing or failed.
    NotRouted
        No seed ended within its time.
    TimingError
        The routed design is slower than its clock.
    """
    say = say or (lambda _text: None)
    changes = {name: value for name, value in (changes or {}).items() if value is not None}
    changed = board.changed(**changes)
    check_link(board, link, ip_address)
    folder = Path(root).resolve()/changed.build_name(link)
    if compile_gateware:
        check_tool_folder(folder, "name another one with --build-dir")
        check_chain(changed.toolchain)
    say(f"{board.name}: elaboration")
    elaborate_board(board, folder, changes, link=link, ip_address=ip_address, seed=seeds[0],
        savefile=savefile)
    copy_exports(folder, exports or {})
    result = {
        "board": board.name, "title": board.title, "fpga": board.fpga, "link": link or board.links[0],
        "baudrate": board.baudrate, "config": changed.config.to_dict(), "macs_per_cycle": changed.macs_per_cycle,
        "clock_hz": changed.clock_hz, "framed": changed.framed_on(link), "contract_version": VERSION,
        "contract_digest": f"{digest(changed.config.parts):016x}",
        "ip_address": ip_address, "idcode": f"0x{board.idcode:08x}", "seed": seeds[0],
        "tools": versions(changed.toolchain), "folder": str(folder),
    }
    if not compile_gateware:
        return result
    name = artefact_name(changed, link)
    for old in folder.glob(f"{name}.*"):
        old.unlink()
    result["seed"], result["seconds"] = _run_tools(changed, folder, seeds, say)
    if changed.is_open:
        routed = pnr.read_report(folder/"gateware"/"report.json")
        log = folder/"gateware"/_log_name(result["seed"])
        result["utilisation"] = pnr.utilisation(routed, log.read_text(encoding="utf-8", errors="replace")
                                                if log.exists() else "")
        result["fmax_mhz"]    = round(pnr.system_clock(routed, changed.clock_hz), 2)
        missed = [f"{clock} reaches {reached:.1f} of {asked:.1f} MHz"
                  for clock, (reached, asked) in pnr.failing(routed, changed.clock_hz).items()]
    else:
        timing = folder/"gateware"/"top_timing.rpt"
        slack_ns = pnr.vivado_slack(timing.read_text(encoding="utf-8", errors="replace") if timing.exists() else "")
        result["fmax_mhz"] = round(1e3/(1e9/changed.clock_hz - slack_ns), 2)
        missed = [f"the worst path is {-slack_ns:.3f} ns too long"] if slack_ns < 0 else []
    result["timing_met"] = not missed
    if missed and not force:
        _write(folder/f"{name}.refused.json", result)
        text = ", ".join(missed)
        raise TimingError(f"{changed.build_name(link)}: timing is not met: {text}; try another --seed, a lower "
                          f"--clock-mhz or fewer --rows, or keep it with --force")
    made = folder/"gateware"/f"top{board.bitstream}"
    if not made.exists():
        raise ToolError(f"the tools left no {made}")
    target = folder/f"{name}{board.bitstream}"
    target.write_bytes(made.read_bytes())
    result["bitstream"] = str(target)
    result["sha256"]    = hashlib.sha256(target.read_bytes()).hexdigest()
    _write(folder/f"{name}.json", result)
    return result


def _write(path, result):
    path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
