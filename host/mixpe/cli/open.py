# SPDX-License-Identifier: BSD-2-Clause
"""``mixpe open``: a Python prompt with an open device."""

import code
import sys

import numpy as np

import mixpe
from mixpe.cli.info import device_text
from mixpe.cli.prompt import history_file, line_editing
from mixpe.errors import MixpeError

DESCRIPTION = """\
Open a device and give a Python prompt with it: `device`, and `mixpe` and `np`. Tab completes names, the arrow keys
find earlier lines, also those of the last time. An error of the device is one line there, and the device stays open.
Ctrl-D closes it. With -c the statements are run instead, and an error ends them."""

EXAMPLE = """\
>>> matrix = mixpe.quantize(np.random.randn(64, 128).astype(np.float32))
>>> layer = device.load(matrix)
>>> layer(np.ones((1, 128), np.float32))"""


class Prompt(code.InteractiveConsole):
    """A console that shows the product's own errors in one line."""

    def showtraceback(self):
        """Show the error that is being handled."""
        error = sys.exc_info()[1]
        if isinstance(error, MixpeError):
            self.write(f"{type(error).__name__}: {' '.join(str(error).split())}\n")
        else:
            super().showtraceback()


def add_parser(subparsers):
    """Add the command to `argparse` sub-parsers."""
    parser = subparsers.add_parser("open", help="a Python prompt with an open device", description=DESCRIPTION)
    parser.add_argument("url", metavar="URL",
                        help="reference, sim, serial:///dev/…, serial+tcp://host:port, etherbone://host")
    parser.add_argument("-c", metavar="CODE", dest="code", help="run these statements and leave")
    return parser


def run(args):
    """Open the device and hand it over; returns the exit status."""
    with mixpe.open(args.url) as device:
        names = {"device": device, "mixpe": mixpe, "np": np}
        if args.code is not None:
            exec(compile(args.code, "-c", "exec"), names)  # our user's own statements, as with python -c
            return 0
        with line_editing(history_file("open"), names):
            Prompt(names).interact(f"{device_text(device.info())}\n\n{EXAMPLE}", exitmsg="closed")
    return 0

