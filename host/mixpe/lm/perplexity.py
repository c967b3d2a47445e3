# SPDX-License-Identifier: BSD-2-Clause
"""How well a model with a tokenizer predicts a text: nats a token and bits a byte, in float32 and as a device computes.

Windows are those of `evaluate`, of tokens instead of bytes.
"""

import math

import numpy as np

from mixpe import terminal
from mixpe.errors import ModelError
from mixpe.formats.tensor import FloatTensor
from mixpe.lm.evaluate import log2_softmax, windows
from mixpe.lm.exact import ExactLinear
from mixpe.lm.model import LlamaModel
from mixpe.lm.offload import DeviceLoader
from mixpe.lm.weights import Weights
from mixpe.plan.kinds import KINDS
from mixpe_gateware.contract.config import Config

ACTIVATIONS = tuple(reversed(KINDS))  # by default: the best first
CONTEXT = 512  # tokens that the model sees at once
ROWS    = 64   # tokens whose probabilities are worked on at a time: a vocabulary may have 2^18 of them


class HostDevice:
    """What `DeviceLoader` needs of a device, with a device's bits and without its memory."""

    config = Config(minima=True)

    def load(self, matrix, activations="a8", remake=None, name=None):
        """As `Device.load`."""
        return ExactLinear(matrix, activations)

    def run(self, requests):
        """As `Device.run`."""
        return [layer(x) for layer, x in requests]


def cost(model, tokens, pieces, progress=None):
    """Nats of the windows' tokens, and how many tokens these are.

    Parameters
    ----------
    model : LlamaModel
    tokens : (t,) int64
    pieces : list of (begin, first, end)
        From `windows`.
    progress : callable, optional
        Called with the number of windows done since the last call.
    """
    total, count = 0.0, 0
    for begin, first, end in pieces:
        logits = model.logits(tokens[begin:end - 1])[first - begin - 1:]
        wanted = tokens[first:end]
        for start in range(0, len(wanted), ROWS):
            some   = wanted[start:start + ROWS]
            total -= math.log(2)*float(log2_softmax(logits[start:start + ROWS])[np.arange(len(some)), some].sum())
        count += len(wanted)
        if progress is not None:
            progress(1)
    return total, count


def evaluate_tokens(checkpoint, tokenizer, text, *, limit=4, most=None, activations=ACTIVATIONS, group_sizes=(128,),
                    bits=4, decoder=False, progress=None):
    """Cost of a text by a model's float32 weights, and as a device computes it.

    Parameters
    ----------
    checkpoint : Checkpoint
    tokenizer : Tokenizer
    text : bytes
        UTF-8; what is none becomes U+FFFD.
    limit : int or None
        Windows of `CONTEXT` tokens, evenly spread over the text; None takes all of it.
    most : int, optional
        Predict only so many tokens from the text's beginning.
    activations : sequence of str
        Of `plan.kinds`.
    group_sizes : sequence of int
        For weights that are stored as floats; where there is none, the first alone counts.
    bits : int
        Likewise.
    decoder : bool
        Each once more in the arithmetic of the decoder.
    progress : callable, optional
        Called with a label, the number of windows done since the last call, and of all.

    Returns
    -------
    rows : list of dict
        ``weights``, ``activations``, ``arithmetic``, ``nats_per_token``, ``bits_per_byte``, ``cost_percent`` against
        float32, which comes first.
    count : dict
        ``tokens``, ``bytes`` and ``windows`` that were predicted.
    notes : tuple of str
        What of the weights is not the file's own on a device.

    Raises
    ------
    ModelError
        The text has fewer than two tokens.
    """
    config  = checkpoint.architecture
    tokens  = np.array(tokenizer.encode(text.decode("utf-8", "replace"), parse_special=False), np.int64)
    tokens  = tokens if most is None else tokens[:most + 1]
    pieces  = windows(tokens, min(CONTEXT, config.max_position_embeddings), limit)
    if not pieces:
        raise ModelError(f"a text of {len(tokens)} tokens is too short to evaluate; give at least 2")
    size    = sum(len(tokenizer.piece(token)) for _, first, end in pieces for token in tokens[first:end])
    weights = Weights(checkpoint.tensors)
    layers  = [tensor for tensor in checkpoint.tensors.values() if len(tensor.shape) == 2]
    floats  = any(isinstance(tensor, FloatTensor) for tensor in layers)
    sizes   = group_sizes if floats else group_sizes[:1]
    passes  = len(pieces)*(1 + len(sizes)*len(activations)*(1 + decoder))
    rows, notes, total = [], (), 0

    def add(model, name, kind, arithmetic="float32"):
        nonlocal total
        label = name if kind is None else f"{name} {kind.upper()}"
        label = label if arithmetic == "float32" else f"{label} {arithmetic}"
        nats, total = cost(model, tokens, pieces,
            None if progress is None else lambda count: progress(label, count, passes))
        first = rows[0]["nats_per_token"] if rows else nats/total
        rows.append({"weights": name, "activations": kind, "arithmetic": arithmetic,
            "nats_per_token": nats/total, "bits_per_byte": nats/math.log(2)/size,
            "cost_percent": 100*(nats/total/first - 1)})

    add(LlamaModel(config, weights), "float32", None)
    for group_size in sizes:
        loader = DeviceLoader(HostDevice(), group_size=group_size, bits=bits)
        models = {"float32": LlamaModel(config, weights, loader)}
        if decoder:
            models["decoder"] = models["float32"].in_arithmetic("decoder")
        notes  = loader.changes.notes()
        for kind in activations:
            for layer in loader.layers:
                layer.activations = kind
            for arithmetic, model in models.items():
                add(model, f"W{bits} G={group_size}" if floats else "as on a device", kind, arithmetic)
    return rows, {"tokens": total, "bytes": size, "windows": len(pieces)}, notes


def table(rows):
    """Rows of `evaluate_tokens` as aligned text."""
    cells = []
    for row in rows:
        cells.append((row["weights"], (row["activations"] or "float32").upper(), row["arithmetic"],
            f"{row['nats_per_token']:.4f}", f"{row['bits_per_byte']:.4f}",
            f"{row['cost_percent']:+.2f} %" if row["activations"] else ""))
    return terminal.table(("weights", "activations", "arithmetic", "nats/token", "bits/byte", "cost"), cells, "<<<>>>",
        wrap=(0, 2))
