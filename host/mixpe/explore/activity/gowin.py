# SPDX-License-Identifier: BSD-2-Clause
"""Cells of Gowin's GW1N and GW2A as primitives."""

from mixpe.explore.activity.cells import Alias, CarryBit, FlipFlop, Table
from mixpe.explore.activity.memories import LutRam
from mixpe.explore.activity.multipliers import MultiplierBlock
from mixpe.explore.activity.parameters import bit, constant, expect, number, refuse
from mixpe.explore.activity.weights import MUX

# (propagate, generate) of an ALU's modes as tables of I0 and I1: sum and difference, as Yosys makes them.
ALU_MODES = {0: (0b0110, 0b1010), 1: (0b1001, 0b1010)}


def _buffer(cell):
    yield Alias(bit(cell, "O"), bit(cell, "I"))


def _zero(cell):
    yield Alias(bit(cell, "G"), "0")


def _one(cell):
    yield Alias(bit(cell, "V"), "1")


def _lut(cell):
    inputs = tuple(bit(cell, f"I{index}") for index in range(int(cell.kind[-1])))
    yield Table(bit(cell, "F"), number(cell, "INIT"), inputs)


def _mux(cell):
    yield Table(bit(cell, "O"), 0b11001010, tuple(bit(cell, port) for port in ("I0", "I1", "S0")), MUX)


def _alu(cell):
    mode = number(cell, "ALU_MODE")
    i0, i1, i3 = (bit(cell, port) for port in ("I0", "I1", "I3"))
    if mode == 2:  # I3 chooses between sum and difference
        propagate, generate = (0b01101001, (i0, i1, i3)), (0b1010, (i0, i1))
    elif mode in ALU_MODES:
        propagate, generate = ((init, (i0, i1)) for init in ALU_MODES[mode])
    else:
        refuse(cell, f"ALU_MODE {mode}")
    yield CarryBit(propagate, generate, bit(cell, "CIN"), cell.read("SUM"), cell.read("COUT"))


def _flip_flop(cell):
    """DFF, with E for an enable, R and S for a synchronous reset and set, which come first."""
    options = cell.kind[3:]
    reset = {"R": "RESET", "S": "SET"}.get(options[:1])
    yield FlipFlop(bit(cell, "Q"), bit(cell, "D"), (bit(cell, "CE"), False) if options.endswith("E") else None,
                   (bit(cell, reset), False) if reset else None, value=int(reset == "SET"), start=int(reset == "SET"))


def _lut_ram(cell):
    pins = cell.pins
    yield LutRam(pins["RAD"], pins["DO"], pins["WAD"], pins["DI"], bit(cell, "WRE"))


def _multiplier(cell):
    for name in ("AREG", "BREG", "OUT_REG", "PIPE_REG"):
        expect(cell, **{name: 0})
    if constant(cell, "ASEL") or constant(cell, "BSEL"):
        refuse(cell, "factors of another block")
    signed = constant(cell, "ASIGN")
    if signed != constant(cell, "BSIGN"):
        refuse(cell, "factors of which one is signed")
    a, b = cell.pins["A"], cell.pins["B"]
    yield MultiplierBlock(a, b, [cell.read("DOUT", index) for index in range(len(a) + len(b))], signed)


CELLS = {"IBUF": _buffer, "GND": _zero, "VCC": _one, **dict.fromkeys(("LUT1", "LUT2", "LUT3", "LUT4"), _lut),
         **dict.fromkeys(("MUX2_LUT5", "MUX2_LUT6", "MUX2_LUT7", "MUX2_LUT8"), _mux), "ALU": _alu,
         **dict.fromkeys(("DFF", "DFFE", "DFFR", "DFFRE", "DFFS", "DFFSE"), _flip_flop), "RAM16SDP4": _lut_ram,
         **dict.fromkeys(("MULT9X9", "MULT18X18"), _multiplier)}
