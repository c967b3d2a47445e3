# SPDX-License-Identifier: BSD-2-Clause
"""What the exploration measures on the packaged model: each arithmetic's fidelity; the energy proxy's layer."""

import hashlib

import numpy as np

from mixpe.lm import checkpoint, evaluate
from mixpe.lm.linear import job_weight
from mixpe.lm.model import LlamaModel
from mixpe.lm.recorder import recorded
from mixpe.models import corpus
from mixpe.quant.sqnr import sqnr_db

SAMPLE_ROWS    = 256  # activation rows a layer that SQNR is measured on
SEED           = 0    # of the choice of rows, channels and tokens
ENERGY_STREAMS = 80   # output channels and tokens that the energy proxy is measured on
ENERGY_JOB     = "layers.1.gate_up"


def _fidelity_parts(config, tensors, text, windows):
    """What fidelity depends on: the model, the text, and the code that computes it."""
    import inspect

    from mixpe.explore import arithmetic
    from mixpe.lm import model
    from mixpe_gateware.baselines import ant, float16, olive

    digest = hashlib.sha256(repr(config).encode())
    for name in sorted(tensors):
        digest.update(name.encode() + np.ascontiguousarray(tensors[name]).tobytes())
    digest.update(text.tobytes())
    for module in (arithmetic, ant, olive, float16, model, evaluate):
        digest.update(inspect.getsource(module).encode())
    return {"step": "fidelity", "content": digest.hexdigest(), "windows": windows, "rows": SAMPLE_ROWS}


def _inputs(config, tensors, text, pieces):
    """Bits per byte of the float model, and what its jobs get: dict of job → list of (m, k) float32, in their order."""
    inputs = {}
    model  = LlamaModel(config, tensors, recorded(lambda name, x: inputs.setdefault(name, []).append(x)))
    return evaluate.bits_per_byte(model, text, pieces), inputs


def _float_run(config, tensors, text, pieces):
    """Bits per byte of the float model, and some rows of what its jobs get: dict of job → (rows, k) float32."""
    floats, inputs = _inputs(config, tensors, text, pieces)
    rng, samples   = np.random.default_rng(SEED), {}
    for name in list(inputs):
        rows = np.concatenate(inputs.pop(name))
        samples[name] = rows[rng.choice(len(rows), min(SAMPLE_ROWS, len(rows)), replace=False)]
    return floats, samples


def fidelity(windows, cache_folder=None, progress=None):
    """SQNR and bits per byte of each arithmetic on the packaged model; cached by content.

    Parameters
    ----------
    windows : int
        Windows of held-out text, evenly spread.
    cache_folder : str, optional
    progress : callable, optional
        Called with 1 after each arithmetic, with the number of those that are known at first.

    Returns
    -------
    list of dict
        ``arithmetic``, ``sqnr_db`` (mean over layers), ``bits_per_byte``, and what they are of: ``windows`` of text,
        ``rows`` a layer, the ``content`` of model, text and code, ``seed`` and ``tools``. Float32 first.
    """
    from mixpe.explore import arithmetic
    from mixpe.explore.cost.cache import Cache

    config, tensors = checkpoint.read()
    text = np.frombuffer(corpus.load("held-out").joined(), np.uint8)
    pieces = evaluate.windows(text, config.max_position_embeddings, windows)
    cache, parts = Cache(cache_folder), _fidelity_parts(config, tensors, text, windows)
    names = ("FP32", *arithmetic.ARITHMETIC)
    known = {name: cache.get(cache.key(**parts, name=name)) for name in names}
    about = {"windows": windows, "rows": SAMPLE_ROWS, "content": parts["content"], "seed": SEED,
             "tools": {"numpy": np.__version__}}
    if progress is not None:
        progress(sum(known[name] is not None for name in arithmetic.ARITHMETIC))
    if all(known.values()):
        return [row | about for row in known.values()]
    floats, samples = _float_run(config, tensors, text, pieces)
    known["FP32"] = {"arithmetic": "FP32", "sqnr_db": None, "bits_per_byte": floats}
    cache.put(cache.key(**parts, name="FP32"), known["FP32"])
    for name in arithmetic.ARITHMETIC:
        if known[name]:
            continue
        ratios = []
        for job, sample in samples.items():
            weight = job_weight(tensors, job)
            exact  = sample.astype(np.float64) @ weight.astype(np.float64).T
            ratios.append(sqnr_db(exact, arithmetic.layer(name, weight)(sample)))

        def make(_job, weight, name=name):
            apply = arithmetic.layer(name, weight)
            return lambda x: apply(x).astype(np.float32)

        bits = evaluate.bits_per_byte(LlamaModel(config, tensors, make), text, pieces)
        known[name] = {"arithmetic": name, "sqnr_db": float(np.mean(ratios)), "bits_per_byte": bits}
        cache.put(cache.key(**parts, name=name), known[name])
        if progress is not None:
            progress(1)
    return [row | about for row in known.values()]


def energy_layer():
    """Weights and activations that the energy proxy is measured on.

    Streams are output channels of one feed-forward layer with tokens of held-out text, all of the layer's inputs each.

    Returns
    -------
    w, x : (streams, k) float32
    channels : int
        Of the layer.
    """
    config, tensors = checkpoint.read()
    text = np.frombuffer(corpus.load("held-out").joined(), np.uint8)
    _, inputs = _inputs(config, tensors, text, evaluate.windows(text, 256, 1))
    inputs    = inputs[ENERGY_JOB][0]
    weight    = job_weight(tensors, ENERGY_JOB)
    rng = np.random.default_rng(SEED)
    x   = inputs[rng.choice(len(inputs), ENERGY_STREAMS, replace=False)]
    w   = weight[rng.choice(len(weight), ENERGY_STREAMS, replace=False)]
    return w, x, len(weight)
