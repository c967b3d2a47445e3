# SPDX-License-Identifier: BSD-2-Clause
"""``mixpe evaluate``: bits per byte of held-out text, in float32 and quantised."""

import json
from pathlib import Path

import numpy as np

from mixpe.errors import ModelError
from mixpe.lm import checkpoint, evaluate, report
from mixpe.lm.calibration import calibration_windows
from mixpe.models import corpus
from mixpe.progress import Progress

DESCRIPTION = """\
Predict held-out text with a byte-level model in float32 and with 4-bit weights, quantised by rounding to nearest and
by GPTQ (arXiv 2210.17323), with 8-bit and 16-bit activations, and say what that costs in bits per byte. The quantised
layers are computed bit for bit as the accelerator computes them. The text is the standard library's own: every tenth
file was kept out of training."""


def add_parser(subparsers):
    """Add the command to `argparse` sub-parsers."""
    p = subparsers.add_parser("evaluate", help="bits per byte of held-out text, in float32 and quantised",
                              description=DESCRIPTION)
    p.add_argument("--model", type=Path, metavar="PATH", help="model folder or .safetensors file (the packaged one)")
    p.add_argument("--text", type=Path, metavar="FILE", help="judge on this file instead of the held-out text")
    p.add_argument("--group-sizes", type=int, nargs="+", default=list(evaluate.GROUP_SIZES), metavar="G",
                   help="group sizes (32 64 128)")
    p.add_argument("--activations", nargs="+", default=list(evaluate.ACTIVATIONS), choices=evaluate.ACTIVATIONS,
                   help="formats of the activations (both)")
    p.add_argument("--quantisers", nargs="+", default=list(evaluate.QUANTISERS), choices=evaluate.QUANTISERS,
                   help="quantisers of the weights (both)")
    length = p.add_mutually_exclusive_group()
    length.add_argument("--windows", type=int, default=256, metavar="N",
                        help="windows of text, evenly spread, each judging half a context (256)")
    length.add_argument("--all", action="store_true", help="judge on the whole text")
    p.add_argument("--calibration", type=int, default=64, metavar="N", help="windows of training text for GPTQ (64)")
    p.add_argument("--png", type=Path, metavar="FILE", help="write a figure (needs matplotlib)")
    p.add_argument("--json", action="store_true", help="print one JSON object instead of the table")
    p.set_defaults(run=run)
    return p


def _check(args):
    for name, value, least in (("--windows", args.windows, 1), ("--calibration", args.calibration, 1)):
        if value < least:
            raise ModelError(f"{name} must be at least {least}, not {value}")


def _texts(args):
    """Held-out files as (name, bytes), their joined bytes, notes on the corpus, and training text if GPTQ needs it."""
    if args.text is not None:
        try:
            content = args.text.read_bytes()
        except OSError as error:
            raise ModelError(f"{args.text} cannot be read: {error.strerror}") from error
        files, joined, notes = ((args.text.name, content),), content, {}
    else:
        held_out = corpus.load("held-out")
        files, joined = held_out.files, held_out.joined()
        notes = {"changed_files": len(held_out.changed), "missing_files": len(held_out.missing)}
    train = corpus.load("train").joined() if "gptq" in args.quantisers else None
    return files, joined, notes, train


def run(args):
    """Evaluate as the options say; returns the exit status."""
    _check(args)
    config, tensors = checkpoint.read(args.model)
    files, joined, notes, train = _texts(args)
    text = np.frombuffer(joined, np.uint8)
    calibration = None
    if train is not None:
        calibration = calibration_windows(np.frombuffer(train, np.uint8), config.max_position_embeddings,
                                          args.calibration)
    chosen = evaluate.variants(args.group_sizes, args.activations, args.quantisers)
    limit  = None if args.all else args.windows
    pieces = len(evaluate.windows(text, config.max_position_embeddings, limit))
    total  = pieces * (1 + len(chosen)) + (0 if calibration is None else len(calibration))
    with Progress("evaluate", total, "windows") as bar:
        def progress(label, count):
            bar.label = label
            bar.advance(count)
        rows = evaluate.evaluate(config, tensors, text, limit=limit, calibration=calibration, chosen=chosen,
                                 progress=progress)
    alone, joined_bits = evaluate.gzip_bits_per_byte([content for _, content in files])
    if args.png is not None:
        report.figure(rows, min(alone, joined_bits), args.png)
    summary = {
        "text_bytes": len(text), "files": len(files), "windows": pieces, **notes,
        "gzip9_each_file_bits_per_byte": alone, "gzip9_joined_bits_per_byte": joined_bits,
    }
    if args.json:
        print(json.dumps({**summary, "results": rows}, indent=1))
        return 0
    print(report.table(rows))
    print(f"\ngzip -9: {joined_bits:.4f} bits/byte (files joined), {alone:.4f} (each alone)")
    print(f"text: {len(text)} bytes in {len(files)} files, {pieces} windows of it judged")
    if notes.get("changed_files") or notes.get("missing_files"):
        print(f"this interpreter's library is not the one of the training: {notes['changed_files']} held-out files "
              f"differ, {notes['missing_files']} are missing")
    if args.png is not None:
        print(f"figure: {args.png}")
    return 0
