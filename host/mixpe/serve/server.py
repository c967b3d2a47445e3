# SPDX-License-Identifier: BSD-2-Clause
"""Model, owner and HTTP server together, until they are interrupted."""

import socket
from pathlib import Path

import uvicorn

from mixpe.lm import LlamaModel, checkpoint
from mixpe.lm.text import tokenizer_of
from mixpe.plan.kinds import KINDS
from mixpe.serve.app import Service, make_app
from mixpe.serve.figures import Figures
from mixpe.serve.owner import Owner
from mixpe.serve.protocol import config_of

HOST_SLOTS = 4  # without a device; and at least with its decoder, where what fits no pass takes turns


def _slots(model):
    """Sequences that one pass of the array takes."""
    if model.device is None or model.decodes_on_device:
        return max(HOST_SLOTS, model.sessions_together)
    return max(1, model.device.config.rows//(2 if KINDS[model.activations].wide else 1))


def facts_of(model, name):
    """What the page says about model and device: dict, ready for JSON."""
    device = model.device
    found  = {"model": name, "family": model.config.family, "layers": model.config.num_hidden_layers,
        "context": model.context, "chat": model.tokenizer.chat is not None,
        "activations": model.activations, "device": None}
    if device is not None:
        info = device.info()
        found["device"] = {key: info[key] for key in ("url", "clock_hz", "rows", "lanes", "macs_per_cycle",
            "port_bytes_per_s", "mem_bytes")} | {"beat_bytes": device.config.beat_bytes}
    return found


def start(model, name, key=None, *, slots=None, waiting=32, host="127.0.0.1", check_s=None):
    """An application and the running owner behind it.

    Returns
    -------
    app : Starlette
    owner : Owner
        To be closed.
    """
    figures = Figures(model.device)
    owner   = Owner(model, figures, slots=slots or _slots(model), waiting=waiting, check_s=check_s)
    service = Service(model, name, owner, figures, key, facts_of(model, name))
    owner.start()
    return make_app(service, host), owner


def serve(args, options, key, say):
    """Serve as the command line says, a model loaded with `options`; `say` gets lines for people.

    Raises
    ------
    OSError
        The address is taken or not this machine's.
    MixpeError
        What the model and the device raise.
    """
    opened    = checkpoint.opened(args.model)
    tokenizer = tokenizer_of(opened)
    name      = args.name or Path(args.model).name
    with socket.create_server((args.host, args.port), family=socket.AF_INET6 if ":" in args.host else socket.AF_INET,
                              reuse_port=False) as listening:
        with LlamaModel.from_pretrained(opened, None if args.device == "none" else args.device, **options) as model:
            model.tokenizer = tokenizer
            app, owner = start(model, name, key, slots=args.slots, waiting=args.queue, host=args.host,
                check_s=args.check_s or None)
            try:
                host = f"[{args.host}]" if ":" in args.host else args.host
                say(f"{name} on {args.device}: http://{host}:{listening.getsockname()[1]}/ (Ctrl-C ends)")
                uvicorn.Server(config_of(app)).run(sockets=[listening])
            finally:
                owner.close()
