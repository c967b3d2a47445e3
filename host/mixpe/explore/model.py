# SPDX-License-Identifier: BSD-2-Clause
"""What the exploration measures on the packaged model: each arithmetic's fidelity; the energy proxy's layer."""

import hashlib

import numpy as np

from mixpe.lm import checkpoint, evaluate
from mixpe.lm.model import FloatLinear, LlamaModel
from mixpe.models import corpus
from mixpe.quant.sqnr import sqnr_db

SAMPLE_ROWS    = 256  # activation rows a layer that SQNR is measured on
SEED           = 0    # of the choice of rows, channels and tokens
ENERGY_STREAMS = 80   # output channels and tokens that the energy proxy is measured on


class _Recorder:
    """A float layer that keeps some of its inputs."""

    def __init__(self, weight):
        self.weight = weight
        self.inputs = []
        self._linear = FloatLinear(weight)

    def __call__(self, x):
        self.inputs.append(np.array(x, np.float32).reshape(-1, x.shape[-1]))
        return self._linear(x)


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
    recorders = {}

    def record(name, weight):
        recorders[name] = _Recorder(weight)
        return recorders[name]

    model = LlamaModel(config, tensors, record)
    floats = evaluate.bits_per_byte(model, text, pieces)
    rng = np.random.default_rng(SEED)
    samples = {}
    for name, recorder in recorders.items():
        inputs = np.concatenate(recorder.inputs)
        samples[name] = inputs[rng.choice(len(inputs), min(SAMPLE_ROWS, len(inputs)), replace=False)]
        recorder.inputs.clear()
    known["FP32"] = {"arithmetic": "FP32", "sqnr_db": None, "bits_per_byte": floats}
    cache.put(cache.key(**parts, name="FP32"), known["FP32"])
    for name in arithmetic.ARITHMETIC:
        if known[name]:
            continue
        ratios = []
        for job, recorder in recorders.items():
            exact = samples[job].astype(np.float64) @ recorder.weight.astype(np.float64).T
            ratios.append(sqnr_db(exact, arithmetic.layer(name, recorder.weight)(samples[job])))

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
    recorders = {}

    def record(name, weight):
        recorders[name] = _Recorder(weight)
        return recorders[name]

    evaluate.bits_per_byte(LlamaModel(config, tensors, record), text, evaluate.windows(text, 256, 1))
    layer = recorders["layers.1.gate_up"]
    rng   = np.random.default_rng(SEED)
    x     = layer.inputs[0][rng.choice(len(layer.inputs[0]), ENERGY_STREAMS, replace=False)]
    w     = layer.weight[rng.choice(len(layer.weight), ENERGY_STREAMS, replace=False)]
    return w, x, len(layer.weight)
