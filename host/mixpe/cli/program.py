# SPDX-License-Identifier: BSD-2-Clause
"""``mixpe program``: what a device with a decoder does for a token, record by record."""

import json

from mixpe.lm import checkpoint
from mixpe.lm.fit import Rounding
from mixpe.lm.ondevice import compile_checkpoint
from mixpe.lm.weights import Weights
from mixpe.program import cycles
from mixpe.program.compile import ACTIVATIONS
from mixpe.program.show import text, to_dict
from mixpe.terminal import paragraph
from mixpe_gateware.contract.config import Config
from mixpe_gateware.contract.timing import memory_timing

DESCRIPTION = """\
Compile a model for the decoder of a device and print the program: its records in order, which engine works, what each
waits for, where operands and results lie, and what is added for the token and its position; and the cycles that a cycle
model gives the last position's token. No device is needed, and of the model's file only shapes are read."""


def add_parser(subparsers):
    """Add the command to `argparse` sub-parsers."""
    p = subparsers.add_parser("program", help="print a model's program for the decoder on a device",
                              description=DESCRIPTION)
    p.add_argument("model", nargs="?", metavar="MODEL", help="name, folder or file (the packaged byte model)")
    p.add_argument("--group-size", type=int, default=128, metavar="G",
                   help="weights that share a scale, where the model has floats (128)")
    p.add_argument("--bits", type=int, default=4, choices=(4, 8), help="of a weight, where the model has floats (4)")
    p.add_argument("--head-bits", type=int, choices=(4, 8), help="round the output head to so many bits")
    p.add_argument("--head-group-size", type=int, default=32, metavar="G",
                   help="weights of such a head that share a scale (32)")
    p.add_argument("--activations", default="a16", choices=ACTIVATIONS, help="format of the activations (a16)")
    p.add_argument("--context", type=int, metavar="N", help="positions of a session (what model and device have)")
    p.add_argument("--context-max", type=int, default=2048, metavar="N", help="positions that the device has (2048)")
    p.add_argument("--rows", type=int, default=8, metavar="R", help="rows of its array (8)")
    p.add_argument("--port-bits", type=int, default=128, metavar="B", help="width of a beat (128)")
    p.add_argument("--prompt", action="store_true", help="print the records of a prompt's passes of several tokens")
    p.add_argument("--json", action="store_true", help="print one JSON object")
    p.set_defaults(run=run)
    return p


def run(args):
    """Print the program; returns the exit status."""
    config  = Config(decoder=True, minima=True, rows=args.rows, port_bits=args.port_bits, context_max=args.context_max)
    opened  = checkpoint.opened(args.model)
    head    = args.head_bits and (args.head_bits, args.head_group_size)
    program = compile_checkpoint(opened.architecture, Weights(opened.tensors), config,
        Rounding(args.bits, args.group_size, head), args.activations, args.context)
    if args.prompt:
        program = program.block or program
    taken = cycles.to_dict(program, config, memory_timing(config), program.context - 1)
    print(json.dumps({**to_dict(program), "cycles": taken}, indent=1) if args.json else
        f"{text(program)}\n{paragraph(cycles.text(taken))}")
    return 0
