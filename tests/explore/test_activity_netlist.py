# SPDX-License-Identifier: BSD-2-Clause
"""What a netlist's toggles count, added up by hand; what each family's cells count."""

import json

import pytest

from mixpe.explore.activity import Netlist, ecp5, gowin, ice40, xilinx
from mixpe.explore.activity.parameters import Cell
from mixpe.explore.activity.weights import CARRY, CLOCK, FLIP_FLOP, LUT, MUX, SUM

A, B, XOR, KEPT, LATE = 10, 11, 12, 13, 14
FF = {"parameters": {"SRMODE": "LSR_OVER_CE"}, "type": "TRELLIS_FF"}


def flip_flop(data, output, reset=None):
    pins = {"DI": [data], "Q": [output], **({"LSR": [reset]} if reset else {})}
    return FF | {"connections": pins, "port_directions": {"DI": "input", "Q": "output", "LSR": "input"}}


def netlist():
    """Two inputs, their exclusive or in a LUT, a flip-flop of the unit behind it, the harness' result behind that."""
    lut = {"type": "LUT4", "parameters": {"INIT": f"{0x6666:016b}"},
           "connections": {"A": [A], "B": [B], "C": ["0"], "D": ["0"], "Z": [XOR]},
           "port_directions": {**dict.fromkeys("ABCD", "input"), "Z": "output"}}
    cells = {"first": flip_flop(2, A, 3), "second": flip_flop(A, B, 3), "lut": lut, "kept": flip_flop(XOR, KEPT),
             "result": flip_flop(KEPT, LATE)}
    module = {"ports": {"serial": {"bits": [2]}, "clear": {"bits": [3]}}, "netnames": {"result": {"bits": [LATE]}},
              "cells": cells}
    return json.dumps({"modules": {"top": module}})


def test_energy_by_hand():
    """Two streams: one input of the first changes in the first cycle, and nothing of the second ever."""
    found = Netlist(netlist(), "ecp5", 2)
    clock, seen = 2*CLOCK, []  # the unit's one flip-flop in two streams; the harness' own are left out
    for stimulus in ([0b01, 0], [0b01, 0], [0b01, 0b01], [0b01, 0b01]):
        before = found.energy
        found.step(stimulus)
        seen.append((found.energy - before, found.outputs))
    assert [energy for energy, _ in seen] == pytest.approx(
        [LUT + FLIP_FLOP + clock, clock, LUT + FLIP_FLOP + clock, clock])
    assert [bits for _, bits in seen] == [[0], [0b01], [0b01], [0]]  # a cycle behind the unit's own


def cell(kind, parameters=None, used=range(100), **pins):
    return Cell("cell", kind, {port: bits if isinstance(bits, list) else [bits] for port, bits in pins.items()},
                parameters or {}, frozenset(used))


def test_weights_of_carry_cells():
    """Between cells a carry counts, inside one it does not; a sum behind LUTs counts as a multiplexer."""
    pins  = {f"{port}{half}": ["0"] for port in "ABCD" for half in "01"} | {"CIN": "0", "COUT": 1, "S0": 2, "S1": 3}
    first, second = ecp5.CELLS["CCU2C"](cell("CCU2C", **pins))
    assert (first.total, first.sum_weight, first.carry_weight) == (2, SUM, 0)
    assert (second.total, second.carry_out, second.sum_weight, second.carry_weight) == (3, 1, SUM, CARRY)
    unread = list(ecp5.CELLS["CCU2C"](cell("CCU2C", used=[2], **pins)))
    assert [item.total for item in unread] == [2, None] and unread[1].carry_out is None  # no net, no toggles

    alu, = gowin.CELLS["ALU"](cell("ALU", I0=1, I1=2, I3=3, CIN="0", SUM=4, COUT=5))
    assert (alu.sum_weight, alu.carry_weight) == (SUM, CARRY)
    carry, = ice40.CELLS["SB_CARRY"](cell("SB_CARRY", I0=1, I1=2, CI=3, CO=4))
    assert carry.weight == CARRY
    chain = list(xilinx.CELLS["CARRY4"](cell("CARRY4", CI="0", CYINIT="0", S=[1, 2, 3, 4], DI=[5, 6, 7, 8],
                                             O=[11, 12, 13, 14], CO=[21, 22, 23, 24])))
    assert [item.sum_weight for item in chain] == [MUX]*4 and [item.carry_weight for item in chain] == [CARRY]*4


@pytest.mark.parametrize("family, kind, pins, weight", [
    (ecp5, "LUT4", "ABCDZ", LUT), (ice40, "SB_LUT4", ("I0", "I1", "I2", "I3", "O"), LUT),
    (gowin, "LUT2", ("I0", "I1", "F"), LUT), (xilinx, "LUT3", ("I0", "I1", "I2", "O"), LUT),
    (xilinx, "INV", "IO", LUT), (ecp5, "PFUMX", ("BLUT", "ALUT", "C0", "Z"), MUX),
    (gowin, "MUX2_LUT5", ("I0", "I1", "S0", "O"), MUX), (xilinx, "MUXF8", ("I0", "I1", "S", "O"), MUX)])
def test_weights_of_tables(family, kind, pins, weight):
    item, = family.CELLS[kind](cell(kind, **{pin: index for index, pin in enumerate(pins)}))
    assert item.weight == weight
