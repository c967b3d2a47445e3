# SPDX-License-Identifier: BSD-2-Clause
"""``mixpe explore``: what each design costs on a device, and what fidelity it gives."""

import json
import os
from pathlib import Path

import numpy as np

from mixpe import quantize, quantize_activations
from mixpe.errors import ConfigError
from mixpe.lm import checkpoint, evaluate
from mixpe.lm.model import FloatLinear, LlamaModel
from mixpe.models import corpus
from mixpe.progress import Progress
from mixpe.sqnr import sqnr_db

DESCRIPTION = """\
Synthesise, place and route MixPE and every design that it is compared with, in one flow; measure the fidelity of each
arithmetic on the packaged model; draw the Pareto front. Results are cached by content: a stopped exploration goes on
where it was. A point that fails gets the error's name in its row and the others go on."""

SAMPLE_ROWS    = 256  # activation rows a layer that SQNR is measured on
ENERGY_STREAMS = 16   # output channels, a token each, that the energy proxy is measured on


def add_parser(subparsers):
    """Add the command to `argparse` sub-parsers."""
    p = subparsers.add_parser("explore", help="measure and compare processing elements", description=DESCRIPTION)
    p.add_argument("--grid", default="quick", metavar="NAME", help="quick (minutes), comparison, or full (quick)")
    p.add_argument("--designs", nargs="+", metavar="NAME", help="only these designs of the grid")
    p.add_argument("--devices", nargs="+", metavar="NAME", help="only these devices of the grid")
    p.add_argument("--seeds", type=int, nargs="+", metavar="N", help="seeds of place and route, instead of the grid's")
    p.add_argument("--workers", type=int, default=max(1, (os.cpu_count() or 2)//2), metavar="N",
                   help="local processes (half of the cores)")
    p.add_argument("--scheduler", metavar="URL", help="work on a Dask cluster, tcp://host:port")
    p.add_argument("--limit", type=float, default=3600, metavar="S", help="seconds for each run of a tool (3600)")
    p.add_argument("--cache", type=Path, metavar="FOLDER", help="where results by content are kept (user's cache)")
    p.add_argument("--out", type=Path, metavar="FOLDER", help="write JSON, CSV and PNG here")
    p.add_argument("--windows", type=int, default=0, metavar="N",
                   help="windows of held-out text for fidelity; 0 leaves it out (0)")
    p.add_argument("--energy", action="store_true", help="energy proxy on the packaged model's weights and activations")
    p.add_argument("--page", type=Path, metavar="FILE", help="write the comparison page from the results in --out")
    p.add_argument("--json", action="store_true", help="print the rows as JSON")
    p.set_defaults(run=run)
    return p


def _points(args):
    from mixpe.gateware.cost.targets import find_target
    from mixpe.gateware.explore.grid import GRIDS
    from mixpe.gateware.pe import DESIGNS

    if args.grid not in GRIDS:
        raise ConfigError(f"unknown grid {args.grid!r}; known: {', '.join(GRIDS)}")
    for design in args.designs or ():
        if design not in DESIGNS:
            raise ConfigError(f"unknown design {design!r}; known: {', '.join(DESIGNS)}")
    for device in args.devices or ():
        find_target(device)
    points = [point for point in GRIDS[args.grid]() if (not args.designs or point.design in args.designs)
              and (not args.devices or point.device in args.devices)]
    if args.seeds:
        points = [type(point)(**{**vars(point), "seeds": tuple(args.seeds) if point.seeds else ()}) for point in points]
    if not points:
        raise ConfigError(f"no point of grid {args.grid} has these designs and devices")
    return points


class _Recorder:
    """A float layer that keeps some of its inputs."""

    def __init__(self, weight):
        self.weight = weight
        self.inputs = []
        self._linear = FloatLinear(weight)

    def __call__(self, x):
        self.inputs.append(np.array(x, np.float32).reshape(-1, x.shape[-1]))
        return self._linear(x)


def fidelity(windows, progress=None):
    """SQNR and bits per byte of each arithmetic on the packaged model.

    Parameters
    ----------
    windows : int
        Windows of held-out text, evenly spread.
    progress : callable, optional
        Called with 1 after each arithmetic.

    Returns
    -------
    list of dict
        ``arithmetic``, ``sqnr_db`` (mean over layers), ``bits_per_byte``; float32 first.
    """
    from mixpe.gateware.explore import arithmetic

    config, tensors = checkpoint.read()
    text = np.frombuffer(corpus.load("held-out").joined(), np.uint8)
    pieces = evaluate.windows(text, config.max_position_embeddings, windows)
    recorders = {}

    def record(name, weight):
        recorders[name] = _Recorder(weight)
        return recorders[name]

    model = LlamaModel(config, tensors, record)
    floats = evaluate.bits_per_byte(model, text, pieces)
    rng = np.random.default_rng(0)
    samples = {}
    for name, recorder in recorders.items():
        inputs = np.concatenate(recorder.inputs)
        samples[name] = inputs[rng.choice(len(inputs), min(SAMPLE_ROWS, len(inputs)), replace=False)]
        recorder.inputs.clear()
    rows = [{"arithmetic": "FP32", "sqnr_db": None, "bits_per_byte": floats}]
    for name in arithmetic.ARITHMETIC:
        ratios = []
        for job, recorder in recorders.items():
            exact = samples[job].astype(np.float64) @ recorder.weight.astype(np.float64).T
            ratios.append(sqnr_db(exact, arithmetic.layer(name, recorder.weight)(samples[job])))

        def make(_job, weight, name=name):
            apply = arithmetic.layer(name, weight)
            return lambda x: apply(x).astype(np.float32)

        bits = evaluate.bits_per_byte(LlamaModel(config, tensors, make), text, pieces)
        rows.append({"arithmetic": name, "sqnr_db": float(np.mean(ratios)), "bits_per_byte": bits})
        if progress is not None:
            progress(1)
    return rows


def energy(points, cache_folder=None, progress=None):
    """Energy proxy of the points that can be simulated, on real weights and activations of the packaged model.

    Streams are output channels of one feed-forward layer with tokens of held-out text, two groups of 128 each.

    Parameters
    ----------
    points : list of Point
        ECP5 units; others are left out.
    cache_folder : str, optional
    progress : callable, optional
        Called with 1 after each point.

    Returns
    -------
    list of dict
        ``design``, ``energy_per_mac``.
    """
    from mixpe.gateware.explore.energy import DESIGNS, energy_per_mac

    config, tensors = checkpoint.read()
    text = np.frombuffer(corpus.load("held-out").joined(), np.uint8)
    recorders = {}

    def record(name, weight):
        recorders[name] = _Recorder(weight)
        return recorders[name]

    evaluate.bits_per_byte(LlamaModel(config, tensors, record), text, evaluate.windows(text, 256, 1))
    layer = recorders["layers.1.gate_up"]
    rng   = np.random.default_rng(0)
    rows  = rng.choice(len(layer.inputs[0]), ENERGY_STREAMS, replace=False)
    x     = quantize_activations(layer.inputs[0][rows])[0].reshape(ENERGY_STREAMS, -1, 128)
    w     = layer.weight[rng.choice(len(layer.weight), ENERGY_STREAMS, replace=False)]
    codes = {4: quantize(w, 128).q, 8: np.rint(127*w/np.abs(w).max(axis=1, keepdims=True)).astype(np.int8)}
    found = []
    for point in points:
        if point.design in DESIGNS and point.rows == 1 and point.device.startswith("LFE5U") \
                and not point.parameters.get("dsp"):
            q = codes[8 if point.design == "int8" else 4].reshape(x.shape)
            found.append({"design": point.design, "energy_per_mac": energy_per_mac(point, q, x, cache_folder)})
            if progress is not None:
                progress(1)
    return found


def _print(rows):
    for row in rows:
        options = ",".join(f"{name[2:]}={value}" for name, value in row.items() if name.startswith("p_"))
        label = f"{row['design']}({options})"
        if row["status"] != "ok":
            print(f"{label:58} {row['device']:12} {row['status']}: {row['error']}")
            continue
        fmax = "     –" if row["fmax_mhz"] is None else f"{row['fmax_mhz']:6.1f}"
        print(f"{label:58} {row['device']:12} R={row['rows']} {row['luts']:8.0f} LUT "
              f"{row['luts_per_mac']:7.1f} LUT/MAC {row['dsps']:4.0f} DSP {fmax} MHz")


def run(args):
    """Run the command and return its exit status."""
    from mixpe.gateware.explore import report
    from mixpe.gateware.explore.runner import run as explore

    if args.page is not None and args.out is None:
        raise ConfigError("--page needs --out, the folder with the results")
    points = _points(args)
    with Progress("explore", len(points), "points") as progress:
        rows = explore(points, args.workers, args.scheduler, None if args.cache is None else str(args.cache),
                       args.limit, on_row=lambda row: progress.advance(1))
    found = []
    if args.windows:
        from mixpe.gateware.explore.arithmetic import ARITHMETIC
        with Progress("fidelity", len(ARITHMETIC), "arithmetics") as progress:
            found = fidelity(args.windows, progress.advance)
    energies = []
    if args.energy:
        with Progress("energy", len(points), "points") as progress:
            energies = energy(points, None if args.cache is None else str(args.cache), progress.advance)
    if args.out is not None:
        report.write_rows(rows, args.out, args.grid)
        if energies:
            report.write_rows(energies, args.out, "energy")
        if found:
            report.write_rows(found, args.out, "fidelity")
    if args.page is not None:
        write_page(args.out, args.page)
    if args.json:
        print(json.dumps({"points": rows, "fidelity": found, "energy": energies}, indent=1))
    else:
        _print(rows)
        for row in found:
            ratio = "" if row["sqnr_db"] is None else f"{row['sqnr_db']:6.2f} dB"
            print(f"{row['arithmetic']:22} {ratio:10} {row['bits_per_byte']:.4f} bits per byte")
        for row in energies:
            print(f"{row['design']:22} {row['energy_per_mac']:.1f} weighted toggles a MAC")
    return 0 if any(row["status"] == "ok" for row in rows) else 1


def write_page(folder, path):
    """The comparison page and its figure, from the results in a folder."""
    from mixpe.gateware.explore import report
    from mixpe.gateware.explore.grid import LANES
    from mixpe.gateware.explore.page import page

    rows = [row for name in ("comparison", "full", "arrays") for row in report.read_rows(folder, name)]
    units, others = {}, {}
    for row in rows:
        key = row["device"], row["design"], row.get("p_width"), row.get("p_dsp")
        if row["rows"] == 1 and row.get("p_lanes") == LANES.get(row["design"], 8):
            (units if row["device"] == "LFE5U-85F-6" else others).setdefault(key, row)
    found   = report.read_rows(folder, "fidelity")
    results = {"units": list(units.values()), "others": list(others.values()), "fidelity": found, "figure": None,
               "energy": report.read_rows(folder, "energy"), "arrays": [row for row in rows if row["rows"] > 1]}
    joined = report.with_fidelity([row for row in units.values() if row["status"] == "ok"],
                                  [row for row in found if row["arithmetic"] != "FP32"])
    if joined:
        figure = folder/"pareto.png"
        report.draw(joined, figure)
        report.write_rows(report.pareto_rows(joined), folder, "pareto")
        results["figure"] = os.path.relpath(figure, path.parent)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page(results).rstrip() + "\n")
