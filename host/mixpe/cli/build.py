# SPDX-License-Identifier: BSD-2-Clause
"""``mixpe build``: make a board's bitstream."""

import argparse
import json
import sys

from mixpe.cli.exports import add_export_options, export_targets

DESCRIPTION = """\
Make the bitstream of a board with the open tools that pip installs (pip install 'mixpe[fpga]'), or with the vendor's
where only that exists. The result is build/BOARD_SHAPE/BOARD_SHAPE_DIGEST.bit (.bin, .fs), where DIGEST is the contract
that the bitstream speaks, with a JSON report beside it: cells used, frequency reached, versions, seed. A design that
misses its clock is refused. The tools take minutes to an hour; the first call of each takes half a minute more."""


def add_parser(subparsers):
    """Add the command to `argparse` sub-parsers."""
    p = subparsers.add_parser("build", help="make a board's bitstream", description=DESCRIPTION)
    p.add_argument("board", metavar="BOARD", help="a board that `mixpe boards` lists")
    p.add_argument("--no-compile", action="store_true", help="write Verilog, constraints and scripts only")
    p.add_argument("--seed", type=int, default=1, metavar="N", help="of the placer (1)")
    p.add_argument("--force", action="store_true", help="keep a bitstream that misses its clock")
    p.add_argument("--link", choices=("uart", "etherbone"), help="host link (the board's first)")
    p.add_argument("--ip", default="192.168.1.50", metavar="ADDRESS", help="of the Etherbone link (192.168.1.50)")
    p.add_argument("--rows", type=int, metavar="N", help="rows of the array (the board's)")
    p.add_argument("--clock-mhz", type=float, metavar="F", help="system clock (the board's)")
    p.add_argument("--fused", action=argparse.BooleanOptionalAction, default=None,
                   help="scale-accumulate in gateware, or not (the board's)")
    p.add_argument("--decoder", action="store_true",
                   help="with the decoder: the device computes a model's tokens by itself")
    p.add_argument("--build-dir", default="build", metavar="PATH", help="folder of all builds (build)")
    add_export_options(p, "top.gtkw in the build's folder, for a simulation of its Verilog")
    p.add_argument("--json", action="store_true", help="print the report as one JSON object")
    return p


def _say(text):
    if sys.stderr.isatty():
        print(text, file=sys.stderr, flush=True)


def run(args):
    """Build; returns the exit status."""
    from mixpe_boards.build import build_board
    from mixpe_boards.registry import find_board
    changes = {"rows": args.rows, "fused": args.fused, "decoder": args.decoder or None,
        "clock_hz": None if args.clock_mhz is None else round(args.clock_mhz*1e6)}
    result = build_board(find_board(args.board), args.build_dir, changes=changes, link=args.link, ip_address=args.ip,
        compile_gateware=not args.no_compile, seeds=(args.seed,), force=args.force,
        exports=export_targets(args), savefile=args.gtkwave_savefile, say=_say)
    if args.json:
        print(json.dumps(result, indent=1))
        return 0
    print(f"{result['title']}, {result['config']['rows']} rows, contract {result['contract_digest']}")
    for name, (used, available) in result.get("utilisation", {}).items():
        print(f"  {name:<6} {used:>7} of {available:>7}  {100*used/available:3.0f} %")
    if "fmax_mhz" in result:
        met = "" if result["timing_met"] else "  TIMING IS NOT MET"
        print(f"  clock  {result['clock_hz']/1e6:g} MHz, reached {result['fmax_mhz']} MHz{met}")
    print(f"  {result.get('bitstream') or result['folder']}")
    return 0
