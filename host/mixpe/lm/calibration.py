# SPDX-License-Identifier: BSD-2-Clause
"""Calibration of a model's linear layers for GPTQ: what inputs they get while the float model reads text."""

import numpy as np

from mixpe.errors import RangeError
from mixpe.lm.model import LlamaModel
from mixpe.lm.recorder import recorded
from mixpe.quant import gptq

BATCH = 8  # windows that pass through the model together


def calibration_windows(text, context, count=64, seed=0):
    """Draw calibration windows from a text.

    Parameters
    ----------
    text : (t,) uint8
        Training text; held-out text has no place here.
    context : int
        Bytes of a window.

    Returns
    -------
    (count, context) int64

    Raises
    ------
    RangeError
        The text is shorter than one window.
    """
    if len(text) < context:
        raise RangeError(f"calibration text must have at least {context} bytes, not {len(text)}")
    starts = np.random.default_rng(seed).integers(len(text) - context + 1, size=count)
    return text[starts[:, None] + np.arange(context)].astype(np.int64)


def calibrate(config, tensors, windows, progress=None):
    """Hessians of all jobs of a model on calibration text.

    Parameters
    ----------
    config, tensors
        As `checkpoint.read` gives them.
    windows : (b, t) integers
        Token sequences, at least one.
    progress : callable, optional
        Called with the number of windows done since the last call.

    Returns
    -------
    dict of job → (k, k) float64
        XᵀX of the float model's inputs; they do not depend on G.
    """
    hessians = {}

    def observe(name, x):
        if name not in hessians:
            hessians[name] = np.zeros((x.shape[1],)*2, np.float64)
        hessians[name] += x.T @ x

    model = LlamaModel(config, tensors, recorded(observe))
    for start in range(0, len(windows), BATCH):
        batch = windows[start:start + BATCH]
        model.logits(batch)
        if progress is not None:
            progress(len(batch))
    return hessians


def quantiser(hessians, group_size=128):
    """What `LlamaModel.from_pretrained` takes as `quantiser`: (name, weight) → Int4Matrix by GPTQ."""
    return lambda name, weight: gptq.quantize(weight, hessians[name], group_size)
