# SPDX-License-Identifier: BSD-2-Clause
"""Figures of a benchmark and of the exploration: what is named, and where a scale is marked as broken."""

from types import SimpleNamespace

import numpy as np
import pytest

from mixpe.bench import plots
from mixpe.bench.cases import LAYERS
from mixpe.explore.page import figure
from mixpe_gateware.contract.config import Config

pyplot = pytest.importorskip("matplotlib.pyplot")
Text   = pytest.importorskip("matplotlib.text").Text


def rows():
    """Two phases of every layer, whose runs in decode lie at one place."""
    found = []
    for layer in LAYERS:
        macs = layer.n_run*layer.k
        for phase, m, mode, rate in (("decode", 1, "fused", 28), ("decode", 1, "partials", 26),
                                     ("prefill", 32, "fused", 250), ("prefill", 32, "partials", 125)):
            case = SimpleNamespace(layer=layer, phase=phase, mode=mode, activations="a8")
            found.append(SimpleNamespace(case=case, m=m, cycles=m*macs/rate, stream_bytes=macs/1.9))
    return found


@pytest.fixture
def kept(monkeypatch):
    """Figures that are not closed, to be looked at."""
    monkeypatch.setattr(pyplot, "close", lambda _figure: None)
    before = set(pyplot.get_fignums())
    yield lambda: pyplot.figure(max(set(pyplot.get_fignums()) - before))
    monkeypatch.undo()
    for number in set(pyplot.get_fignums()) - before:
        pyplot.close(number)


def test_the_roofline_names_each_layer_at_each_place(kept, tmp_path):
    plots.roofline(tmp_path/"roofline.png", rows(), Config(), 0.88)
    axes, = kept().axes
    names = [text.get_text() for text in axes.texts]
    for layer in LAYERS:
        assert names.count(layer.label) == 3, layer.label  # decode once, prefill fused and partials
    assert names.count("better") == 1
    boxes = [Text.get_window_extent(text) for text in axes.texts if text.get_text() != "better"]  # without its line
    for i, box in enumerate(boxes):
        assert not any(box.shrunk(0.9, 0.7).overlaps(other.shrunk(0.9, 0.7)) for other in boxes[:i])


def test_a_broken_scale_is_marked_at_each_break(kept, tmp_path):
    values = [2.2, 22.8, 40.5]
    shown  = [{"design": "dense", "rate": 1.0 + i, "sqnr_db": value} for i, value in enumerate(values)]
    figure.draw(shown, tmp_path/"front.png", "rate", "MAC/s")
    parts = kept().axes
    marks = [[line for line in axes.get_lines() if line.get_label() == "_break"] for axes in parts]
    assert [sorted({float(y) for line in part for y in line.get_ydata()}) for part in marks] == [[0], [0, 1], [1]]
    assert all(np.array_equal(line.get_xdata(), [0, 1]) for part in marks for line in part)
    assert sum(text.get_text() == "better" for axes in parts for text in axes.texts) == 1
