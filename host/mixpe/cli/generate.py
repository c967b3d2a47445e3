# SPDX-License-Identifier: BSD-2-Clause
"""``mixpe generate``: a language model writes text, its linear layers on a device."""

import json
import sys

import numpy as np

from mixpe.cli.modeloptions import add_model_options, add_sampling_options, model_options
from mixpe.errors import ModelError
from mixpe.lm import LlamaModel, calibration, checkpoint
from mixpe.lm.deployment import LINKS, Deployment
from mixpe.lm.text import tokenizer_of
from mixpe.lm.weights import Weights
from mixpe.models import corpus
from mixpe.terminal import paragraph
from mixpe.text import ByteTokenizer

DESCRIPTION = """\
Continue a text. Every linear layer (attention projections, MLP, output head) runs on the device;
normalisation, attention and the choice of the token run there too if it has a decoder, else on the host. Text goes to
standard output as it is made, what it cost to standard error."""


def add_parser(subparsers):
    """Add the command to `argparse` sub-parsers."""
    p = subparsers.add_parser("generate", help="a language model writes text through the device",
                              description=DESCRIPTION)
    add_model_options(p, activations="a16, for the packaged model a8")
    add_sampling_options(p)
    p.add_argument("--prompt", default="def ", help="text to continue ('def ')")
    p.add_argument("--tokens", type=int, default=128, metavar="N", help="most tokens to make (128)")
    p.add_argument("--model", metavar="MODEL", help="name, folder or file (the packaged byte model); see mixpe models")
    p.add_argument("--quantiser", default="nearest", choices=("nearest", "gptq"),
                   help="round the weights to nearest, or calibrate them on the training text")
    p.add_argument("--board-mhz", type=float, default=50.0, metavar="F",
                   help="clock of the board that the cost is modelled for, in MHz (50)")
    p.add_argument("--board-link", default="serial-3M", choices=LINKS, metavar="LINK",
                   help=f"its link: {', '.join(LINKS)} (serial-3M)")
    p.add_argument("--json", action="store_true", help="print one JSON object at the end instead of text as it is made")
    p.set_defaults(run=run)
    return p


def _quantiser(args, opened, byte_level):
    if args.quantiser == "nearest":
        return None
    if not byte_level:
        raise ModelError("--quantiser gptq is calibrated on bytes, and this model has a tokenizer; leave it out")
    config = opened.architecture
    text = np.frombuffer(corpus.load("train").joined(), np.uint8)
    windows = calibration.calibration_windows(text, config.max_position_embeddings)
    return calibration.quantiser(calibration.calibrate(config, Weights(opened.tensors), windows), args.group_size)


class _Written:
    """A text as bytes: what was given and what is made, from a byte-level model or from one with a tokenizer."""

    def __init__(self, model, args, byte_level):
        sampling = {"temperature": args.temperature, "top_p": args.top_p, "seed": args.seed}
        # Bytes that a shell could not pass as UTF-8 arrive as surrogates; they become bytes again.
        self.prompt = args.prompt.encode("utf-8", "surrogateescape")
        if byte_level:
            self.generation = model.generate(self.prompt, args.tokens, **sampling)
        else:
            self.generation = model.write(args.prompt, args.tokens, **sampling)

    def __iter__(self):
        return (piece if isinstance(piece, bytes) else piece.encode() for piece in self.generation)


def run(args):
    """Generate as the options say; returns the exit status."""
    board = Deployment(args.board_mhz * 1e6, args.board_link)
    opened     = checkpoint.opened(args.model)
    tokenizer  = tokenizer_of(opened)  # what is missing is said before the weights are loaded
    byte_level = isinstance(tokenizer, ByteTokenizer)
    device = None if args.device == "none" else args.device
    quantiser = None if device is None else _quantiser(args, opened, byte_level)
    with LlamaModel.from_pretrained(opened, device, quantiser=quantiser, **model_options(args)) as model:
        model.tokenizer = tokenizer
        text = _Written(model, args, byte_level)
        out = sys.stdout.buffer
        if not args.json:
            out.write(text.prompt)
        made = bytearray()
        for piece in text:
            made += piece
            if not args.json:
                out.write(piece)
                out.flush()
        statistics = text.generation.statistics()
    if args.json:
        print(json.dumps({
            "device": args.device, "prompt": text.prompt.decode("utf-8", "backslashreplace"),
            "text": made.decode("utf-8", "backslashreplace"), "tokens": list(text.generation.tokens),
            "statistics": statistics.to_dict(), "board": board.to_dict(statistics),
        }, indent=1))
        return 0
    out.write(b"\n")
    out.flush()
    print(f"\n{statistics.table()}\n{paragraph(board.text(statistics))}", file=sys.stderr)
    return 0
