# SPDX-License-Identifier: BSD-2-Clause
"""``mixpe boards``: the boards, what is on them, and what is known of their bitstreams."""

import json

DESCRIPTION = """\
List the boards: FPGA, memory with its peak bandwidth, host links, array shape, clock, and status: routed with open
tools (with the frequency reached), routed but slower than its clock, too large, elaborates only, or needs the vendor's
tool."""


def add_parser(subparsers):
    """Add the command to `argparse` sub-parsers."""
    parser = subparsers.add_parser("boards", help="list the boards", description=DESCRIPTION)
    parser.add_argument("--json", action="store_true", help="print one JSON list")
    return parser


def run(args):
    """Print the table; returns the exit status."""
    from mixpe_boards.table import board_rows, text_table
    rows = board_rows()
    if args.json:
        print(json.dumps(rows, indent=1))
    else:
        print(text_table(rows))
    return 0
