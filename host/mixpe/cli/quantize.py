# SPDX-License-Identifier: BSD-2-Clause
"""``mixpe quantize``: a checkpoint with its linear layers as packed 4-bit or 8-bit weights."""

import json
import re
from pathlib import Path

from mixpe.errors import ModelError, RangeError
from mixpe.formats import safetensors
from mixpe.formats.huggingface import CONFIG
from mixpe.formats.quantised import check_target, companions, write_model, write_weights
from mixpe.formats.tensor import FloatTensor
from mixpe.lm import checkpoint
from mixpe.progress import Progress
from mixpe.quant.checks import group_span
from mixpe.terminal import table

DESCRIPTION = """\
Quantise the linear layers of a checkpoint, round to nearest, and write them with everything else as a model that
`mixpe generate --model OUT` loads. IN is any model that is read (docs/formats.md), or a safetensors file of tensors
alone; OUT is a new folder, or a file *.safetensors. Linear layers are the matrices whose name matches --include and
not --exclude; weights that are quantised already stay as they are where a device has their form. A matrix whose bias
has the length of its rows is GPT-2's Conv1D: it is written transposed, as the linear layer that it is."""

INCLUDE = r"\.weight$"
EXCLUDE = r"embed|norm|(^|\.)(emb|wte|wpe|shared|relative_attention_bias)\."


def add_parser(subparsers):
    """Add the command to `argparse` sub-parsers."""
    parser = subparsers.add_parser("quantize", help="quantise a checkpoint's linear layers", description=DESCRIPTION)
    parser.add_argument("source", metavar="IN")
    parser.add_argument("target", type=Path, metavar="OUT")
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
    if not (text.isascii() and text.isdecimal() and len(text) < 6):
        raise RangeError(f"--group-size must be 32, 64, 128, 256 or k, not {text!r}")
    return int(text)


def _source(path):
    """Path, tensors, metadata, and what stands beside the weights, of a model or of a file of tensors alone."""
    file = Path(path)
    if file.suffix == ".safetensors" and file.is_file() and not (file.parent/CONFIG).exists():
        tensors = {name: FloatTensor(name, dtype, array) for name, (dtype, array) in safetensors.mapped(file).items()}
        return file, tensors, safetensors.read_header(file)[1], {}
    opened   = checkpoint.opened(path)
    metadata = safetensors.read_header(file)[1] if file.suffix == ".safetensors" and file.is_file() else {}
    return opened.path, opened.tensors, metadata or {"format": "pt"}, companions(opened)


def _floating(tensor):
    return (isinstance(tensor, FloatTensor) and len(tensor.shape) == 2 and all(tensor.shape)
        and tensor.layout in ("F64", "F32", "F16", "BF16"))


def _transposed(tensors, chosen):
    """Those of the chosen matrices that have a row an input, as their biases say; a square one is as its namesakes."""
    def kind(name):
        return name.split(".")[-2:]

    def outputs(name):
        bias = tensors.get(f"{name.removesuffix('.weight')}.bias")
        return None if bias is None or len(bias.shape) != 1 else bias.shape[0]

    found  = {name for name in chosen if outputs(name) not in (None, tensors[name].shape[0])
        and outputs(name) == tensors[name].shape[1]}
    kinds  = [kind(name) for name in found]
    square = {name for name in chosen if len(set(tensors[name].shape)) == 1 and kind(name) in kinds}
    return found | square


def run(args):
    """Quantise the checkpoint; returns the exit status."""
    include, exclude, group_size = _pattern(args.include), _pattern(args.exclude), _group_size(args.group_size)
    source, tensors, metadata, files = _source(args.source)
    check_target(args.target, files)
    if any(path.exists() and args.target.samefile(path) for path in (source, source/args.target.name)
           if args.target.exists()):
        raise ModelError(f"{args.target} is IN itself; name another file, since its weights would be lost")
    chosen = {name for name, tensor in tensors.items()
        if _floating(tensor) and include.search(name) and not exclude.search(name)}
    if not chosen and all(isinstance(tensor, FloatTensor) for tensor in tensors.values()):
        raise ModelError(f"{args.source} has no matrix whose name matches {args.include!r} and not {args.exclude!r}")
    turned  = _transposed(tensors, chosen)
    tensors = {name: tensor.transposed() if name in turned else tensor for name, tensor in tensors.items()}
    for name in chosen:
        group_span(group_size, tensors[name].shape[1])
    matrices = [tensor for name, tensor in tensors.items() if name in chosen or not isinstance(tensor, FloatTensor)]
    with Progress("quantize", sum(tensor.shape[0]*tensor.shape[1] for tensor in matrices), "weights") as progress:
        rows = write_model(args.target, files, lambda path: write_weights(path, tensors, chosen, group_size=group_size,
            symmetric=args.symmetric, bits=args.bits, metadata=metadata, progress=progress.advance))
    if args.json:
        rows = [row | {"transposed": row["name"] in turned} for row in rows]
        print(json.dumps({"file": str(args.target), "matrices": rows}, indent=1))
        return 0
    print(table(("matrix", "n", "k", "bits", "G", "bytes", "SQNR dB"), [(row["name"], *map(str, row["shape"]),
        str(row["bits"]), str(row["group_size"]), str(row["bytes"]),
        "exact" if row["sqnr_db"] is None else f"{row['sqnr_db']:.2f}") for row in rows], "<>>>>>>", wrap=(0,)))
    if turned:
        print(f"transposed, since their rows were inputs: {len(turned)} of them")
    print(f"{len(rows)} matrices in {args.target}")
    return 0
