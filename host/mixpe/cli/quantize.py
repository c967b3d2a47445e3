# SPDX-License-Identifier: BSD-2-Clause
"""``mixpe quantize``: the linear layers of a checkpoint as packed 4-bit or 8-bit weights."""

import json
import re
from pathlib import Path

from mixpe.errors import ModelError, RangeError
from mixpe.formats import safetensors
from mixpe.formats.matrixfile import save_matrices
from mixpe.progress import Progress
from mixpe.quant.quantize import FLOAT_TYPES, quantize
from mixpe.quant.sqnr import sqnr_db

DESCRIPTION = """\
Quantise the linear layers of a safetensors file, round to nearest, and write them with everything else to another
one. Linear layers are the matrices whose name matches --include and not --exclude."""

INCLUDE = r"\.weight$"
EXCLUDE = r"embed|norm"


def add_parser(subparsers):
    """Add the command to `argparse` sub-parsers."""
    parser = subparsers.add_parser("quantize", help="quantise a checkpoint's linear layers", description=DESCRIPTION)
    parser.add_argument("source", type=Path, metavar="IN.safetensors")
    parser.add_argument("target", type=Path, metavar="OUT.safetensors")
    parser.add_argument("--group-size", default="128", metavar="G",
        help="weights along k that share a scale: 32, 64, 128 (default), 256 or k")
    parser.add_argument("--symmetric", action="store_true", help="zero point in the middle")
    parser.add_argument("--bits", type=int, default=4, choices=(4, 8), help="of a weight (4)")
    parser.add_argument("--include", default=INCLUDE, metavar="REGEX", help=f"names to quantise ({INCLUDE})")
    parser.add_argument("--exclude", default=EXCLUDE, metavar="REGEX", help=f"names to leave ({EXCLUDE})")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    return parser


def _pattern(text):
    try:
        return re.compile(text)
    except re.error as error:
        raise RangeError(f"{text!r} is no regular expression: {error}") from None


def _group_size(text):
    if text == "k":
        return None
    if not text.isdecimal():
        raise RangeError(f"--group-size must be 32, 64, 128, 256 or k, not {text!r}")
    return int(text)


def run(args):
    """Quantise the file; returns the exit status."""
    include, exclude, group_size = _pattern(args.include), _pattern(args.exclude), _group_size(args.group_size)
    tensors = safetensors.load(args.source)
    chosen  = [name for name, tensor in tensors.items() if tensor.ndim == 2 and tensor.dtype in FLOAT_TYPES
        and include.search(name) and not exclude.search(name)]
    if not chosen:
        raise ModelError(f"{args.source} has no matrix whose name matches {args.include!r} and not {args.exclude!r}")
    matrices, rows = {}, []
    with Progress("quantize", sum(tensors[name].size for name in chosen), "weights") as progress:
        for name in chosen:
            weights = tensors[name]
            matrices[name] = matrix = quantize(weights, group_size, args.symmetric, args.bits)
            rows.append({"name": name, "shape": list(matrix.shape), "bytes": matrix.nbytes,
                "sqnr_db": sqnr_db(weights, matrix.dequantize())})
            progress.advance(weights.size)
    save_matrices(args.target, matrices, {name: tensor for name, tensor in tensors.items() if name not in matrices})
    if args.json:
        print(json.dumps({"file": str(args.target), "matrices": rows}, indent=1))
        return 0
    width = max(len(row["name"]) for row in rows)
    print(f"{'matrix':<{width}}  {'n':>6} {'k':>6} {'bytes':>10}  SQNR dB")
    for row in rows:
        sqnr = "exact" if row["sqnr_db"] is None else f"{row['sqnr_db']:.2f}"
        print(f"{row['name']:<{width}}  {row['shape'][0]:>6} {row['shape'][1]:>6} {row['bytes']:>10}  {sqnr:>7}")
    print(f"{len(rows)} matrices in {args.target}")
    return 0
