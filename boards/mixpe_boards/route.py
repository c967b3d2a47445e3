# SPDX-License-Identifier: BSD-2-Clause
"""Route boards with open tools and keep what came out: ``python -m mixpe_boards.route [BOARD …]``.

Writes ``boards/results.json``, from which `mixpe boards` and the table of ``docs/boards.md`` are made. A board takes
minutes to an hour. A design that misses its clock, does not fit or is not routed in time is recorded as such, and the
exit code is 1. What is built with ``--link etherbone`` is kept beside what is built with the board's first link.
"""

import argparse
import json
import sys
from pathlib import Path

from mixpe.errors import MixpeError, ToolError
from mixpe.tools import DoesNotFit
from mixpe_boards.board import LINKS
from mixpe_boards.build import NotRouted, build_board
from mixpe_boards.registry import find_board
from mixpe_boards.table import RESULTS, board_rows, load_results, markdown_table, result_key
from mixpe_gateware.contract.digest import digest

DEFAULT = ("icebreaker", "colorlight_i5", "colorlight_i9", "tang_nano_20k", "orangecrab", "ecpix5", "ulx3s",
    "versa_ecp5")
SEEDS   = (1, 2, 3)
DOCUMENT = Path(__file__).parents[2]/"docs"/"boards.md"
BEGIN, END = "<!-- routed: begin -->", "<!-- routed: end -->"
KEPT = ("fpga", "link", "framed", "config", "macs_per_cycle", "clock_hz", "contract_digest", "seed", "tools", "seconds",
    "utilisation", "fmax_mhz", "timing_met", "error")


def route_board(board, root, seeds, say, link=None):
    """Route one board; returns what is kept of it.

    Raises
    ------
    ConfigError
        The board has no such link.
    ToolError
        A tool is missing or failed otherwise than by running out of cells or time.
    """
    try:
        result = build_board(board, root, link=link, seeds=seeds, force=True, say=say)
    except (DoesNotFit, NotRouted) as error:
        what   = "does not fit: " if isinstance(error, DoesNotFit) else ""
        result = {"fpga": board.fpga, "link": link or board.links[0], "config": board.config.to_dict(),
            "framed": board.framed_on(link), "clock_hz": board.clock_hz,
            "contract_digest": f"{digest(board.config.parts):016x}", "seed": seeds[0],
            "timing_met": False, "error": f"{what}{error}"}
    return {name: result[name] for name in KEPT if name in result}


def write_document(path, table):
    """Put the table between its marks in the documentation, where there is one."""
    if not path.exists():
        return
    text = path.read_text(encoding="utf-8")
    if BEGIN not in text or END not in text:
        raise ToolError(f"{path} lacks the marks {BEGIN} and {END}")
    head, _, rest = text.partition(BEGIN)
    path.write_text(f"{head}{BEGIN}\n{table}\n{END}{rest.partition(END)[2]}", encoding="utf-8")


def main(argv=None):
    """Route, record, print; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m mixpe_boards.route", description=__doc__.split("\n\n")[0])
    parser.add_argument("boards", nargs="*", metavar="BOARD", help=f"default: {' '.join(DEFAULT)}")
    parser.add_argument("--link", choices=LINKS,
                        help="host link (each board's first); without a BOARD, of the default ones that have it")
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS, metavar="N", help="tried until the clock is met")
    parser.add_argument("--build-dir", default="build", metavar="PATH")
    parser.add_argument("--results", default=str(RESULTS), metavar="PATH", help="the committed table")
    args = parser.parse_args(argv)
    try:
        boards = [find_board(name) for name in args.boards or DEFAULT]
        if args.link and not args.boards:
            boards = [board for board in boards if args.link in board.links]
        for board in boards:
            key = result_key(board, args.link)
            print(f"{key}: {board.config.name} at {board.clock_hz/1e6:g} MHz", flush=True)
            kept = route_board(board, args.build_dir, tuple(args.seeds), lambda text: print(f"  {text}", flush=True),
                               args.link)
            results = load_results(args.results) | {key: kept}  # others may have been routed beside this one
            Path(args.results).write_text(json.dumps(results, indent=1, sort_keys=True) + "\n", encoding="utf-8")
            table = markdown_table(board_rows(results))
            if Path(args.results) == RESULTS:
                write_document(DOCUMENT, table)
            reached = f"{kept['fmax_mhz']} MHz, {'met' if kept['timing_met'] else 'NOT met'}" if "fmax_mhz" in kept \
                else kept["error"]
            print(f"  {reached}", flush=True)
    except MixpeError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(table)
    return 0 if all(results[result_key(board, args.link)]["timing_met"] for board in boards) else 1


if __name__ == "__main__":
    sys.exit(main())
