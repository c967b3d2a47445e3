# SPDX-License-Identifier: BSD-2-Clause
"""Synthesise a board and test the netlist at its pins, over its link, with the real driver.

Ends with 1 where a test fails. With ``--build-dir`` the netlist that `mixpe build` or `mixpe_boards.route` left there
is taken, the one that was routed.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

import mixpe
from mixpe.errors import MixpeError
from mixpe.selftest import CHECKS, run_selftest
from mixpe.terminal import paragraph
from mixpe_boards.build import NETLIST, synthesise_board
from mixpe_boards.registry import find_board
from mixpe_sim.netlist.build import build_netlist
from mixpe_sim.netlist.pins import PINS, pins_of
from mixpe_sim.netlist.process import NetlistProcess


def parser():
    made = argparse.ArgumentParser(prog="python -m mixpe_sim.netlist", description=__doc__.split("\n\n")[0])
    made.add_argument("boards", nargs="*", metavar="BOARD", help=f"of {', '.join(PINS)} (all)")
    made.add_argument("--skip", nargs="+", choices=[name for name, _ in CHECKS], default=(), metavar="TEST",
        help="tests of the selftest that are not made; memory takes longest")
    made.add_argument("--build-dir", metavar="PATH", help="where the boards were built")
    return made


def check_board(name, root, skip=()):
    """Test one board's netlist: whether all tests passed."""
    board = find_board(name)
    pins  = pins_of(name)
    start = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="mixpe-netlist-") as folder:
        path  = (Path(root)/board.build_name()/"gateware"/NETLIST if root
                 else synthesise_board(board, folder, say=lambda text: print(text, flush=True)))
        build = build_netlist(board, pins, path)
    cells = ", ".join(f"{count} {name}" for name, count in build.cells.most_common())
    print(paragraph(f"{board.title}: {cells}; built in "
        f"{time.monotonic() - start:.0f} s"), flush=True)
    done = []
    with NetlistProcess(build) as process, mixpe.open(process.url, verify="all") as device:
        for check in run_selftest(device, skip):
            done.append(check)
            print(paragraph(str(check), " "*6), flush=True)
        traffic = device.link_bytes()
        print(f"{traffic['sent']:,} bytes to the pins, {traffic['received']:,} from them")
    return len(done) == len(CHECKS) - len(set(skip)) and all(check.ok for check in done)


def main(argv=None):
    """Read the command line and test; returns the exit code."""
    args = parser().parse_args(argv)
    try:
        passed = [check_board(name, args.build_dir, args.skip) for name in args.boards or PINS]
    except MixpeError as error:
        print(f"mixpe_sim.netlist: {error}", file=sys.stderr)
        return 2
    return 0 if all(passed) else 1


if __name__ == "__main__":
    sys.exit(main())
