# SPDX-License-Identifier: BSD-2-Clause
"""Cells of ECP5 as primitives."""

from mixpe.explore.activity.cells import Alias, CarryBit, FlipFlop, Table
from mixpe.explore.activity.memories import LutRam
from mixpe.explore.activity.multipliers import MultiplierBlock
from mixpe.explore.activity.parameters import bit, constant, expect, number, refuse
from mixpe.explore.activity.weights import CARRY, MUX


def _io(cell):
    if "B" in cell.pins and "O" in cell.pins:
        yield Alias(bit(cell, "O"), bit(cell, "B"))


def _lut4(cell):
    yield Table(bit(cell, "Z"), number(cell, "INIT"), tuple(bit(cell, port) for port in "ABCD"))


def _mux(cell):
    low, high, select = ("BLUT", "ALUT", "C0") if cell.kind == "PFUMX" else ("D0", "D1", "SD")
    yield Table(bit(cell, "Z"), 0b11001010, tuple(bit(cell, port) for port in (low, high, select)), MUX)


def _ccu2c(cell):
    """Two carry bits; a LUT's half of A and B is the one that generates."""
    expect(cell, INJECT1_0="NO", INJECT1_1="NO")
    between = (cell.name, "carry")
    for half, carry_in, carry_out, weight in (("0", bit(cell, "CIN"), between, 0.0),
                                              ("1", between, cell.read("COUT"), CARRY)):
        init, inputs = number(cell, "INIT" + half), tuple(bit(cell, port + half) for port in "ABCD")
        yield CarryBit((init, inputs), (init & 15, inputs[:2]), carry_in, cell.read("S" + half), carry_out,
                       carry_weight=weight)


def _flip_flop(cell):
    expect(cell, CLKMUX="CLK")
    enable = reset = None
    if cell.parameters.get("CEMUX", "1") in ("CE", "INV"):
        enable = bit(cell, "CE", "1"), cell.parameters["CEMUX"] == "INV"
    if "LSR" in cell.pins:
        expect(cell, SRMODE="LSR_OVER_CE")
        reset = bit(cell, "LSR"), cell.parameters.get("LSRMUX") == "INV"
    value = int(cell.parameters.get("REGSET", "RESET") == "SET")
    yield FlipFlop(bit(cell, "Q"), bit(cell, "DI", None) or bit(cell, "M"), enable, reset, value=value, start=value)


def _lut_ram(cell):
    expect(cell, WCKMUX="WCK", WREMUX="WRE")
    pins = cell.pins
    yield LutRam(pins["RAD"], pins["DO"], pins["WAD"], pins["DI"], bit(cell, "WRE"))


def _multiplier(cell):
    for port in ("INPUTA", "INPUTB", "PIPELINE", "OUTPUT"):
        expect(cell, **{f"REG_{port}_CLK": "NONE"})
    signed = constant(cell, "SIGNEDA")
    if signed != constant(cell, "SIGNEDB"):
        refuse(cell, "factors of which one is signed")
    a, b = ([bit(cell, f"{port}{index}") for index in range(18)] for port in "AB")
    yield MultiplierBlock(a, b, [cell.read(f"P{index}") for index in range(36)], signed)


CELLS = {"TRELLIS_IO": _io, "LUT4": _lut4, "PFUMX": _mux, "L6MUX21": _mux, "CCU2C": _ccu2c, "TRELLIS_FF": _flip_flop,
         "TRELLIS_DPR16X4": _lut_ram, "MULT18X18D": _multiplier}
