# SPDX-License-Identifier: BSD-2-Clause
"""What the layers of a model are given, and what calibration makes of it."""

import numpy as np
import pytest

import mixpe
from mixpe.errors import RangeError
from mixpe.lm import LlamaModel
from mixpe.lm.calibration import calibrate, calibration_windows, quantiser
from mixpe.lm.linear import job_weight
from mixpe.lm.recorder import recorded
from mixpe.program.jobs import job_names


def test_every_input_is_seen_and_nothing_changes(config, tensors):
    seen = []
    tokens = np.random.default_rng(0).integers(0, 256, (2, 9))
    model  = LlamaModel(config, tensors, recorded(lambda name, x: seen.append((name, x))))
    np.testing.assert_array_equal(model.logits(tokens), LlamaModel(config, tensors).logits(tokens))
    assert [name for name, _ in seen] == job_names(config)
    assert all(x.shape == (18, job_weight(tensors, name).shape[1]) and x.dtype == np.float32 for name, x in seen)


def test_calibration_sees_every_jobs_inputs(config, tensors):
    windows = calibration_windows(np.random.default_rng(0).integers(0, 256, 500).astype(np.uint8), 48, 10)
    steps = []
    hessians = calibrate(config, tensors, windows, steps.append)
    model = LlamaModel(config, tensors)
    assert set(hessians) == set(model.jobs) and sum(steps) == 10
    assert hessians["layers.1.down"].shape == (96, 96)
    # The first job's inputs are the normed embeddings, whose mean square is that of the norm's weights.
    embedded = tensors["model.embed_tokens.weight"].astype(np.float64)[windows.reshape(-1)]
    normed = embedded / np.sqrt((embedded**2).mean(axis=1, keepdims=True) + config.rms_norm_eps)
    normed *= tensors["model.layers.0.input_layernorm.weight"].astype(np.float64)
    np.testing.assert_allclose(hessians["layers.0.qkv"], normed.T @ normed, rtol=1e-4, atol=1e-2)


def test_short_calibration_text_is_refused():
    with pytest.raises(RangeError, match="at least 48 bytes, not 47"):
        calibration_windows(np.zeros(47, np.uint8), 48)


def test_the_quantiser_takes_each_job_with_its_own_inputs(config, tensors):
    """Another job's Hessian gives other weights, and none an error."""
    windows  = calibration_windows(np.random.default_rng(0).integers(0, 256, 500).astype(np.uint8), 48, 4)
    hessians = calibrate(config, tensors, windows)
    weight   = job_weight(tensors, "layers.0.qkv")
    found    = [quantiser(hessians, 32)(name, weight) for name in ("layers.0.qkv", "layers.1.qkv")]
    assert all(isinstance(matrix, mixpe.Int4Matrix) and matrix.group_size == 32 for matrix in found)
    assert (found[0].packed != found[1].packed).any()
    with pytest.raises(KeyError):
        quantiser(hessians)("layers.9.qkv", weight)
