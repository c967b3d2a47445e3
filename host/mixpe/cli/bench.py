# SPDX-License-Identifier: BSD-2-Clause
"""``mixpe bench``: cycles of real layers on a device, the memory's ceiling, the link, the host."""

import json
import sys
from dataclasses import asdict
from pathlib import Path

import mixpe
from mixpe.bench.cases import LAYERS, QUICK, cases
from mixpe.bench.link import host_times, link_rates, remote_client_rates
from mixpe.bench.load import load_rates
from mixpe.bench.measure import bare_read_rate, measure
from mixpe.bench.models import Model, find_models
from mixpe.bench.tokens import board_tokens, count_tokens, tokens_text
from mixpe.errors import RangeError
from mixpe.plan.kinds import KINDS
from mixpe.program.compile import ACTIVATIONS
from mixpe.progress import Progress
from mixpe.terminal import paragraph, table

DESCRIPTION = """\
Run linear layers of real models as jobs on a device and count cycles: decode (one token) and prefill, partials and
fused, A8 and A16, each compared bit for bit with the reference, beside a bare memory reader in the same simulation and
the cycle model's prediction; and tokens of the packaged model whose decoder is on the simulated device. Then the link
against LiteX's client, and packing against a copy.

With --board nothing is run: tokens a second of whole language models are modelled for a board, from the cycle model,
the board's clock (as routed, where it was), the memory's rate as measured in simulation or assumed from it, and the
link's speed under the driver's own requests; with the decoder on the device, where the board has room for it, and with
the host's.

With --cpu a model is measured in llama.cpp on this machine's CPU, and the boards are modelled on it."""

DEVICE = "sim"
ALL    = "all"
ACTIVATIONS_OF_HOST = "a8"
TOKEN_DEVICE = "sim?decoder=1"
TOKEN_BOARDS = ("ulx3s", "orangecrab", "ecpix5", "arty_a7")
TOKEN_MODELS = ("mixpe", "SmolLM2 W4", "SmolLM2 file")


