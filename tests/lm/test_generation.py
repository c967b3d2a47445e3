# SPDX-License-Identifier: BSD-2-Clause
"""Sampling, the course of a generation, and its statistics."""

import numpy as np
import pytest

from mixpe.errors import RangeError
from mixpe.lm import LlamaModel, Phase, Sampler
from mixpe.lm.deployment import Deployment

LOGITS = np.log(np.array([0.1, 0.4, 0.2, 0.3], np.float32))


def test_temperature_zero_takes_the_likeliest():
    assert Sampler()(LOGITS) == 1
    assert Sampler()(np.zeros(4, np.float32)) == 0


def test_draws_follow_the_probabilities():
    sampler = Sampler(temperature=1.0, seed=3)
    counts = np.bincount([sampler(LOGITS) for _ in range(4000)], minlength=4) / 4000
    np.testing.assert_allclose(counts, [0.1, 0.4, 0.2, 0.3], atol=0.03)


def test_low_temperature_sharpens():
    sampler = Sampler(temperature=0.5, seed=3)
    counts = np.bincount([sampler(LOGITS) for _ in range(4000)], minlength=4) / 4000
    np.testing.assert_allclose(counts, np.array([1, 16, 4, 9]) / 30, atol=0.03)


@pytest.mark.parametrize("top_p, kept", [
    (0.01, {1}), (0.4, {1}), (0.5, {1, 3}), (0.85, {1, 2, 3}), (1.0, {0, 1, 2, 3}),
])
def test_top_p_keeps_the_smallest_set(top_p, kept):
    sampler = Sampler(temperature=1.0, top_p=top_p, seed=4)
    assert {sampler(LOGITS) for _ in range(300)} == kept


def test_equal_seeds_give_equal_text(config, tensors):
    model = LlamaModel(config, tensors)
    options = dict(temperature=1.0, top_p=0.9)
    first = b"".join(model.generate(b"abc", 30, seed=5, **options))
    assert b"".join(model.generate(b"abc", 30, seed=5, **options)) == first
    assert b"".join(model.generate(b"abc", 30, seed=6, **options)) != first


def test_bytes_appear_one_by_one(config, tensors):
    model = LlamaModel(config, tensors)
    text = model.generate(b"abc", 4)
    assert text.statistics() is None and model.jobs["lm_head"].calls == 0
    for made in range(1, 5):
        assert len(next(text)) == 1
        assert model.jobs["lm_head"].calls == made
        assert len(text.tokens) == made
    with pytest.raises(StopIteration):
        next(text)


def test_greedy_text_is_that_of_the_logits(config, tensors):
    model = LlamaModel(config, tensors)
    text = b"abc"
    for _ in range(10):
        text += bytes([int(np.argmax(model.logits(text)[-1]))])
    assert b"abc" + b"".join(model.generate(b"abc", 10)) == text


def test_statistics_of_a_device(folder):
    with LlamaModel.from_pretrained(folder, "reference", group_size=32) as model:
        text = model.generate(b"abcd", 5)
        list(text)
        found = text.statistics()
    assert found.generated == 5
    assert (found.prefill.tokens, found.decode.tokens) == (4, 4)
    assert found.decode.seconds > found.decode.linear_s > 0
    assert found.decode.counters["jobs"] == 4 * 9  # four tokens, four jobs a layer and the head
    floats = 4 * (2 * (128 + 64 + 192 + 64) + 256)  # results of one token
    assert floats <= found.decode.received_bytes / 4 <= 2 * floats
    assert "array busy" in found.table()
    assert found.to_dict()["decode"]["tokens"] == 4


def test_statistics_without_a_device_say_so(config, tensors):
    text = LlamaModel(config, tensors).generate(b"abcd", 2)
    list(text)
    assert text.statistics().decode.link_bytes is None
    assert text.statistics().table().count("not reported") == 8


def test_board_model_adds_its_parts():
    phase = Phase(tokens=2, seconds=5.0, linear_s=4.0, sent_bytes=400, received_bytes=600,
                  counters={"cycles": 1000, "busy": 600})
    parts = Deployment(1000.0, "serial-1M").seconds(phase)
    assert parts == pytest.approx({"array": 0.3, "memory": 0.2, "link": 0.005, "host": 0.5})
    assert Deployment(1000.0, "serial-1M").seconds(Phase(2, 5.0, 4.0, 4, 6, {"cycles": 0})) is None
    assert Deployment(1000.0, "serial-1M").seconds(Phase(2, 5.0, 4.0, None, None, {"cycles": 9, "busy": 1})) is None


@pytest.mark.parametrize("clock_hz, link", [
    (0, "serial-1M"), (-1, "serial-1M"), (float("nan"), "serial-1M"), (1, "usb"),
])
def test_board_refuses_nonsense(clock_hz, link):
    with pytest.raises(RangeError):
        Deployment(clock_hz, link)
