# SPDX-License-Identifier: BSD-2-Clause
"""``mixpe serve``: a model on a device for OpenAI's clients and for a browser."""

import importlib
import os
import sys

from mixpe.errors import ConfigError, MixpeError
from mixpe.lm.model import DECODERS
from mixpe.plan.kinds import KINDS
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
    p.add_argument("--device", default="reference", metavar="URL",
                   help="reference (default), sim, serial:///dev/…, serial+tcp://host:port, etherbone://host; "
                        "'none' computes in float32 on the host")
    p.add_argument("--host", default="127.0.0.1", metavar="ADDRESS", help="to listen on (127.0.0.1)")
    p.add_argument("--port", type=int, default=8000, metavar="N", help="0 takes a free one (8000)")
    p.add_argument("--api-key", metavar="KEY", help=f"that clients must give (${KEY}; needed beyond this machine)")
    p.add_argument("--slots", type=int, metavar="N",
                   help="requests that are decoded together (rows of the array, half as many with A16; 4 without "
                        "one, and at least 4 with the device's decoder)")
    p.add_argument("--queue", type=int, default=32, metavar="N", help="requests that may wait besides (32)")
    p.add_argument("--activations", choices=KINDS, help="format of the activations (a16)")
    p.add_argument("--group-size", type=int, default=128, metavar="G",
                   help="weights that share a scale, where the model has floats (128)")
    p.add_argument("--bits", type=int, default=4, choices=(4, 8), help="of a weight, where the model has floats (4)")
    p.add_argument("--head-bits", type=int, choices=(4, 8),
                   help="round the output head to so many bits, whatever it is stored as")
    p.add_argument("--check-s", type=float, default=60, metavar="S",
                   help="while idle, look at weights in the device's memory that were not looked at for so many "
                        "seconds, and send damaged ones again; 0: never (60)")
    p.add_argument("--decoder", default="host", choices=DECODERS,
                   help="where all between the linear layers runs: on the host (host), on the device's decoder, where "
                        "tokens alone cross the link (device), or there if it can (auto)")
    p.add_argument("--context", type=int, metavar="N", help="positions of a text on such a device (what it has)")
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
        server.serve(args, key, lambda text: print(text, file=sys.stderr, flush=True))
    except OSError as error:
        raise MixpeError(f"cannot listen on {args.host}:{args.port}: {error.strerror}") from error
    return 0
