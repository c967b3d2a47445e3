# SPDX-License-Identifier: BSD-2-Clause
"""``mixpe explore``: what each design costs on a device, and what fidelity it gives."""

import argparse
import json
import os
import sys
from functools import partial
from pathlib import Path

from mixpe.errors import ConfigError
from mixpe.explore.model import SEED, energy_layer, fidelity
from mixpe.progress import Progress
from mixpe.terminal import table

DESCRIPTION = """\
Synthesise, place and route MixPE and every design that it is compared with, in one flow; measure the fidelity of each
arithmetic on the packaged model; draw the Pareto front. Results are cached by content: a stopped exploration goes on
where it was, and what --out has of the same content is not measured again. A point that fails gets the error's name in
its row and the others go on; the exit status is then 1. That a device is too small for a design is a result."""

RESULTS = ("ok", "DoesNotFit")  # what else a point may end with is a failure

AXES = {  # arguments of `grid.product`
    "lanes":            "products a row makes in a cycle, D (powers of two)",
    "rows":             "rows of the array that share the weights, R",
    "group_sizes":      "products of a group, G",
    "accumulator_bits": "width of the group sums, which wrap below the exact width",
    "widths":           "bits of aligned activations, W (aligned-a16)",
}


class _Help(argparse.Action):
    """``--help`` with the names that there are: those of designs and devices need Migen, which is loaded here only."""

    def __init__(self, option_strings, dest, named):
        super().__init__(option_strings, dest, nargs=0, default=argparse.SUPPRESS,
                         help="show this help message and exit")
        self.named = named  # actions whose help ends with their names, by the function that gives those

    def __call__(self, parser, *_):
        for names, action in self.named.items():
            try:
                action.help += f"; {', '.join(names())}"
            except ModuleNotFoundError as error:
                action.help += f"; to name them takes the package {error.name}"
        parser.print_help()
        parser.exit()


def _designs():
    from mixpe_gateware.baselines import DESIGNS
    return DESIGNS


def _devices():
    from mixpe.explore.cost import TARGETS
    return TARGETS


def _grids():
    from mixpe.explore.grid import GRIDS
    return GRIDS


