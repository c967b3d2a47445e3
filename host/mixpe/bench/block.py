# SPDX-License-Identifier: BSD-2-Clause
"""The linear layers of one decoder block on a device, on real activations, against the reference bit for bit."""

import numpy as np

from mixpe.devices import open_device
from mixpe.devices.driver import driver_of
from mixpe.errors import ModelError
from mixpe.lm.model import LlamaModel
from mixpe.lm.recorder import recorded
from mixpe.models import corpus
from mixpe.quant.quantize import quantize, quantize_activations
from mixpe.quant.sqnr import sqnr_db
from mixpe_gateware.contract import reference

# Layers of a decoder block, and the job of the model whose input they get.
LAYERS = {
    "self_attn.q_proj": "qkv", "self_attn.k_proj": "qkv", "self_attn.v_proj": "qkv", "self_attn.o_proj": "o",
    "mlp.gate_proj": "gate_up", "mlp.up_proj": "gate_up", "mlp.down_proj": "down",
}


def held_out_text(context):
    """That many bytes from the middle of the first held-out file that is long enough.

    Returns
    -------
    name : str
        Of the file.
    text : (context,) uint8

    Raises
    ------
    ModelError
        No file is, or this interpreter has no held-out files.
    """
    try:
        files = corpus.load("held-out").files
    except ValueError as error:
        raise ModelError(str(error)) from None
    for name, text in files:
        if len(text) >= 2*context:
            return name, np.frombuffer(text[len(text)//2:len(text)//2 + context], np.uint8)
    raise ModelError(f"no held-out file has {2*context} bytes; ask for a shorter context")


def block_inputs(config, tensors, block, text, tokens):
    """Inputs of a block's jobs at the last tokens of a text that the float model reads: dict of job → (tokens, k)."""
    inputs = {}
    LlamaModel(config, tensors, recorded(inputs.__setitem__)).logits(text)
    return {job: np.ascontiguousarray(inputs[f"layers.{block}.{job}"][-tokens:], np.float32)
        for job in dict.fromkeys(LAYERS.values())}


def load_layers(device, tensors, group_size, activations):
    """Quantise every linear layer of every block, and the head, and load them: dict of name → DeviceLinear."""
    return {name: device.load(quantize(np.asarray(tensor, np.float32), group_size), activations)
        for name, tensor in tensors.items() if tensor.ndim == 2 and "embed" not in name}


def run_block(device, layers, tensors, block, inputs):
    """Run a block's layers, one by one and then all without waiting, and compare.

    Parameters
    ----------
    device : Device
    layers : dict of name → DeviceLinear
        From `load_layers`.
    tensors : dict of name → array
    block : int
    inputs : dict of job → (m, k) float32
        From `block_inputs`.

    Returns
    -------
    rows : dict of layer → dict
        Figures of `run_layer`; what differs when all are posted without waiting counts as wrong too.
    queued_cycles : int
        Of all without waiting.
    """
    names = {part: f"model.layers.{block}.{part}.weight" for part in LAYERS}
    rows, outputs = {}, {}
    for part, job in LAYERS.items():
        weight = np.asarray(tensors[names[part]])
        outputs[part], rows[part] = run_layer(device, layers[names[part]], weight, inputs[job])
    before = device.counters()["cycles"]
    queued = device.run([(layers[names[part]], inputs[job]) for part, job in LAYERS.items()])
    cycles = device.counters()["cycles"] - before
    for part, y in zip(rows, queued, strict=True):
        rows[part]["output_mismatches"] += _differing(y, outputs[part])
    return rows, cycles


def run_layer(device, layer, weight, x):
    """Run one layer and compare every partial sum and every result.

    Returns
    -------
    y : (m, n) float32
    figures : dict
        ``shape`` (m, k, n), ``partials`` and ``outputs`` compared, ``mismatches`` and ``output_mismatches`` of them,
        ``sqnr_db`` against float64, ``cycles``, and ``beats_per_cycle`` of weights (None without cycles).
    """
    driver = driver_of(device)
    matrix = layer.matrix
    xq, _  = quantize_activations(x)
    padded = np.zeros((len(xq), matrix.k_padded), np.int8)
    padded[:, :matrix.k] = xq
    expected = reference.partials(padded, matrix.q_padded, matrix.span)
    found    = layer.partials(xq)

    before, streamed = device.counters(), driver.streamed_bytes
    y = layer(x)
    cycles = device.counters()["cycles"] - before["cycles"]
    beats  = (driver.streamed_bytes - streamed)//device.config.beat_bytes
    wrong  = _differing(y, _expected_output(layer, x))
    return y, {
        "shape": [len(x), matrix.k, matrix.n], "partials": int(found.size),
        "mismatches": int(np.count_nonzero(found != expected)), "outputs": int(y.size), "output_mismatches": wrong,
        "sqnr_db": sqnr_db(x.astype(np.float64) @ weight.T.astype(np.float64), y), "cycles": cycles,
        "beats_per_cycle": round(beats/cycles, 3) if cycles else None,
    }


def _differing(y, expected):
    """Numbers that do not agree to the bit."""
    return int(np.count_nonzero(y.view(np.uint32) != expected.view(np.uint32)))


def _expected_output(layer, x):
    """What the reference arithmetic makes of a layer's call."""
    with open_device("reference", verify="none") as device:
        return device.load(layer.matrix, layer.activations, fused=False)(x)
