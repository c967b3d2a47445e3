# SPDX-License-Identifier: BSD-2-Clause
"""``mixpe models``: the models that have a name, and what installs them."""

import json

from mixpe.formats.packaged import MODELS
from mixpe.terminal import table

DESCRIPTION = """\
List the models that --model takes by name: the one in this package, and those that other Python packages bring. Any
folder or file of a model can be given instead; docs/formats.md says which."""


def add_parser(subparsers):
    """Add the command to `argparse` sub-parsers."""
    parser = subparsers.add_parser("models", help="models that have a name", description=DESCRIPTION)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    return parser


def run(args):
    """Print the list; returns the exit status."""
    found = [(model, model.path()) for model in MODELS]
    if args.json:
        print(json.dumps({model.name: {"what": model.what, "path": None if path is None else str(path),
            "install": model.install} for model, path in found}, indent=1))
        return 0
    print(table(("name", "what", "where"), [(model.name, model.what, str(path or f"not installed: {model.install}"))
        for model, path in found], "<<<", wrap=(1, 2)))
    return 0
