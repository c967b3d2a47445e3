# SPDX-License-Identifier: BSD-2-Clause
"""``mixpe demo``: the linear layers of one decoder block of a real model, on a device, against the reference."""

import json
import sys
import time

import mixpe
from mixpe.bench.block import block_inputs, held_out_text, load_layers, run_block
from mixpe.errors import RangeError
from mixpe.lm import checkpoint
from mixpe.plan.kinds import KINDS
from mixpe.terminal import paragraph, table

DESCRIPTION = """\
Quantise all linear layers of a language model, load them into a device, and run those of one decoder block on the
activations that held-out text causes there. Every partial sum and every result is compared with the reference; the
exit code is 1 if one bit is wrong."""


def add_parser(subparsers):
    """Add the command to `argparse` sub-parsers."""
    parser = subparsers.add_parser("demo", help="a decoder block of a real model on a device", description=DESCRIPTION)
    parser.add_argument("--device", default="sim", metavar="URL", help="sim (default), reference, serial:///dev/…, …")
    parser.add_argument("--model", metavar="PATH", help="model folder or .safetensors file (the packaged one)")
    parser.add_argument("--block", type=int, default=0, metavar="I", help="decoder block (0)")
    parser.add_argument("--tokens", type=int, default=8, metavar="N", help="tokens whose activations are used (8)")
    parser.add_argument("--context", type=int, default=64, metavar="N", help="tokens of text, those among them (64)")
    parser.add_argument("--activations", default="a8", choices=KINDS, help="format of the activations (a8)")
    parser.add_argument("--group-size", type=int, default=128, metavar="G", help="weights that share a scale (128)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    return parser


def print_table(rows):
    """One line a layer. The port's peak is one beat a cycle."""
    lines = []
    for name, row in rows.items():
        rate = f"{row['beats_per_cycle']:.3f} of 1" if row["beats_per_cycle"] else "-"
        lines.append((name, *map(str, row["shape"]), str(row["partials"] + row["outputs"]),
            str(row["mismatches"] + row["output_mismatches"]), f"{row['sqnr_db'] or 0:.2f}", str(row["cycles"] or "-"),
            rate))
    print(table(("layer", "m", "k", "n", "compared", "wrong", "SQNR dB", "cycles", "beats/cycle"), lines, "<>>>>>>>>"))


def run(args):
    """Run the block; returns 0, or 1 if anything differs from the reference."""
    if not 1 <= args.tokens <= args.context:
        raise RangeError(f"--tokens must be 1 … {args.context} (--context), not {args.tokens}")
    config, tensors = checkpoint.read(args.model)
    if not 0 <= args.block < config.num_hidden_layers:
        raise RangeError(f"--block must be 0 … {config.num_hidden_layers - 1}, not {args.block}")
    if args.context > config.max_position_embeddings:
        raise RangeError(f"--context must be at most {config.max_position_embeddings}, not {args.context}")
    verbose = not args.json
    source, text = held_out_text(args.context)
    inputs = block_inputs(config, tensors, args.block, text, args.tokens)
    if verbose:
        print(f"text: {args.tokens} tokens of {source}, held out from training")
        sys.stdout.flush()

    with mixpe.open(args.device) as device:
        info = device.info()
        if verbose:
            print(paragraph(f"device: {args.device}, {info['rows']} rows x {info['lanes']} lanes, "
                f"memory port of {info['port_bits']} bits at {info['clock_hz']/1e6:g} MHz"))
        start  = time.perf_counter()
        layers = load_layers(device, tensors, args.group_size, args.activations)
        size   = sum(layer.weight_bytes for layer in layers.values())
        if verbose:
            print(f"{len(layers)} layers quantised and loaded, {size/1e6:.2f} MB in "
                f"{time.perf_counter() - start:.1f} s\n")
        rows, queued_cycles = run_block(device, layers, tensors, args.block, inputs)
    wrong = sum(row["mismatches"] + row["output_mismatches"] for row in rows.values())
    if args.json:
        print(json.dumps({"device": info, "text": source, "layers": rows, "queued_cycles": queued_cycles,
            "mismatches": wrong}, indent=1))
        return 1 if wrong else 0
    print_table(rows)
    compared = sum(row["partials"] + row["outputs"] for row in rows.values())
    print(f"\n{compared} numbers compared with the reference, {wrong} mismatches")
    if queued_cycles:
        print(f"all {len(rows)} layers posted without waiting: {queued_cycles} cycles")
    if args.device.startswith("reference"):
        print("cycles are predicted: the reference has no clock")
    return 1 if wrong else 0
