# SPDX-License-Identifier: BSD-2-Clause
"""Frequencies of rotary positions against transformers' formulas, written out a pair at a time."""

import math

import numpy as np
import pytest

from mixpe.errors import ModelError
from mixpe.formats.hf_config import architecture_of
from mixpe.formats.rope import Rope, yarn_magnitude


def plain(theta, d):
    return [1/theta**(2*i/d) for i in range(d//2)]


def llama3(theta, d, factor, low, high, context):
    found = []
    for f in plain(theta, d):
        wavelength = 2*math.pi/f
        if wavelength < context/high:
            found.append(f)
        elif wavelength > context/low:
            found.append(f/factor)
        else:
            smooth = (context/wavelength - low)/(high - low)
            found.append((1 - smooth)*f/factor + smooth*f)
    return found


def yarn(theta, d, factor, context, fast=32, slow=1, whole=True):
    def dim(turns):
        return d*math.log(context/(turns*2*math.pi))/(2*math.log(theta))

    low, high = dim(fast), dim(slow)
    if whole:
        low, high = math.floor(low), math.ceil(high)
    low, high = max(low, 0), min(high, d - 1)
    found = []
    for i, f in enumerate(plain(theta, d)):
        keep = 1 - min(1, max(0, (i - low)/(high - low)))
        found.append(f/factor*(1 - keep) + f*keep)
    return found


@pytest.mark.parametrize("d, theta", [(64, 10000.0), (128, 500000.0), (2, 100.0)])
def test_frequencies(d, theta):
    assert np.allclose(Rope(theta=theta).frequencies(d), plain(theta, d), rtol=1e-12)
    assert np.allclose(Rope(theta=theta, kind="linear", factor=4.0).frequencies(d), np.array(plain(theta, d))/4)
    for low, high, context in ((1.0, 4.0, 8192), (1.0, 32.0, 2048)):
        rope = Rope(theta=theta, kind="llama3", factor=8.0, low_freq_factor=low, high_freq_factor=high,
            trained_context=context)
        assert np.allclose(rope.frequencies(d), llama3(theta, d, 8, low, high, context), rtol=1e-12)
    if d > 2:
        for whole in (True, False):
            rope = Rope(theta=theta, kind="yarn", factor=4.0, trained_context=32768, whole_pairs=whole)
            assert np.allclose(rope.frequencies(d), yarn(theta, d, 4, 32768, whole=whole), rtol=1e-12)
    assert np.isfinite(Rope(theta=theta, kind="yarn", factor=4.0, trained_context=1).frequencies(d)).all()


def test_magnitude():
    assert yarn_magnitude(4) == pytest.approx(0.1*math.log(4) + 1) and yarn_magnitude(1) == yarn_magnitude(0.5) == 1


@pytest.mark.parametrize("values", [
    {"kind": "longrope"}, {"theta": 1.0}, {"theta": math.inf}, {"theta": math.nan}, {"kind": "llama3"},
    {"kind": "yarn"}, {"factor": 0}, {"factor": "2"}, {"beta_fast": -1},
    {"kind": "llama3", "trained_context": 8, "low_freq_factor": 4.0, "high_freq_factor": 4.0}])
def test_positions_that_cannot_be(values):
    with pytest.raises(ModelError):
        Rope(**values)


LLAMA3 = {"factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 32}


@pytest.mark.parametrize("old, kind", [
    ({}, "default"), ({"rope_scaling": None}, "default"),
    ({"rope_scaling": {"type": "linear", "factor": 2.0}}, "linear"),
    ({"rope_scaling": {"rope_type": "linear", "factor": 2}}, "linear"),
    ({"rope_scaling": {"rope_type": "llama3"} | LLAMA3}, "llama3"),
    ({"rope_scaling": {"type": "yarn", "factor": 4.0, "original_max_position_embeddings": 16}}, "yarn"),
    ({"rope_scaling": {"type": "yarn", "factor": 4.0}}, "yarn"),
    ({"rope_scaling": {"type": "dynamic", "factor": 4.0}}, "default"),
    ({"rope_scaling": {"type": "default", "rope_type": "default"}}, "default"),
])
def test_both_wordings_say_the_same(small, old, kind):
    config = small.config(small.architecture(), rope_theta=1e5) | old
    found  = architecture_of(config, True).rope
    scaling = old.get("rope_scaling") or {}
    new = {key: value for key, value in config.items() if key not in ("rope_theta", "rope_scaling")}
    new["rope_parameters"] = {"rope_type": scaling.get("type", "default"), "rope_theta": 1e5} | {
        key: value for key, value in scaling.items() if key != "type"}
    again = architecture_of(new, True).rope
    assert found.kind == again.kind == kind and found.theta == 1e5
    assert found.frequencies(16).tolist() == again.frequencies(16).tolist()
    assert found.magnitude == again.magnitude == (yarn_magnitude(4) if kind == "yarn" else 1)
    if kind == "yarn":
        assert found.trained_context == scaling.get("original_max_position_embeddings", 64)


def test_options_of_yarn(small):
    def rope(**more):
        scaling = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 16} | more
        return architecture_of(small.config(small.architecture(), rope_scaling=scaling), True).rope

    assert rope(attention_factor=1.5).magnitude == 1.5 and rope(truncate=False).whole_pairs is False
    assert (rope(beta_fast=16, beta_slow=2).beta_fast, rope(beta_fast=16, beta_slow=2).beta_slow) == (16, 2)
    assert rope(mscale=1.0, mscale_all_dim=1.0).magnitude == 1
    assert rope(factor=None).factor == 4  # 64 positions over 16


@pytest.mark.parametrize("scaling, message", [
    ({"type": "longrope"}, "'longrope'"), ({"type": ["linear"]}, "kind"), ({"rope_type": "mrope"}, "'mrope'"),
    ({"type": "linear"}, "factor"), ({"type": "linear", "factor": 10**400}, "factor"),
    ({"rope_type": "llama3", "factor": 8.0}, "original_max_position_embeddings"), ("linear", "must be an object"),
    ({"rope_type": "llama3"} | LLAMA3 | {"low_freq_factor": 0}, "low_freq_factor"),
    ({"rope_type": "llama3"} | LLAMA3 | {"high_freq_factor": 1.0}, "high_freq_factor over"),
    ({"full_attention": {"rope_type": "default"}}, "differs from layer to layer"),
    ({"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 10**400}, "original_max"),
    ({"rope_type": "yarn", "factor": 4.0, "beta_fast": -1}, "beta_fast"),
    ({"rope_type": "default", "partial_rotary_factor": 0.5}, "turns 0.5"),
])
def test_scalings_that_cannot_be(small, scaling, message):
    with pytest.raises(ModelError, match=message):
        architecture_of(small.config(small.architecture(), rope_scaling=scaling), True)
