# SPDX-License-Identifier: BSD-2-Clause
"""``mixpe demo``: a block of a real model on a device, or its answer to a question, against the reference."""

import json
import sys
import time

import numpy as np

import mixpe
from mixpe.bench.answer import Comparison
from mixpe.bench.block import block_inputs, held_out_text, load_layers, run_block
from mixpe.errors import ModelError, RangeError, VerifyError
from mixpe.lm import checkpoint
from mixpe.lm.sampling import Sampler
from mixpe.lm.text import tokenizer_of
from mixpe.plan.kinds import KINDS
from mixpe.progress import Progress
from mixpe.terminal import paragraph, table

DESCRIPTION = """\
Quantise all linear layers of a language model, load them into a device, and run those of one decoder block on the
activations that held-out text causes there. Every partial sum and every result is compared with the reference; the
exit code is 1 if one bit is wrong.

With --ask a model with a chat template answers, its whole decoder on the device (sim?decoder=1). The reference device
answers first; then each token is compared with its as it comes."""

DEVICE        = "sim"
ANSWER_DEVICE = "sim?decoder=1"
REFERENCE     = "reference?decoder=1&minima=1"
LABEL         = 32  # characters of an answer in front of its progress


def add_parser(subparsers):
    """Add the command to `argparse` sub-parsers."""
    parser = subparsers.add_parser("demo", help="a decoder block of a real model on a device", description=DESCRIPTION)
    parser.add_argument("--device", metavar="URL", help="sim (default), reference, serial:///dev/…, …")
    parser.add_argument("--model", metavar="PATH", help="model folder or .safetensors file (the packaged one)")
    parser.add_argument("--block", type=int, default=0, metavar="I", help="decoder block (0)")
    parser.add_argument("--tokens", type=int, default=8, metavar="N", help="tokens whose activations are used (8)")
    parser.add_argument("--context", type=int, default=64, metavar="N", help="tokens of text, those among them (64)")
    parser.add_argument("--activations", choices=KINDS, help="format of the activations (a8; of an answer a16)")
    parser.add_argument("--ask", metavar="TEXT", help="let the model answer this")
    parser.add_argument("--answer-tokens", type=int, default=32, metavar="N", help="most tokens of the answer (32)")
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


def _shown(found, tokenizer, quiet=False):
    """Show an answer as it comes, in front of what is left of it; its text, and what was wrong with it or None."""
    stream, text, wrong = tokenizer.stream(), "", None
    with Progress("…", found.cycles, "cycles") as progress:
        try:
            for token in found.run(progress.advance):
                piece = stream.push(token)
                text += piece
                progress.label = text[-LABEL:]
                if not (progress.shown or quiet):
                    print(piece, end="", flush=True)
        except VerifyError as error:
            wrong = error
    rest = stream.finish()
    if not quiet:
        print(text + rest if progress.shown else rest)
    return text + rest, wrong


def run_answer(args):
    """Let a model answer on the reference and then on a device; returns 0, or 1 if a token differs."""
    if args.answer_tokens < 1:
        raise RangeError(f"--answer-tokens must be 1 or more, not {args.answer_tokens}")
    url       = args.device or ANSWER_DEVICE
    opened    = checkpoint.opened(args.model)
    tokenizer = tokenizer_of(opened)
    if tokenizer.chat is None:
        raise ModelError("the model has no chat template, so it cannot be asked; give one that has: --model smollm2")
    tokens  = tokenizer.chat.encode(tokenizer, [{"role": "user", "content": args.ask}])
    ends    = frozenset(tokenizer.eos_ids)
    options = {"group_size": args.group_size, "activations": args.activations, "decoder": "device",
        "context": len(tokens) + args.answer_tokens}
    with mixpe.LlamaModel.from_pretrained(opened, REFERENCE, **options) as model:
        expected = list(model.generation(np.array(tokens), args.answer_tokens, Sampler(), ends=ends))
    begin = time.perf_counter()
    if not args.json:
        print(f"> {args.ask}", flush=True)
    with mixpe.LlamaModel.from_pretrained(opened, url, **options) as model:
        loaded, before = time.perf_counter(), model.device.counters()["cycles"]
        found = Comparison(model, tokens, expected)
        text, wrong = _shown(found, tokenizer, quiet=args.json)
        cycles, device = model.device.counters()["cycles"] - before, model.device.info()
    end = time.perf_counter()
    if args.json:
        print(json.dumps({"question": args.ask, "answer": text, "prompt_tokens": len(tokens),
            "passes": len(found.steps), "tokens": len(expected), "cycles": cycles, "clock_hz": device["clock_hz"],
            "seconds": end - loaded,
            "wrong": None if wrong is None else str(wrong)}, indent=1))
        return 0 if wrong is None else 1
    verdict = "each the reference's" if wrong is None else f"but {wrong}"
    print(paragraph(f"{len(tokens)} tokens of the question in {len(found.steps)} passes, {len(expected)} of the "
        f"answer: {verdict}"))
    print(paragraph(f"{cycles:,} cycles in {end - loaded:.0f} s, behind {loaded - begin:.0f} s of loading; at "
        f"{device['clock_hz']/1e6:g} MHz they take {cycles/device['clock_hz']:.2f} s"))
    return 0 if wrong is None else 1


def run(args):
    """Run the block, or the answer; returns 0, or 1 if anything differs from the reference."""
    if args.ask is not None:
        return run_answer(args)
    args.device, args.activations = args.device or DEVICE, args.activations or "a8"
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
