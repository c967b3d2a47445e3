# SPDX-License-Identifier: BSD-2-Clause
"""``mixpe sim``: start the simulated SoC and leave it running."""

import json
import sys
from argparse import BooleanOptionalAction

from mixpe.cli.exports import add_export_options, export_targets
from mixpe.errors import ToolError
from mixpe.exports import copy_exports
from mixpe_gateware.contract.config import PARAMETERS, PE_KINDS

DESCRIPTION = """\
Build the simulated SoC (once; later starts take it from a cache), start it, print its URL and leave it running until
Ctrl-C. Open it from another terminal: mixpe info --device URL, or mixpe.open(URL); or with LiteX's own client:
litex_server --uart --uart-port=socket://127.0.0.1:PORT. One client at a time. Nothing but loopback is bound, or with
--tap a network device of its own."""

EPILOG = """\
The simulation's clock stands still while no byte moves and no job runs, so it takes no processor time then; --no-idle
lets it run. With --cpu-type vexriscv LiteX's BIOS has its console in this terminal.

Builds are kept in $MIXPE_CACHE, or mixpe/sim in the user's cache folder."""

# Numbers that follow neither the memory nor what the simulation wants.
CONFIG_HELP = {each.name: each.brief + ("" if each.default is None else f" ({each.default})") for each in PARAMETERS
    if not each.is_flag and not each.is_name and each.name not in ("port_bits", "memory_bits", "inbox_bytes")}
FLAG_HELP   = {each.name: each.brief for each in PARAMETERS if each.is_flag}


def add_parser(subparsers):
    """Add the command to `argparse` sub-parsers."""
    p = subparsers.add_parser("sim", help="start the simulated SoC and leave it running", description=DESCRIPTION,
                              epilog=EPILOG)
    p.add_argument("--link", default=None, choices=("uart", "etherbone"),
                   help="uart: UARTBone on a TCP port of 127.0.0.1 (default); etherbone: LiteEth and its Etherbone "
                        "bridge on a simulated wire, behind a UDP port of 127.0.0.2")
    p.add_argument("--port", type=int, default=0, help="port; 0 takes a free one (default)")
    p.add_argument("--tap", metavar="NAME", default=None,
                   help="with --link etherbone: a tap device for the wire, made with the rights of root or in `unshare "
                        "-rn`, instead of the UDP port; the SoC is 192.168.1.50, as a board is, and this machine "
                        "192.168.1.100/24")
    p.add_argument("--memory", default=None, help="DRAM model: ddr3 (128-bit port, default), sdr (16-bit port), sdr32, "
                                                  "sdr133, ddr3half (at 1:2)")
    accelerator = p.add_argument_group("accelerator")
    for name, text in CONFIG_HELP.items():
        accelerator.add_argument(f"--{name.replace('_', '-')}", type=int, default=None, metavar="N", help=text)
    for name, text in FLAG_HELP.items():
        accelerator.add_argument(f"--{name.replace('_', '-')}", action=BooleanOptionalAction, default=None, help=text)
    accelerator.add_argument("--pe", default=None, choices=PE_KINDS,
                             help=f"processing element ({PE_KINDS[0]})")
    accelerator.add_argument("--no-accelerator", action="store_true", help="the bare SoC")
    litex = p.add_argument_group("simulation, as LiteX's litex_sim takes them")
    litex.add_argument("--cpu-type", default=None, help="CPU beside the accelerator: vexriscv (none)")
    litex.add_argument("--jobs", type=int, default=None, metavar="N", help="compiler processes (one per core)")
    litex.add_argument("--threads", type=int, default=None, metavar="N", help="simulation threads (1)")
    litex.add_argument("--opt-level", default=None, metavar="O", help="optimisation of the C++ compiler (O3)")
    litex.add_argument("--trace", action="store_true", help="record all signals in sim.vcd")
    litex.add_argument("--trace-fst", action="store_true", help="record all signals in sim.fst")
    litex.add_argument("--trace-start", type=float, default=None, metavar="PS", help="first picosecond recorded (0)")
    litex.add_argument("--trace-end", type=float, default=None, metavar="PS", help="last picosecond recorded (-1: end)")
    litex.add_argument("--coverage", action="store_true", help="record Verilator's coverage in sim.cov")
    litex.add_argument("--sdram-verbosity", type=int, default=None, metavar="N",
                       help="1: print violations of DRAM timings, 2: and each command (0)")
    add_export_options(p, "sim.gtkw beside the trace")
    p.add_argument("--no-idle", action="store_true", help="let the clock run while nothing happens")
    p.add_argument("--run-folder", metavar="PATH",
                   help="where traces are written (a temporary folder; with --trace… the current one)")
    p.add_argument("--json", action="store_true", help="print one JSON object instead of text")
    p.set_defaults(run=run)
    return p


def _options(args):
    names = ["memory", "link", "cpu_type", "jobs", "threads", "opt_level", "sdram_verbosity", "pe",
             *FLAG_HELP, *CONFIG_HELP]
    options = {name: getattr(args, name) for name in names if getattr(args, name) is not None}
    for name in ("trace_start", "trace_end"):
        if getattr(args, name) is not None:
            options[name] = int(getattr(args, name))
    for name in ("trace", "trace_fst", "coverage"):
        if getattr(args, name):
            options[name] = True
    if options.get("cpu_type") in ("None", "none"):
        del options["cpu_type"]
    return {**options, "accelerator": not args.no_accelerator}


def run(args):
    """Start the simulation, print where it is, wait for its end; returns the exit status."""
    try:
        from mixpe_sim.process import open_sim, terminate_on_signals
        from mixpe_sim.savefile import place_savefile
    except ModuleNotFoundError as error:
        raise ToolError(f"the simulation needs the package {error.name}; install it: pip install 'mixpe[gateware]'"
                        ) from error
    options = _options(args)
    traced = args.trace or args.trace_fst or args.gtkwave_savefile
    folder = args.run_folder or ("." if traced or args.coverage else None)
    with open_sim(port=args.port, idle=not args.no_idle, foreground="cpu_type" in options, run_folder=folder,
                  tap=args.tap, **options) as process:
        terminate_on_signals(process)
        copy_exports(process.build.folder, export_targets(args))
        if args.gtkwave_savefile:
            place_savefile(process.build.folder, process.folder)
        if args.json:
            print(json.dumps({"url": process.url, "port": process.port, "pid": process.pid,
                              "csr_csv": str(process.build.folder / "csr.csv"), "folder": str(process.folder),
                              "cached": process.build.is_hit, "build_s": round(process.build.seconds, 1)}), flush=True)
        else:
            print(process.url, flush=True)
            print("the simulated SoC is running; Ctrl-C stops it", file=sys.stderr, flush=True)
        try:
            while process.wait(1.0) is None:
                pass
        except KeyboardInterrupt:
            print(file=sys.stderr)
            return 0
        return process.wait(0) or 0
