# SPDX-License-Identifier: BSD-2-Clause
"""``mixpe evaluate``: what held-out text costs a model, in float32 and quantised."""

import json
from pathlib import Path

import numpy as np

from mixpe.errors import ModelError
from mixpe.lm import checkpoint, evaluate, perplexity, report
from mixpe.lm.calibration import calibration_windows
from mixpe.lm.perplexity import CONTEXT, evaluate_tokens
from mixpe.lm.text import tokenizer_of
from mixpe.lm.weights import Weights
from mixpe.models import corpus, topics
from mixpe.plan.kinds import KINDS
from mixpe.progress import Progress
from mixpe.terminal import paragraph
from mixpe.text import ByteTokenizer

DESCRIPTION = """\
Predict held-out text with a byte-level model in float32 and with 4-bit weights, quantised by rounding to nearest and
by GPTQ (arXiv 2210.17323), with 8-bit and 16-bit activations, and say what that costs in bits per byte. The quantised
layers are computed bit for bit as the accelerator computes them. The text is the standard library's own: every tenth
file was kept out of training. A model with a tokenizer is judged in nats a token and bits per byte; weights that it
has quantised are taken as a device takes them."""

WINDOWS = {True: 256, False: 4}  # by default: of a byte-level model, of one with a tokenizer


def add_parser(subparsers):
    """Add the command to `argparse` sub-parsers."""
    p = subparsers.add_parser("evaluate", help="bits per byte of held-out text, in float32 and quantised",
                              description=DESCRIPTION)
    p.add_argument("--model", metavar="MODEL", help="name, folder or file (the packaged byte model); see mixpe models")
    text = p.add_mutually_exclusive_group()
    text.add_argument("--text", type=Path, metavar="FILE", help="judge on this file instead of the held-out text")
    text.add_argument("--topics", action="store_true", help="judge on the topics of Python's manual, which are English")
    p.add_argument("--group-sizes", type=int, nargs="+", metavar="G",
                   help="group sizes (32 64 128; with a tokenizer 128)")
    p.add_argument("--bits", type=int, default=4, choices=(4, 8),
                   help="of a weight, where a model with a tokenizer has floats (4)")
    p.add_argument("--activations", nargs="+", choices=KINDS,
                   help="formats of the activations (a8 a16; with a tokenizer all)")
    p.add_argument("--quantisers", nargs="+", choices=evaluate.QUANTISERS,
                   help="quantisers of the weights (both; with a tokenizer nearest)")
    p.add_argument("--decoder", action="store_true", help="judge each format once more with the decoder's arithmetic "
                   "between the linear layers, which a device is to have")
    length = p.add_mutually_exclusive_group()
    length.add_argument("--windows", type=int, metavar="N",
                        help="windows of text, evenly spread, each judging half a context (256; with a tokenizer 4, of "
                             f"{CONTEXT} tokens)")
    length.add_argument("--tokens", type=int, metavar="N",
                        help="with a tokenizer: predict so many tokens from the text's beginning on")
    length.add_argument("--all", action="store_true", help="judge on the whole text")
    p.add_argument("--calibration", type=int, default=64, metavar="N", help="windows of training text for GPTQ (64)")
    p.add_argument("--png", type=Path, metavar="FILE", help="write a figure (needs matplotlib)")
    p.add_argument("--json", action="store_true", help="print one JSON object instead of the table")
    p.set_defaults(run=run)
    return p