def add_parser(subparsers):
    """Add the command to `argparse` sub-parsers."""
    parser = subparsers.add_parser("bench", help="cycles, bandwidth and link of a device", description=DESCRIPTION)
    parser.add_argument("--device", default=DEVICE, metavar="URL",
        help=f"a device with a bare reader, as simulated ones have ({DEVICE})")
    model = parser.add_argument_group("model of a board")
    model.add_argument("--board", metavar="BOARD", help=f"a board that `mixpe boards` lists, or {ALL}")
    model.add_argument("--model", action="append", metavar="NAME",
        help="a named model, or a folder with its config.json; may be given again (all named ones)")
    model.add_argument("--link", choices=("uart", "etherbone"), help="the board's link (its first)")
    model.add_argument("--activations", choices=KINDS,
        help="of the linear layers (a8 with the host's decoder, a16 with the device's)")
    model.add_argument("--prompt", type=int, default=0, metavar="N", help="model prefill of N tokens too (0: not)")
    cpu = parser.add_argument_group("this machine's CPU")
    cpu.add_argument("--cpu", action="store_true", help="measure a GGUF model (--model, smollm2) in llama.cpp")
    cpu.add_argument("--threads", type=int, metavar="N", help="of llama.cpp (as many as there are processors)")
    cpu.add_argument("--tokens", type=int, default=64, metavar="N", help="that are made in each of three runs (64)")
    parser.add_argument("--group-size", type=int, default=128, metavar="G", help="weights that share a scale (128)")
    parser.add_argument("--quick", action="store_true", help="three layers only")
    parser.add_argument("--no-link", action="store_true", help="leave out link and host")
    parser.add_argument("--out", metavar="FOLDER", default="build/bench", help="where figures go (build/bench)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    return parser


def _row(row):
    case = row.case
    values = {"layer": case.layer.label, "n": case.layer.n, "n_run": case.layer.n_run, "k": case.layer.k,
        "phase": case.phase, "mode": case.mode, "activations": case.activations}
    values.update({name: value for name, value in asdict(row).items() if name != "case"})
    values.update(stream_rate=row.stream_rate, busy_share=row.busy_share, over_ceiling=row.over_ceiling,
        prediction_error=row.prediction_error)
    return values


def _print_table(rows, config, read_rate):
    print(paragraph(f"array {config.name}, port {config.port_bits} bits, {config.read_ports} read ports; a bare reader "
        f"of one port gets {read_rate:.4f} beats a cycle"))
    lines = []
    for row in rows:
        case, layer = row.case, row.case.layer
        lines.append((layer.label, f"{layer.n_run}{'*' if layer.is_cut else ' '}× {layer.k}", case.phase, case.mode,
            case.activations, str(row.m), str(row.cycles), f"{row.over_ceiling:.3f}" if case.phase == "decode" else "",
            f"{row.stream_rate:.4f}", f"{row.busy_share:.1%}", f"{row.prediction_error:+.2%}", row.bound))
    head = ("layer", "n × k", "phase", "mode", "act", "m", "cycles", "÷ceil", "beats", "busy", "model", "bound by")
    print(table(head, lines, "<><<<>>>>>><", heading=2, wrap=(11,)))
    print(paragraph("* n cut; cycles grow with n.  ÷ceil: cycles over (bytes of weights, scales and zeros ÷ the bare "
        "reader's rate).  beats: read a cycle over the whole job.  model: predicted over measured cycles − 1."))


def _host_and_link(device):
    results = {"host": host_times(device.config), "load": load_rates(device.config), "link": link_rates(device)}
    return results


def _print_link(results):
    link, remote, host = results["link"], results.get("remote_client"), results["host"]
    print(paragraph(f"link: upload {link['upload_bytes_per_s']/1e6:.2f} MB/s, {link['upload_payload']:.1%} of the "
        f"bytes payload; read-back {link['download_bytes_per_s']/1e6:.2f} MB/s"))
    if remote:
        print(paragraph(f"LiteX RemoteClient on the same link: upload {remote['upload_bytes_per_s']/1e6:.4f} MB/s "
            f"({link['upload_bytes_per_s']/remote['upload_bytes_per_s']:.0f}× slower), read-back "
            f"{remote['download_bytes_per_s']/1e6:.4f} MB/s "
            f"({link['download_bytes_per_s']/remote['download_bytes_per_s']:.0f}× slower)"))
    print(paragraph(f"host: packing takes {host['pack_over_copy']:.1f}× the time of copying the float matrix, "
        f"quantising {host['quantize_over_copy']:.1f}×"))
    rates = ", ".join(f"{name} {rate/1e6:.0f}" for name, rate in results["load"].items())
    print(paragraph(f"host: from a GGUF file to weight streams, MB of file in a second of one core: {rates}"))


def _board_models(boards, args):
    """What models boards: those with the host's decoder, and those with the device's or None."""
    from mixpe.bench.board import GenerationModel
    from mixpe.bench.ondevice import DecoderModel
    from mixpe_boards.table import load_results
    options  = {"link": args.link, "results": load_results(), "group_size": args.group_size}
    models   = [GenerationModel(board, activations=args.activations or ACTIVATIONS_OF_HOST, **options)
        for board in boards]
    kind     = args.activations if args.activations in ACTIVATIONS else None
    decoders = [None if board.decoder is None else DecoderModel(board, activations=kind, **options)
        for board in boards]
    return models, decoders


def run_boards(args):
    """Model language models on a board, or on all."""
    from mixpe.bench.boardtable import all_boards_text, board_text
    from mixpe.bench.decodertable import all_decoders_text, decoder_text
    from mixpe_boards.registry import BOARDS, find_board
    if args.prompt < 0:
        raise RangeError(f"--prompt must be a number of tokens from 0, not {args.prompt}")
    boards = list(BOARDS.values()) if args.board == ALL else [find_board(args.board)]
    if args.board == ALL and args.link:
        boards = [board for board in boards if args.link in board.links]
    models, decoders = _board_models(boards, args)
    named  = find_models(args.model)
    found, decoded = [], []
    with Progress("model", len(models)*len(named), "models") as progress:
        for model, decoder in zip(models, decoders, strict=True):
            found.append([])
            decoded.append(None if decoder is None else [])
            for each in named:
                found[-1].append(model.row(each, args.prompt))
                if decoder is not None:
                    decoded[-1].append(decoder.row(each))
                progress.advance(1)
    if args.json:
        print(json.dumps([{"board": model.board.name, "modelled": True, "clock_hz": model.clock_hz,
            "clock": model.clock_text, "link": model.link, "turn_s": model.turn_s, "group_size": model.group_size,
            "memory_beats_per_cycle": model.timing.read_rate, "memory_measured": model.memory_measured,
            "memory": model.memory_text, "activations": model.activations, "models": [row.to_dict() for row in rows],
            "decoder": None if some is None else [row.to_dict() for row in some if row is not None]}
            for model, rows, some in zip(models, found, decoded, strict=True)], indent=1))
    elif args.board == ALL:
        print(all_boards_text(models, found))
        print(f"\n{all_decoders_text(boards, decoders, decoded, [model.name for model in named])}")
    else:
        print(board_text(models[0], found[0]))
        rows = [row for row in decoded[0] or () if row is not None]
        if rows:
            print(f"\n{decoder_text(decoders[0], rows)}")
    return 0


def run_cpu(args):
    """Measure a model on this machine's CPU, and model the boards on it."""
    from mixpe.bench.board import GenerationModel
    from mixpe.bench.boardtable import cpu_text
    from mixpe.bench.cpu import measure_cpu
    from mixpe.lm import checkpoint
    from mixpe_boards.registry import BOARDS
    from mixpe_boards.table import load_results
    for option, value in (("--board", args.board), ("--link", args.link), ("--prompt", args.prompt)):
        if value:
            raise RangeError(f"--cpu has all boards beside it, decoding over their first links: leave {option} out")
    name, *more = args.model or ["smollm2"]
    if more:
        raise RangeError(f"--cpu measures one model, not {1 + len(more)}")
    opened = checkpoint.opened(name)
    with Progress("measure", 1, "models") as progress:
        found = measure_cpu(name, opened, threads=args.threads, tokens=args.tokens)
        progress.advance(1)
    results = load_results()
    kind    = args.activations or ACTIVATIONS_OF_HOST
    models  = [GenerationModel(board, results=results, group_size=args.group_size, activations=kind)
        for board in BOARDS.values()]
    shape = Model(name=name, architecture=opened.architecture)
    rows  = [model.row(shape) for model in models]
    if args.json:
        print(json.dumps({"cpu": found.to_dict(), "boards": [{"board": model.board.name, "modelled": True,
            "group_size": model.group_size, "activations": model.activations, "memory_bytes_per_s":
            model.board.memory_mbps*1e6, **row.to_dict()} for model, row in zip(models, rows, strict=True)]}, indent=1))
    else:
        print(cpu_text(found, models, rows))
    return 0


def _tokens(args):
    """Tokens with the decoder on the device: counted on the simulated SoC that has it, and modelled for boards."""
    from mixpe.bench.ondevice import DecoderModel
    from mixpe_boards.registry import BOARDS
    models = find_models(TOKEN_MODELS)
    boards = [DecoderModel(BOARDS[name], results={}, group_size=args.group_size) for name in TOKEN_BOARDS]
    with mixpe.open(TOKEN_DEVICE) as device:
        return count_tokens(device) + board_tokens(models, boards)


def run(args):
    """Run the command."""
    if args.cpu:
        return run_cpu(args)
    if args.board:
        return run_boards(args)
    layers = [layer for layer in LAYERS if not args.quick or layer.label in QUICK]
    results = {}
    with mixpe.open(args.device) as device:
        config = device.config
        read_rate = bare_read_rate(device)
        todo = list(cases(layers, fused=config.fused))
        rows = []
        with Progress("bench", len(todo), "cases") as progress:
            for case in todo:
                rows.append(measure(device, case, group_size=args.group_size, read_rate=read_rate))
                progress.advance(1)
        info = device.info()
        if not args.no_link:
            results = _host_and_link(device)
    if not args.no_link and args.device.startswith("sim"):
        from mixpe_sim.process import open_sim
        with open_sim(memory="sdr" if config.port_bits == 16 else "ddr3", probe=True,
                **{name: value for name, value in config.to_dict().items() if name != "port_bits"}) as process:
            address = process.url.split("//")[1]
            results["remote_client"] = remote_client_rates(address, info["mem_base"])
    tokens = _tokens(args) if args.device.startswith("sim") else []  # on the simulated SoC that has a decoder
    folder = Path(args.out)
    folder.mkdir(parents=True, exist_ok=True)
    results = {"device": info, "bare_read_rate": read_rate, "rows": [_row(row) for row in rows], **results,
        "tokens": [row.to_dict() for row in tokens]}
    (folder / "bench.json").write_text(json.dumps(results, indent=1), encoding="utf-8")
    figures = []
    try:
        from mixpe.bench.plots import roofline, where_cycles_go
        from mixpe.bench.tokenplot import where_a_token_goes
        roofline(folder / "roofline.png", rows, config, read_rate)
        where_cycles_go(folder / "cycles.png", rows)
        figures = ["roofline.png", "cycles.png"]
        if tokens:
            where_a_token_goes(folder / "token.png", tokens)
            figures.append("token.png")
    except ModuleNotFoundError as error:
        print(f"no figures: {error.name} is missing; pip install 'mixpe[plot]'", file=sys.stderr)
    if args.json:
        print(json.dumps(results))
        return 0
    _print_table(rows, config, read_rate)
    if tokens:
        print(f"\n{tokens_text(tokens)}")
    print()
    if not args.no_link:
        _print_link(results)
    print(paragraph(f"figures and data: {', '.join(str(folder / name) for name in [*figures, 'bench.json'])}"))
    return 0
