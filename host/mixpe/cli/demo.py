# SPDX-License-Identifier: BSD-2-Clause
"""``mixpe demo``: the linear layers of one decoder block of a real model, on a device, against the reference."""

import json
import sys
import time

import numpy as np

import mixpe
from mixpe.errors import ModelError, RangeError
from mixpe.lm import LlamaModel, checkpoint
from mixpe.lm.linear import FloatLinear
from mixpe.models import corpus
from mixpe.quant.sqnr import sqnr_db
from mixpe_gateware.contract import reference

DESCRIPTION = """\
Quantise all linear layers of a language model, load them into a device, and run those of one decoder block on the
activations that held-out text causes there. Every partial sum and every result is compared with the reference; the
exit code is 1 if one bit is wrong."""

# Layers of a decoder block, and the job of the model whose input they get.
LAYERS = {
    "self_attn.q_proj": "qkv", "self_attn.k_proj": "qkv", "self_attn.v_proj": "qkv", "self_attn.o_proj": "o",
    "mlp.gate_proj": "gate_up", "mlp.up_proj": "gate_up", "mlp.down_proj": "down",
}


def add_parser(subparsers):
    """Add the command to `argparse` sub-parsers."""
    parser = subparsers.add_parser("demo", help="a decoder block of a real model on a device", description=DESCRIPTION)
    parser.add_argument("--device", default="sim", metavar="URL", help="sim (default), reference, serial:///dev/…, …")
    parser.add_argument("--model", metavar="PATH", help="model folder or .safetensors file (the packaged one)")
    parser.add_argument("--block", type=int, default=0, metavar="I", help="decoder block (0)")
    parser.add_argument("--tokens", type=int, default=8, metavar="N", help="tokens whose activations are used (8)")
    parser.add_argument("--context", type=int, default=64, metavar="N", help="tokens of text, those among them (64)")
    parser.add_argument("--activations", default="a8", choices=("a8", "a16"), help="format of the activations (a8)")
    parser.add_argument("--group-size", type=int, default=128, metavar="G", help="weights that share a scale (128)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    return parser


def record_inputs(config, tensors, block, text):
    """Inputs of a block's jobs while a float model reads text: dict of job → (t, k) float32."""
    inputs = {}

    class Recorder(FloatLinear):
        def __init__(self, name, weight):
            super().__init__(weight)
            self.name = name

        def __call__(self, x):
            inputs[self.name] = x
            return super().__call__(x)

    LlamaModel(config, tensors, Recorder).logits(text)
    return {job: np.ascontiguousarray(inputs[f"layers.{block}.{job}"], np.float32) for job in set(LAYERS.values())}


def held_out_text(context):
    """That many bytes from the middle of the first held-out file that is long enough."""
    try:
        files = corpus.load("held-out").files
    except ValueError as error:
        raise ModelError(str(error)) from None
    for name, text in files:
        if len(text) >= 2*context:
            return name, np.frombuffer(text[len(text)//2:len(text)//2 + context], np.uint8)
    raise ModelError(f"no held-out file has {2*context} bytes; ask for a shorter context")


def load_model(device, tensors, group_size, activations, verbose):
    """Quantise every linear layer of every block, and the head, and load them: dict of name → DeviceLinear."""
    names = [name for name in tensors if tensors[name].ndim == 2 and "embed" not in name]
    start = time.perf_counter()
    layers = {}
    for name in names:
        weight = np.asarray(tensors[name], np.float32)
        layers[name] = device.load(mixpe.quantize(weight, group_size), activations)
    size = sum(layer.weight_bytes for layer in layers.values())
    if verbose:
        print(f"{len(layers)} layers quantised and loaded, {size/1e6:.2f} MB in {time.perf_counter() - start:.1f} s\n")
    return layers


def run_layer(device, layer, weight, x):
    """Run one layer and compare: its result, and a dict of figures."""
    matrix = layer.matrix
    xq, _  = mixpe.quantize_activations(x)
    padded = np.zeros((len(xq), matrix.k_padded), np.int8)
    padded[:, :matrix.k] = xq
    expected = reference.partials(padded, matrix.q_padded, matrix.span)
    found    = layer.partials(xq)

    before, streamed = device.counters(), device.streamed_bytes
    y = layer(x)
    after = device.counters()
    cycles = after["cycles"] - before["cycles"]
    beats  = (device.streamed_bytes - streamed)//device.config.beat_bytes
    wrong  = differing(y, expected_output(layer, x))
    return y, {
        "shape": [len(x), matrix.k, matrix.n], "partials": int(found.size),
        "mismatches": int(np.count_nonzero(found != expected)), "outputs": int(y.size), "output_mismatches": wrong,
        "sqnr_db": sqnr_db(x.astype(np.float64) @ weight.T.astype(np.float64), y), "cycles": cycles,
        "beats_per_cycle": round(beats/cycles, 3) if cycles else None,
    }


def differing(y, expected):
    """Numbers that do not agree to the bit."""
    return int(np.count_nonzero(y.view(np.uint32) != expected.view(np.uint32)))


def expected_output(layer, x):
    """What the reference arithmetic makes of a layer's call."""
    with mixpe.open("reference", verify="none") as device:
        return device.load(layer.matrix, layer.activations, fused=False)(x)


def print_table(rows):
    """One line a layer. The port's peak is one beat a cycle."""
    print(f"{'layer':<17} {'m':>3} {'k':>5} {'n':>5} {'partials':>9} {'wrong':>6} {'outputs':>8} {'wrong':>6} "
        f"{'SQNR dB':>8} {'cycles':>8} {'beats/cycle':>12}")
    for name, row in rows.items():
        rate = f"{row['beats_per_cycle']:.3f} of 1" if row["beats_per_cycle"] else "-"
        m, k, n = row["shape"]
        print(f"{name:<17} {m:>3} {k:>5} {n:>5} {row['partials']:>9} {row['mismatches']:>6} {row['outputs']:>8} "
            f"{row['output_mismatches']:>6} {row['sqnr_db'] or 0:>8.2f} {row['cycles'] or '-':>8} {rate:>12}")


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
    inputs = record_inputs(config, tensors, args.block, text)
    if verbose:
        print(f"text: {args.tokens} tokens of {source}, held out from training")
        sys.stdout.flush()

    rows, outputs = {}, {}
    with mixpe.open(args.device) as device:
        info = device.info()
        if verbose:
            print(f"device: {args.device}, {info['rows']} rows x {info['lanes']} lanes, "
                f"memory port of {info['port_bits']} bits at {info['clock_hz']/1e6:g} MHz")
        layers = load_model(device, tensors, args.group_size, args.activations, verbose)
        names  = {part: f"model.layers.{args.block}.{part}.weight" for part in LAYERS}
        for part, job in LAYERS.items():
            x = np.ascontiguousarray(inputs[job][-args.tokens:])
            outputs[part], rows[part] = run_layer(device, layers[names[part]], np.asarray(tensors[names[part]]), x)
        before = device.counters()["cycles"]
        inputs = {job: np.ascontiguousarray(x[-args.tokens:]) for job, x in inputs.items()}
        queued = device.run([(layers[names[part]], inputs[job]) for part, job in LAYERS.items()])
        queued_cycles = device.counters()["cycles"] - before
    for part, y in zip(rows, queued, strict=True):
        rows[part]["output_mismatches"] += differing(y, outputs[part])
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
