# SPDX-License-Identifier: BSD-2-Clause
"""Cells of Xilinx's 7 series as primitives."""

from mixpe.explore.activity.cells import Alias, CarryBit, FlipFlop, Table
from mixpe.explore.activity.memories import LutRam, ShiftRegister
from mixpe.explore.activity.multipliers import MultiplierBlock
from mixpe.explore.activity.parameters import bit, constant, expect, number, refuse
from mixpe.explore.activity.weights import MUX

A_BITS, B_BITS = 25, 18  # of the multiplier's factors
MULTIPLY = "1010000"     # OPMODE, lowest bit first: the product and nothing else


def _buffer(cell):
    yield Alias(bit(cell, "O"), bit(cell, "I"))


def _inverter(cell):
    yield Table(bit(cell, "O"), 0b01, (bit(cell, "I"),))


def _lut(cell):
    inputs = tuple(bit(cell, f"I{index}") for index in range(int(cell.kind[-1])))
    yield Table(bit(cell, "O"), number(cell, "INIT"), inputs)


def _mux(cell):
    yield Table(bit(cell, "O"), 0b11001010, tuple(bit(cell, port) for port in ("I0", "I1", "S")), MUX)


def _carry4(cell):
    """Four carry bits behind LUTs. A first carry comes by CYINIT or CI, of which the other is zero."""
    first = [net for net in (bit(cell, "CI", "0"), bit(cell, "CYINIT", "0")) if net != "0"]
    if len(first) > 1:
        refuse(cell, "CI and CYINIT")
    carry = first[0] if first else "0"
    for place in range(4):
        out  = cell.pins["CO"][place]
        read = cell.read("CO", place)
        yield CarryBit((0b10, (cell.pins["S"][place],)), (0b10, (cell.pins["DI"][place],)), carry,
                       cell.read("O", place), out, sum_weight=MUX,
                       **{} if place == 3 or read is not None else {"carry_weight": 0.0})
        carry = out


def _flip_flop(cell):
    expect(cell, IS_C_INVERTED=0, IS_D_INVERTED=0, IS_R_INVERTED=0, IS_S_INVERTED=0)
    reset  = "R" if cell.kind == "FDRE" else "S"
    enable = bit(cell, "CE", "1")
    yield FlipFlop(bit(cell, "Q"), bit(cell, "D"), None if enable == "1" else (enable, False),
                   None if bit(cell, reset, "0") == "0" else (bit(cell, reset), False),
                   value=int(reset == "S"), start=number(cell, "INIT"))


def _shift_register(cell):
    expect(cell, IS_CLK_INVERTED=0)
    place = sum(constant(cell, f"A{index}") << index for index in range(4))
    yield ShiftRegister(place, bit(cell, "Q"), bit(cell, "D"), bit(cell, "CE", "1"))


def _ram32m(cell):
    """Three read ports of two bits each; the fourth reads where is written, and nobody listens."""
    expect(cell, IS_WCLK_INVERTED=0)
    if any(cell.read("DOD", index) is not None for index in range(len(cell.pins.get("DOD", ())))):
        refuse(cell, "its fourth read port")
    for port in "ABC":
        if f"DO{port}" in cell.pins:
            yield LutRam(cell.pins[f"ADDR{port}"], cell.pins[f"DO{port}"], cell.pins["ADDRD"], cell.pins[f"DI{port}"],
                         bit(cell, "WE"))


def _multiplier(cell):
    """The multiplier of a DSP48E1 alone, without its adders."""
    if "".join(map(str, cell.pins["OPMODE"])) != MULTIPLY:
        refuse(cell, "its adders")
    for port in ("ALUMODE", "INMODE", "CARRYIN", "CARRYINSEL", "RSTA", "RSTB", "RSTM", "RSTP"):
        if any(net != "0" for net in cell.pins.get(port, ())):
            refuse(cell, port)
    a, b, m, p = (number(cell, f"{name}REG") for name in "ABMP")
    used  = [["CEA1", "CEA2"][2 - a:], ["CEB1", "CEB2"][2 - b:], ["CEM"]*m + ["CEP"]*p]
    enables = [[bit(cell, port) for port in ports] for ports in used]
    if any(enable in ("0", "x", "z") for chain in enables for enable in chain):
        refuse(cell, "a register that never moves")
    expect(cell, USE_DPORT="FALSE", A_INPUT="DIRECT", B_INPUT="DIRECT")
    yield MultiplierBlock(cell.pins["A"][:A_BITS], cell.pins["B"][:B_BITS],
                          [cell.read("P", index) for index in range(A_BITS + B_BITS)], True, (a, b), m + p, enables)


CELLS = {"BUFG": _buffer, "IBUF": _buffer, "INV": _inverter, "CARRY4": _carry4, "FDRE": _flip_flop, "FDSE": _flip_flop,
         **dict.fromkeys((f"LUT{inputs}" for inputs in range(1, 7)), _lut), "MUXF7": _mux, "MUXF8": _mux,
         "SRL16E": _shift_register, "RAM32M": _ram32m, "DSP48E1": _multiplier}