def _settle(args, byte_level):
    """Defaults that depend on the model; refuse what it cannot have."""
    if args.windows is None:
        args.windows = WINDOWS[byte_level]
    if args.group_sizes is None:
        args.group_sizes = list(evaluate.GROUP_SIZES) if byte_level else [128]
    if not byte_level and ("gptq" in (args.quantisers or ()) or args.png is not None):
        raise ModelError("GPTQ and figures are for byte-level models, and this one has a tokenizer; leave out "
                         "--quantisers gptq and --png")
    if byte_level and args.tokens is not None:
        raise ModelError("--tokens is for models with a tokenizer, and this one reads bytes; use --windows")
    if args.activations is None:
        args.activations = list(evaluate.ACTIVATIONS if byte_level else perplexity.ACTIVATIONS)
    if args.quantisers is None:
        args.quantisers = list(evaluate.QUANTISERS) if byte_level else ["nearest"]
    for name, value, least in (("--windows", args.windows, 1), ("--calibration", args.calibration, 1),
                               ("--tokens", args.tokens, 1)):
        if value is not None and value < least:
            raise ModelError(f"{name} must be at least {least}, not {value}")


def _texts(args):
    """Held-out files as (name, bytes), their joined bytes, notes on the corpus, and training text if GPTQ needs it."""
    if args.text is not None:
        try:
            content = args.text.read_bytes()
        except OSError as error:
            raise ModelError(f"{args.text} cannot be read: {error.strerror}") from error
        files, joined, notes = ((args.text.name, content),), content, {}
    elif args.topics:
        files, joined, notes = (("topics", topics.text()),), topics.text(), {}
    else:
        held_out = corpus.load("held-out")
        files, joined = held_out.files, held_out.joined()
        notes = {"changed_files": len(held_out.changed), "missing_files": len(held_out.missing)}
    train = corpus.load("train").joined() if "gptq" in args.quantisers else None
    return files, joined, notes, train


def run(args):
    """Evaluate as the options say; returns the exit status."""
    opened     = checkpoint.opened(args.model)
    tokenizer  = tokenizer_of(opened)
    byte_level = isinstance(tokenizer, ByteTokenizer)
    _settle(args, byte_level)
    return _bytes(args, opened) if byte_level else _tokens(args, opened, tokenizer)


def _tokens(args, opened, tokenizer):
    """Judge a model with a tokenizer."""
    _, joined, _, _ = _texts(args)
    limit = None if args.all or args.tokens is not None else args.windows
    with Progress("evaluate", 0, "windows") as bar:
        def progress(label, count, total):
            bar.label, bar.total = label, total
            bar.advance(count)
        kinds = [kind for kind in perplexity.ACTIVATIONS if kind in args.activations]
        rows, count, notes = evaluate_tokens(opened, tokenizer, joined, limit=limit, most=args.tokens,
            activations=kinds, group_sizes=args.group_sizes, bits=args.bits, decoder=args.decoder, progress=progress)
    if args.json:
        print(json.dumps({**count, "notes": notes, "results": rows}, indent=1))
        return 0
    print(perplexity.table(rows))
    print(f"\n{count['tokens']} tokens of {count['bytes']} bytes judged, in {count['windows']} windows of "
          f"{len(joined)} bytes")
    for note in notes:
        print(paragraph(note))
    return 0


def _bytes(args, opened):
    """Judge a byte-level model."""
    config, tensors = opened.architecture, Weights(opened.tensors)
    files, joined, notes, train = _texts(args)
    text = np.frombuffer(joined, np.uint8)
    calibration = None
    if train is not None:
        calibration = calibration_windows(np.frombuffer(train, np.uint8), config.max_position_embeddings,
                                          args.calibration)
    chosen = evaluate.variants(args.group_sizes, args.activations, args.quantisers)
    limit  = None if args.all else args.windows
    pieces = len(evaluate.windows(text, config.max_position_embeddings, limit))
    total  = pieces * (1 + len(chosen) * (1 + args.decoder)) + (0 if calibration is None else len(calibration))
    with Progress("evaluate", total, "windows") as bar:
        def progress(label, count):
            bar.label = label
            bar.advance(count)
        rows = evaluate.evaluate(config, tensors, text, limit=limit, calibration=calibration, chosen=chosen,
                                 decoder=args.decoder, progress=progress)
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
        print(paragraph(f"this interpreter's library is not the one of the training: {notes['changed_files']} held-out "
            f"files differ, {notes['missing_files']} are missing"))
    if args.png is not None:
        print(f"figure: {args.png}")
    return 0
