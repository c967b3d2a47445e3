# SPDX-License-Identifier: BSD-2-Clause
"""``mixpe selftest``: test a device from the link to the array."""

import json

import mixpe
from mixpe.terminal import paragraph, size_text

DESCRIPTION = """\
Test a device: the link through a scratch register, data and address lines of the memory, patterns in blocks over the
memory, the checksum unit, and the array in all its modes against the numpy reference, bit for bit. The tests stop at
the first failure. What was in the device's memory is lost. Exit code 1 when a test fails."""


def add_parser(subparsers):
    """Add the command to `argparse` sub-parsers."""
    parser = subparsers.add_parser("selftest", help="test a device from the link to the array", description=DESCRIPTION)
    parser.add_argument("--device", metavar="URL", required=True,
                        help="reference, sim, serial:///dev/…, serial+tcp://host:port, etherbone://host")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    return parser


def run(args):
    """Run it; returns 0 when all is well, else 1."""
    from mixpe.selftest import CHECKS, run_selftest
    done = []
    with mixpe.open(args.device) as device:
        info = device.info()
        if not args.json:
            print(paragraph(f"{args.device}: {info['rows']} rows x {info['lanes']} lanes at "
                f"{info['clock_hz']/1e6:g} MHz, {size_text(info['mem_bytes'])} of memory, contract "
                f"{info['contract_digest']}"))
        for check in run_selftest(device):
            done.append(check)
            if not args.json:
                print(paragraph(str(check), " "*6), flush=True)
    passed = len(done) == len(CHECKS) and all(check.ok for check in done)
    if args.json:
        print(json.dumps({"device": info, "passed": passed, "checks": [vars(check) for check in done]}, indent=1))
    elif not passed:
        print(f"failed; {len(CHECKS) - len(done)} tests were not made")
    return 0 if passed else 1
