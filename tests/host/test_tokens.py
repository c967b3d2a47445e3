# SPDX-License-Identifier: BSD-2-Clause
"""Where a token's cycles go: what is counted on a device, what is modelled for boards, and the figure."""

import pytest

from mixpe.bench.models import find_models
from mixpe.bench.ondevice import DecoderModel
from mixpe.bench.tokenplot import COLOURS, where_a_token_goes
from mixpe.bench.tokens import TokenRow, board_tokens, count_tokens, tokens_text
from mixpe.devices import open_device
from mixpe.program.cycles import NOTHING
from mixpe_boards.registry import BOARDS
from mixpe_gateware.contract.program.records import Function


def rows(counted=None):
    models = find_models(["mixpe", "SmolLM2 file"])
    found  = board_tokens(models, [DecoderModel(BOARDS[name], results={}) for name in ("ulx3s", "arty_a7")])
    return [TokenRow(**{**vars(row), "counted": counted}) for row in found]


def test_boards():
    found = rows()
    assert [(row.model, row.place) for row in found] == [("mixpe", "ulx3s"), ("mixpe", "arty_a7"),
        ("SmolLM2 file", "arty_a7")], "what does not fit is left out"
    assert all(sum(row.functions.values()) == pytest.approx(row.cycles) for row in found)
    assert found[0].prediction_error is None and found[0].to_dict()["prediction_error"] is None


def test_a_device_is_counted():
    """The reference counts the array's cycles alone, so they are fewer than the model's."""
    with open_device("reference?decoder=1") as device:
        row, = count_tokens(device, (7,))
    assert row.position == 7 and row.prediction_error > 0.2
    assert row.counted["array"] == 61440 and row.counted["cycles"] > row.counted["array"]
    assert "mixpe" in tokens_text([row]) and len(tokens_text([row, *rows()]).splitlines()) == 2


def test_every_function_has_a_colour():
    assert set(COLOURS) == {*(function.name for function in Function), "GEMM", "ATTENTION", NOTHING}


def test_the_figure(monkeypatch, tmp_path):
    pyplot = pytest.importorskip("matplotlib.pyplot")
    drawn  = []
    monkeypatch.setattr(pyplot, "close", drawn.append)
    where_a_token_goes(tmp_path/"token.png", rows({"cycles": 123456, "array": 1, "vector": 1, "attention": 1}))
    figure, = drawn
    axes,   = figure.axes
    labels  = [label.get_text() for label in axes.get_yticklabels()]
    assert labels[0].startswith("mixpe, ulx3s, position 128: 123,456 cycles (model +")
    assert {text.get_text() for text in figure.legends[0].get_texts()} >= {"ATTENTION", "VECTOR QUANT", "none"}
    boxes = [label.get_window_extent() for label in axes.get_yticklabels()] + [axes.get_window_extent(),
        axes.xaxis.label.get_window_extent(), figure.legends[0].get_window_extent(),
        figure._suptitle.get_window_extent()]
    for index, box in enumerate(boxes):
        assert figure.bbox.x0 <= box.x0 and box.x1 <= figure.bbox.x1, "nothing is cut off"
        assert not any(box.overlaps(other) for other in boxes[:index])
    assert (tmp_path/"token.png").stat().st_size > 10000
    monkeypatch.undo()
    pyplot.close(figure)
