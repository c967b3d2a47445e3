# SPDX-License-Identifier: BSD-2-Clause
"""``mixpe generate``: a language model writes text, its linear layers on a device."""

import json
import sys
from pathlib import Path

import numpy as np

from mixpe.lm import LlamaModel, calibration, checkpoint
from mixpe.lm.deployment import LINKS, Deployment
from mixpe.models import corpus

DESCRIPTION = """\
Continue a text, byte by byte. Every linear layer (attention projections, MLP, output head) runs on the device;
normalisation, attention and sampling run on the host. Text goes to standard output as it is made, what it cost to
standard error."""


def add_parser(subparsers):
    """Add the command to `argparse` sub-parsers."""
    p = subparsers.add_parser("generate", help="a language model writes text through the device",
                              description=DESCRIPTION)
    p.add_argument("--device", default="reference", metavar="URL",
                   help="reference (default), sim, serial:///dev/…, serial+tcp://host:port, etherbone://host; "
                        "'none' computes in float32 on the host")
    p.add_argument("--prompt", default="def ", help="text to continue ('def ')")
    p.add_argument("--tokens", type=int, default=128, metavar="N", help="bytes to make (128)")
    p.add_argument("--model", type=Path, metavar="PATH", help="model folder or .safetensors file (the packaged one)")
    p.add_argument("--group-size", type=int, default=128, metavar="G", help="weights that share a scale (128)")
    p.add_argument("--activations", default="a8", choices=("a8", "a16"), help="format of the activations (a8)")
    p.add_argument("--quantiser", default="nearest", choices=("nearest", "gptq"),
                   help="round the weights to nearest, or calibrate them on the training text")
    p.add_argument("--temperature", type=float, default=0.0, metavar="T", help="0 takes the likeliest byte (default)")
    p.add_argument("--top-p", type=float, default=1.0, metavar="P", help="draw from the likeliest share P (1)")
    p.add_argument("--seed", type=int, default=0, metavar="S", help="of the draws (0)")
    p.add_argument("--board-mhz", type=float, default=50.0, metavar="F",
                   help="clock of the board that the cost is modelled for, in MHz (50)")
    p.add_argument("--board-link", default="serial-3M", choices=LINKS, help="its link (serial-3M)")
    p.add_argument("--json", action="store_true", help="print one JSON object at the end instead of text as it is made")
    p.set_defaults(run=run)
    return p


def _quantiser(args):
    if args.quantiser == "nearest":
        return None
    config, tensors = checkpoint.read(args.model)
    text = np.frombuffer(corpus.load("train").joined(), np.uint8)
    windows = calibration.calibration_windows(text, config.max_position_embeddings)
    return calibration.quantiser(calibration.calibrate(config, tensors, windows), args.group_size)


def run(args):
    """Generate as the options say; returns the exit status."""
    board = Deployment(args.board_mhz * 1e6, args.board_link)
    device = None if args.device == "none" else args.device
    quantiser = None if device is None else _quantiser(args)
    with LlamaModel.from_pretrained(args.model, device, group_size=args.group_size, activations=args.activations,
                                    quantiser=quantiser) as model:
        # Bytes that a shell could not pass as UTF-8 arrive as surrogates; they become bytes again.
        prompt = args.prompt.encode("utf-8", "surrogateescape")
        text = model.generate(prompt, args.tokens, temperature=args.temperature, top_p=args.top_p, seed=args.seed)
        out = sys.stdout.buffer
        if not args.json:
            out.write(prompt)
        made = bytearray()
        for byte in text:
            made += byte
            if not args.json:
                out.write(byte)
                out.flush()
        statistics = text.statistics()
    if args.json:
        print(json.dumps({
            "device": args.device, "prompt": prompt.decode("utf-8", "backslashreplace"),
            "text": made.decode("utf-8", "backslashreplace"), "tokens": list(made),
            "statistics": statistics.to_dict(), "board": board.to_dict(statistics),
        }, indent=1))
        return 0
    out.write(b"\n")
    out.flush()
    print(f"\n{statistics.table()}\n{board.text(statistics)}", file=sys.stderr)
    return 0
