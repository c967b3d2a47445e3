# SPDX-License-Identifier: BSD-2-Clause
"""Synthesise, place and route one unit, out of context, and say what it costs.

    unit ─► harness ─► Yosys ─► cells ─► nextpnr, once a seed ─► fmax

Each step's result is cached by the digest of its inputs and of the tools' versions: an interrupted run goes on where it
was.
"""

import json
import statistics
from dataclasses import dataclass

from mixpe.explore.cost.cache import Cache
from mixpe.explore.cost.harness import harness_verilog
from mixpe.explore.cost.targets import count, find_target, routed_by
from mixpe.tools import DoesNotFit, NotMeasured, ToolCrash, ToolTimeout, run_tool, tool_version
from mixpe.tools.yowasp import scratch_folder

SEEDS = (1, 2, 3)
FLOW  = 2  # changes with the meaning of what is cached
MULTIPLIERS = {  # structures of multipliers in LUTs: what goes before the synthesis command
    "plain": "",
    "booth": "hierarchy -top top; proc; opt; wreduce; booth; ",
}


@dataclass(frozen=True)
class Cost:
    """What a unit takes on a target.

    Attributes
    ----------
    target : str
    luts, flip_flops, dsps, block_rams : float
        Without the harness.
    placed_luts : int or None
        LUT sites used after packing, with what the placer adds to enter and leave carry chains.
    fmax_mhz : float or None
        Median over seeds; None where there is only synthesis.
    fmax_by_seed : dict of int to float
    cells : dict of str to int
    tools : dict of str to str
    multipliers : str or None
        Which of MULTIPLIERS took fewer LUTs; None where there are none in LUTs.
    """

    target: str
    luts: float
    flip_flops: float
    dsps: float
    block_rams: float
    placed_luts: int | None
    fmax_mhz: float | None
    fmax_by_seed: dict
    cells: dict
    tools: dict
    multipliers: str | None = None


def synthesise(verilog, target, use_dsp=True, cache=None, limit_s=1800, multipliers="plain"):
    """Cells (type to number) and the netlist's JSON text for nextpnr. `multipliers` is one of MULTIPLIERS.

    Raises
    ------
    ToolError
    """
    command = MULTIPLIERS[multipliers] + target.synthesis.format(dsp=target.with_dsp if use_dsp else target.no_dsp)
    version = tool_version("yosys")
    cache = cache or Cache()
    key = cache.key(flow=FLOW, step="synthesis", verilog=verilog, command=command, version=version)
    found = cache.get(key)
    if found is None:
        with scratch_folder(cache.folder) as folder:
            (folder/"top.v").write_text(verilog)
            script = f"read_verilog top.v; {command}; write_json top.json; tee -q -o stat.json stat -json"
            run_tool("yosys", ["-q", "-p", script], folder, limit_s)
            netlist = (folder/"top.json").read_text()
            modules = json.loads((folder/"stat.json").read_text())["modules"]
            cells = {kind.lstrip("\\"): number for kind, number in modules["\\top"]["num_cells_by_type"].items()}
        found = {"cells": cells, "netlist": netlist}
        cache.put(key, found)
    return found["cells"], found["netlist"]


def place_and_route(netlist, target, seed, cache=None, limit_s=3600):
    """Place and route a netlist once.

    Returns
    -------
    dict
        ``fmax_mhz``, ``placed_luts`` (LUT sites used, or None) and ``critical_path`` (see there).

    Raises
    ------
    ToolError
    """
    tool, *options = target.place_and_route
    cache = cache or Cache()
    version = tool_version(tool)
    pins = {"constraints": target.constraints} if target.constraints else {}
    key = cache.key(flow=FLOW, step="route", netlist=netlist, options=options, seed=seed, mhz=target.asked_mhz,
                    version=version, **pins)
    found = cache.get(key)
    if found is None:
        with scratch_folder(cache.folder) as folder:
            (folder/"top.json").write_text(netlist)
            (folder/"pins.cst").write_text(target.constraints)
            output = run_tool(tool, [*options, "--json", "top.json", "--report", "report.json", "--seed", seed,
                                     "--freq", target.asked_mhz], folder, limit_s)
            try:
                report = json.loads((folder/"report.json").read_text())
            except (FileNotFoundError, json.JSONDecodeError):
                raise ToolCrash(f"{tool} ended without a report: {output[-400:].strip()}") from None
        clocks = [clock["achieved"] for clock in report["fmax"].values()]
        if not clocks:
            raise ToolCrash(f"{tool} reported no clock: {output[-200:]}")
        used = sum(target.sites.get(name, 0)*use["used"] for name, use in report["utilization"].items())
        found = {"fmax_mhz": min(clocks), "placed_luts": used if target.sites else None,
                 "critical_path": critical_path(report)}
        cache.put(key, found)
    return found


