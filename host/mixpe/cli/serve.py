# SPDX-License-Identifier: BSD-2-Clause
"""``mixpe serve``: a model on a device for OpenAI's clients and for a browser."""

import importlib
import os
import sys

from mixpe.cli.modeloptions import add_model_options, model_options
from mixpe.errors import ConfigError, MixpeError
from mixpe.serve.address import is_loopback

DESCRIPTION = """\
Serve a model on a device: OpenAI's /v1/chat/completions, /v1/completions and /v1/models, a page with a chat and what
the device does at /, /health, and /metrics for Prometheus. Clients on this machine alone reach it, unless --host says
otherwise; then they need a key. Requests of several clients are decoded together."""

KEY = "MIXPE_API_KEY"


def add_parser(subparsers):
    """Add the command to `argparse` sub-parsers."""
    p = subparsers.add_parser("serve", help="a model for OpenAI's clients and for a browser", description=DESCRIPTION)
    p.add_argument("--model", default="smollm2", metavar="MODEL", help="name, folder or file (smollm2)")
    p.add_argument("--name", metavar="NAME", help="under which clients know it (the last part of MODEL)")
    add_model_options(p, decoder="host")
    p.add_argument("--host", default="127.0.0.1", metavar="ADDRESS", help="to listen on (127.0.0.1)")
    p.add_argument("--port", type=int, default=8000, metavar="N", help="0 takes a free one (8000)")
    p.add_argument("--api-key", metavar="KEY", help=f"that clients must give (${KEY}; needed beyond this machine)")
    p.add_argument("--slots", type=int, metavar="N",
                   help="requests that are decoded together (rows of the array, half as many with A16; 4 without "
                        "one, and at least 4 with the device's decoder)")
    p.add_argument("--queue", type=int, default=32, metavar="N", help="requests that may wait besides (32)")
    p.add_argument("--check-s", type=float, default=60, metavar="S",
                   help="while idle, look at weights in the device's memory that were not looked at for so many "
                        "seconds, and send damaged ones again; 0: never (60)")
    return p


def run(args):
    """Serve until interrupted; returns the exit status."""
    key = args.api_key or os.environ.get(KEY)
    if not is_loopback(args.host) and not key:
        raise ConfigError(f"{args.host} is reached from other machines: give --api-key, or set {KEY}")
    for name, value, least in (("--slots", args.slots, 1), ("--queue", args.queue, 1), ("--port", args.port, 0),
                              ("--check-s", args.check_s, 0)):
        if value is not None and value < least:
            raise ConfigError(f"{name} must be at least {least}, not {value}")
    server = importlib.import_module("mixpe.serve.server")  # which needs the extra `serve`; `mixpe --help` does not
    try:
        server.serve(args, model_options(args), key, lambda text: print(text, file=sys.stderr, flush=True))
    except OSError as error:
        raise MixpeError(f"cannot listen on {args.host}:{args.port}: {error.strerror}") from error
    return 0