def add_parser(subparsers):
    """Add the command to `argparse` sub-parsers."""
    p = subparsers.add_parser("explore", help="measure and compare processing elements", description=DESCRIPTION,
                              add_help=False)
    p.add_argument("-h", "--help", action=_Help, named={
        _grids: p.add_argument("--grid", default="quick", metavar="NAME",
                               help="points to measure (quick: minutes; full is all the others)"),
        _designs: p.add_argument("--designs", nargs="+", metavar="NAME", help="only these designs"),
        _devices: p.add_argument("--devices", nargs="+", metavar="NAME", help="only these devices")})
    axes = p.add_argument_group("axes", "any of these replaces the grid by all combinations of what is given")
    for name, text in AXES.items():
        axes.add_argument(f"--{name.replace('_', '-')}", nargs="+", type=int, metavar="N", help=text)
    axes.add_argument("--set", nargs="+", metavar="NAME=VALUE", dest="options",
                      help="parameters of the design, such as dsp=true or pipelined=false")
    axes.add_argument("--router", metavar="NAME", help="of nextpnr, router1 or router2 (the target's own choice)")
    p.add_argument("--seeds", type=int, nargs="+", metavar="N", help="seeds of place and route, instead of the grid's")
    p.add_argument("--workers", type=int, default=max(1, (os.cpu_count() or 2)//2), metavar="N",
                   help="local processes (half of the cores)")
    p.add_argument("--scheduler", metavar="URL", help="work on a Dask cluster, tcp://host:port")
    p.add_argument("--limit", type=float, default=3600, metavar="S", help="seconds for each run of a tool (3600)")
    p.add_argument("--known", action="store_true", help="run no tool: only points that are cached or in --out")
    p.add_argument("--fresh", action="store_true", help="measure again what the results in --out have already")
    p.add_argument("--cache", type=Path, metavar="FOLDER", help="where results by content are kept (user's cache)")
    p.add_argument("--out", type=Path, metavar="FOLDER", help="write JSON, CSV and PNG here")
    p.add_argument("--windows", type=int, default=0, metavar="N",
                   help="windows of held-out text for fidelity; 0 leaves it out (0)")
    p.add_argument("--energy", action="store_true", help="energy proxy on the packaged model's weights and activations")
    p.add_argument("--page", type=Path, metavar="FILE", help="write the comparison page from the results in --out")
    p.add_argument("--json", action="store_true", help="print the rows as JSON")
    p.set_defaults(run=run)
    return p


def _replaces_grid(args):
    return any(getattr(args, name) for name in (*AXES, "options", "router"))


def _options(texts):
    """``name=value`` texts as a dict: true, false, integers and names."""
    options = {}
    for text in texts or ():
        name, mark, value = text.partition("=")
        if not (name and mark and value):
            raise ConfigError(f"--set takes NAME=VALUE, such as dsp=true, not {text!r}")
        digits = value.lstrip("-").isdigit()
        options[name] = {"true": True, "false": False}.get(value.lower(), int(value) if digits else value)
    return options


def _points(args):
    from mixpe.explore.grid import product

    if _replaces_grid(args):
        axes = {name: getattr(args, name) for name in AXES}
        if [] in (args.designs, args.devices):
            return []
        return product(args.designs, args.devices, **axes, options=_options(args.options), router=args.router,
                       **{"seeds": tuple(args.seeds)} if args.seeds else {})
    grids = _grids()
    if args.grid not in grids:
        raise ConfigError(f"unknown grid {args.grid!r}; known: {', '.join(grids)}")
    points = [point for point in grids[args.grid]() if (args.designs is None or point.design in args.designs)
              and (args.devices is None or point.device in args.devices)]
    if args.seeds:
        points = [type(point)(**{**vars(point), "seeds": tuple(args.seeds) if point.seeds else ()}) for point in points]
    return points


def _unknown(args):
    """Points of the designs and devices that nobody knows, which become named errors; they are taken out of `args`."""
    from mixpe.explore.points import Point

    designs, devices = _designs(), _devices()
    known  = [name for name in args.designs or designs if name in designs]
    points = [Point(design=name) for name in args.designs or () if name not in designs]
    points += [Point(design=design, device=name) for name in args.devices or () if name not in devices
               for design in known[:1]]
    if args.designs is not None:
        args.designs = known
    if args.devices is not None:
        args.devices = [name for name in args.devices if name in devices]
    return points


def label(row):
    """A row's design with its parameters, rows, group size and width of sums where they are not the usual ones."""
    options = [f"{name[2:]}={value}" for name, value in row.items() if name.startswith("p_")]
    options += [f"{name}={row[name]}" for name, usual in (("rows", 1), ("group_size", 128), ("accumulator_bits", None))
                if row.get(name, usual) != usual]
    part = "" if row.get("part", "unit") == "unit" else f" {row['part']}"
    return f"{row['design']}{part}({','.join(options)})"


def _print(rows):
    lines = []
    for row in rows:
        if row["status"] != "ok":
            lines.append((label(row), row["device"], *[""]*4, f"{row['status']}: {row['error']}"))
            continue
        lines.append((label(row), row["device"], f"{row['luts']:.0f}", f"{row['luts_per_mac']:.1f}",
            f"{row['dsps']:.0f}", "–" if row["fmax_mhz"] is None else f"{row['fmax_mhz']:.1f}", ""))
    print(table(("design", "device", "LUT", "LUT/MAC", "DSP", "MHz", ""), lines, "<<>>>><", wrap=(0, 6)))


def run(args):
    """Run the command and return its exit status."""
    from mixpe.explore import report
    from mixpe.explore.energy import energy_row
    from mixpe.explore.runner import run as explore

    cache   = None if args.cache is None else str(args.cache)
    limit_s = 0 if args.known else args.limit
    if args.page is not None and args.out is None:
        raise ConfigError("--page needs --out, the folder with the results")
    unknown = _unknown(args)
    points  = _points(args) + unknown
    if not points:
        raise ConfigError(f"no point of grid {args.grid} has these designs and devices")
    with Progress("explore", len(points), "points") as progress:
        known = {} if args.out is None or args.fresh else report.by_content(args.out)
        rows  = explore(points, args.workers, args.scheduler, cache, limit_s,
                        on_row=lambda row: progress.advance(1), known=known)
    if args.known:
        points = [point for point, row in zip(points, rows, strict=True) if row["status"] != "NotMeasured"]
        print(f"{len(points)} of {len(rows)} points are known", file=sys.stderr)
        rows = [row for row in rows if row["status"] != "NotMeasured"]
    found = []
    if args.windows:
        from mixpe.explore.arithmetic import ARITHMETIC
        with Progress("fidelity", len(ARITHMETIC), "arithmetics") as progress:
            found = fidelity(args.windows, cache, progress.advance)
    energies = []
    if args.energy:
        units = [point for point in points if point.part == "unit" and point not in unknown]
        with Progress("energy", len(units), "points") as progress:
            w, x, channels = energy_layer()
            task = partial(energy_row, w=w, x=x, cache_folder=cache, reuse=channels, limit_s=limit_s,
                           known=known)
            energies = explore(units, args.workers, args.scheduler, on_row=lambda row: progress.advance(1), task=task)
        energies = [row | {"seed": SEED} for row in energies if not args.known or row["status"] != "NotMeasured"]
    if args.out is not None:
        report.write_rows(rows, args.out, "product" if _replaces_grid(args) else args.grid)
        if energies:
            report.write_rows(energies, args.out, "energy")
        if found:
            report.write_rows(found, args.out, "fidelity")
    if args.page is not None:
        report.write_page(args.out, args.page)
    if args.json:
        print(json.dumps({"points": rows, "fidelity": found, "energy": energies}, indent=1))
    else:
        _print(rows)
        if found:
            print("\n" + table(("arithmetic", "SQNR dB", "bits per byte"), [(row["arithmetic"],
                "" if row["sqnr_db"] is None else f"{row['sqnr_db']:.2f}", f"{row['bits_per_byte']:.4f}")
                for row in found], "<>>"))
        if energies:
            print("\n" + table(("design", "device", "weighted toggles a MAC"), [(label(row), row["device"],
                f"{row['energy_per_mac']:.1f}" if row["status"] == "ok" else row["error"]) for row in energies], "<<<",
                wrap=(0, 2)))
    failed = [row for row in (*rows, *energies) if row["status"] not in RESULTS]
    for row in failed:
        print(f"failed: {label(row)}: {row['status']}: {row['error']}", file=sys.stderr)
    return 1 if failed or not any(row["status"] == "ok" for row in rows) else 0
