# SPDX-License-Identifier: BSD-2-Clause
"""How well a model predicts held-out text, and what quantisation costs.

Each byte is predicted from at least half a context of bytes before it (at the very beginning: from what there is), so
windows overlap by half and only what is new in them counts. Bits per byte is the mean of −log2 p; the byte-wise
perplexity is 2 to that power.
"""

import gzip

import numpy as np

from mixpe.errors import ModelError, RangeError
from mixpe.lm.calibration import calibrate
from mixpe.lm.exact import ExactLinear
from mixpe.lm.model import LlamaModel
from mixpe.plan.kinds import KINDS
from mixpe.quant import gptq
from mixpe.quant.quantize import quantize

GROUP_SIZES = (32, 64, 128)
QUANTISERS  = ("nearest", "gptq")
ACTIVATIONS = ("a8", "a16")
BATCH       = 16  # windows that pass through the model together


def windows(text, context, limit=None):
    """Cut a text into overlapping windows.

    Parameters
    ----------
    text : (t,) uint8
    context : int
        Bytes that the model sees at once.
    limit : int, optional
        Take only so many, evenly spread.

    Returns
    -------
    list of (begin, first, end)
        Bytes first … end − 1 are to be predicted from those from begin on; end − begin ≤ context + 1.
    """
    half, found, first = context // 2, [], 1
    while first < len(text):
        begin = max(0, first - 1 - half)
        end = min(len(text), begin + context + 1)
        found.append((begin, first, end))
        first = end
    if limit is not None and len(found) > limit:
        found = [found[i] for i in np.linspace(0, len(found) - 1, limit).astype(int)]
    return found


def log2_softmax(logits):
    """Logarithms to base 2 of the probabilities: (…, vocab) float32 → float64."""
    shifted = logits.astype(np.float64) - logits.max(axis=-1, keepdims=True)
    return (shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))) / np.log(2)


def bits_per_byte(model, text, pieces, progress=None):
    """Mean cost of the windows' bytes in bits.

    Parameters
    ----------
    model : LlamaModel, byte-level
    text : (t,) uint8
    pieces : list of (begin, first, end)
        From `windows`.
    progress : callable, optional
        Called with the number of windows done since the last call.

    Returns
    -------
    float
    """
    if model.config.vocab_size != 256:
        raise ModelError(f"bits per byte need a byte-level model (vocab_size 256), not {model.config.vocab_size}")
    total, count = 0.0, 0
    by_length = {}
    for piece in pieces:
        by_length.setdefault(piece[2] - piece[0], []).append(piece)
    for length, same in sorted(by_length.items()):
        for i in range(0, len(same), BATCH):
            batch = same[i:i + BATCH]
            tokens = np.stack([text[begin:end] for begin, _, end in batch]).astype(np.int64)
            cost = -log2_softmax(model.logits(tokens[:, :-1]))
            for row, (begin, first, _) in enumerate(batch):
                wanted = tokens[row, first - begin:]
                total += float(cost[row, np.arange(first - begin - 1, length - 1), wanted].sum())
                count += len(wanted)
            if progress is not None:
                progress(len(batch))
    return total / count


def gzip_bits_per_byte(files):
    """What ``gzip -9`` needs: for each file alone, and for all files joined, in bits a byte.

    Parameters
    ----------
    files : sequence of bytes

    Returns
    -------
    alone, joined : float
    """
    size = sum(len(file) for file in files)
    alone = sum(len(gzip.compress(file, 9, mtime=0)) for file in files)
    return 8 * alone / size, 8 * len(gzip.compress(b"".join(files), 9, mtime=0)) / size


def variants(group_sizes=GROUP_SIZES, activations=ACTIVATIONS, quantisers=QUANTISERS):
    """All quantised variants to evaluate: list of (quantiser, activations, G)."""
    for name in quantisers:
        if name not in QUANTISERS:
            raise RangeError(f"a quantiser is one of {QUANTISERS}, not {name!r}")
    for name in activations:
        if name not in KINDS:
            raise RangeError(f"activations are one of {tuple(KINDS)}, not {name!r}")
    return [(q, a, g) for q in quantisers for a in reversed(activations) for g in group_sizes]


def evaluate(config, tensors, text, *, limit=256, calibration=None, chosen=None, decoder=False,
             progress=None):
    """Bits per byte of a model in float32 and of its quantised variants.

    Parameters
    ----------
    config, tensors
        As `checkpoint.read` gives them; byte-level.
    text : (t,) uint8
        Held-out text.
    limit : int or None
        Windows, evenly spread over the text; None takes all of it.
    calibration : (b, t) integers, optional
        Windows of training text; needed for GPTQ.
    chosen : list of (quantiser, activations, G), optional
        Default: `variants()`.
    decoder : bool
        Each variant once more in the arithmetic of the decoder, as format "… decoder".
    progress : callable, optional
        Called with a label and the number of windows done since the last call.

    Returns
    -------
    list of dict
        ``format``, ``quantiser``, ``group_size``, ``bits_per_byte``, ``perplexity``, ``cost_percent`` against FP32,
        which comes first.

    Raises
    ------
    ModelError
        The model is not byte-level, or GPTQ is wanted without calibration text.
    """
    chosen = variants() if chosen is None else chosen
    pieces = windows(text, config.max_position_embeddings, limit)
    if not pieces:
        raise ModelError(f"a text of {len(text)} bytes is too short to evaluate; give at least 2")
    hessians = None
    if any(name == "gptq" for name, _, _ in chosen):
        if calibration is None:
            raise ModelError("GPTQ needs calibration text; give windows of training text")
        hessians = calibrate(config, tensors, calibration, _labelled(progress, "calibration"))

    rows = [_row("FP32", None, None, LlamaModel(config, tensors), text, pieces, None, progress)]
    matrices = {}
    for name, activations, group_size in chosen:
        def make(job, weight, name=name, activations=activations, group_size=group_size):
            key = (job, name, group_size)
            if key not in matrices:
                matrices[key] = (quantize(weight, group_size) if name == "nearest"
                                 else gptq.quantize(weight, hessians[job], group_size))
            return ExactLinear(matrices[key], activations)
        for arithmetic in ("float32", "decoder")[:1 + decoder]:
            kind = f"W4{activations.upper()}" + (" decoder" if arithmetic == "decoder" else "")
            rows.append(_row(kind, name, group_size, LlamaModel(config, tensors, make, arithmetic=arithmetic), text,
                             pieces, rows[0]["bits_per_byte"], progress))
    return rows


def _labelled(progress, label):
    return None if progress is None else lambda count: progress(label, count)


def _row(kind, quantiser, group_size, model, text, pieces, float_bits, progress):
    label = kind if quantiser is None else f"{kind} G={group_size} {quantiser}"
    bits = bits_per_byte(model, text, pieces, _labelled(progress, label))
    cost = 0.0 if float_bits is None else 100 * (bits / float_bits - 1)
    return {"format": kind, "quantiser": quantiser, "group_size": group_size, "bits_per_byte": bits,
            "perplexity": 2**bits, "cost_percent": cost}
