# SPDX-License-Identifier: BSD-2-Clause
"""``mixpe flash``: load a bitstream into a board."""

import sys

DESCRIPTION = """\
Load the newest bitstream of a board, as `mixpe build` left it, with openFPGALoader. The FPGA on the cable must be the
board's, and the bitstream must speak the contract of this version of mixpe. An OrangeCrab is programmed by its
bootloader: that keeps the bitstream in flash in any case, and the FPGA is not checked."""


def add_parser(subparsers):
    """Add the command to `argparse` sub-parsers."""
    p = subparsers.add_parser("flash", help="load a bitstream into a board", description=DESCRIPTION)
    p.add_argument("board", metavar="BOARD", help="a board that `mixpe boards` lists")
    where = p.add_mutually_exclusive_group()
    where.add_argument("--volatile", dest="persistent", action="store_false", default=None,
                       help="into the FPGA, until power is off (default where the board can)")
    where.add_argument("--persistent", action="store_true", default=None,
                       help="into the flash from which the FPGA starts")
    p.add_argument("--bitstream", metavar="PATH", help="this file instead of the newest in the build folder")
    p.add_argument("--build-dir", default="build", metavar="PATH", help="folder of all builds (build)")
    p.add_argument("--force", action="store_true", help="load --bitstream although what it is cannot be checked")
    return p


def run(args):
    """Load it; returns the exit status."""
    from mixpe_boards import flash
    from mixpe_boards.registry import find_board
    board = find_board(args.board)
    if not args.bitstream:
        path, report = flash.find_bitstream(board, args.build_dir)
    elif args.force:
        path, report = args.bitstream, flash.known_facts(args.bitstream, board)
    else:
        path, report = args.bitstream, flash.check_bitstream(args.bitstream, board)
    warning = flash.timing_warning(path, report)
    if warning:
        print(f"mixpe: warning: {warning}", file=sys.stderr)
    in_flash = flash.flash_board(board, path, persistent=args.persistent)
    kept = "kept in flash; it starts with the board" if in_flash else "loaded until power is off"
    print(f"{board.title}: {path} {kept}")
    print(f"open it with: mixpe info --device '{flash.device_url(board, report)}'")
    return 0