def critical_path(report):
    """The slowest register to register path of nextpnr's report: its steps as [kind, delay in ns, to cell, net]."""
    for path in report.get("critical_paths", ()):
        if path["from"] == path["to"]:
            return [[step["type"], round(step["delay"], 2), step["to"]["cell"], step.get("net", "")]
                    for step in path["path"]]
    return []


def smallest(verilog, target, use_dsp=True, cache=None, limit_s=1800, multiplies=False):
    """(multipliers, cells, netlist) of the synthesis that takes the fewest LUTs; see `synthesise`.

    Parameters
    ----------
    multiplies : bool
        The unit has multipliers: where they are in LUTs, all MULTIPLIERS are tried.
    """
    if use_dsp or not multiplies:
        return None, *synthesise(verilog, target, use_dsp, cache, limit_s)
    found = [(name, *synthesise(verilog, target, use_dsp, cache, limit_s, name)) for name in MULTIPLIERS]
    return min(found, key=lambda item: count(item[1], target.luts))


def content_of(verilog, target, use_dsp=True, multiplies=False, router=None):
    """Digest of everything that the cost of a unit depends on but the seeds: same digest, same cost.

    Parameters
    ----------
    verilog : str
        Of `harness_verilog`.
    target : str
    use_dsp, multiplies, router
        See `measure_verilog`.

    Raises
    ------
    ConfigError
        Unknown target or router.
    ToolError
    """
    target = routed_by(find_target(target), router)
    tools  = ["yosys", *target.place_and_route[:1]]
    return Cache.key(flow=FLOW, verilog=verilog, target=repr(target), use_dsp=use_dsp, multiplies=multiplies,
                     versions=[tool_version(tool) for tool in tools])


def measure(unit, inputs, outputs, target="LFE5U-85F-6", seeds=SEEDS, use_dsp=True, cache=None, limit_s=3600,
            multiplies=False):
    """Cost of a unit on a target: `measure_verilog` of a harness around it.

    Parameters
    ----------
    unit : migen.Module
    inputs, outputs : list of Signal
    """
    return measure_verilog(*harness_verilog(unit, inputs, outputs), target, seeds, use_dsp, cache, limit_s, multiplies)


def measure_verilog(verilog, harness_flip_flops, target="LFE5U-85F-6", seeds=SEEDS, use_dsp=True, cache=None,
                    limit_s=3600, multiplies=False, router=None):
    """Cost of what a harness holds, on a target.

    Parameters
    ----------
    verilog : str
    harness_flip_flops : int
        Both of `harness_verilog`.
    target : str
        A name of `targets.TARGETS`.
    seeds : sequence of int
        One place and route each; empty for area only.
    use_dsp : bool
        Let synthesis use DSP blocks.
    cache : Cache, optional
    limit_s : float
        For each run of a tool; 0 lets none run, and counts the seeds that are cached.
    multiplies : bool
        See `smallest`.
    router : str, optional
        See `routed_by`.

    Returns
    -------
    Cost

    Raises
    ------
    ConfigError
        Unknown target or router.
    DoesNotFit, ToolCrash, ToolTimeout, ToolMissing, NotMeasured
    """
    target = routed_by(find_target(target), router)
    cache = cache or Cache()
    multipliers, cells, netlist = smallest(verilog, target, use_dsp, cache, limit_s, multiplies)
    luts = count(cells, target.luts)
    dsps = count(cells, target.dsps)
    if luts > target.lut_total or dsps > target.dsp_total:
        raise DoesNotFit(f"{target.name} has {target.lut_total} LUTs and {target.dsp_total} DSPs, "
                         f"the design needs {luts:.0f} and {dsps:g}")
    tools = {"yosys": tool_version("yosys")}
    fmax, placed = {}, None
    if target.place_and_route:
        tools["nextpnr"] = tool_version(target.place_and_route[0])
        missing = None
        for seed in seeds:
            try:
                routed = place_and_route(netlist, target, seed, cache, limit_s)
            except (NotMeasured, ToolTimeout) as error:  # the other seeds say enough
                missing = error
                continue
            fmax[seed], placed = routed["fmax_mhz"], routed["placed_luts"]
        if missing is not None and not fmax:
            raise missing
        if placed is not None and target.flip_flops_take_sites:
            placed -= harness_flip_flops
    return Cost(
        target=target.name, luts=luts, flip_flops=count(cells, target.flip_flops) - harness_flip_flops, dsps=dsps,
        block_rams=count(cells, target.block_rams), placed_luts=placed,
        fmax_mhz=statistics.median(fmax.values()) if fmax else None,
        fmax_by_seed=fmax, cells=cells, tools=tools, multipliers=multipliers)
