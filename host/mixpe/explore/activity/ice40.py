# SPDX-License-Identifier: BSD-2-Clause
"""Cells of iCE40 as primitives."""

from mixpe.explore.activity.cells import FlipFlop, Table
from mixpe.explore.activity.memories import BlockRam
from mixpe.explore.activity.multipliers import MultiplierBlock
from mixpe.explore.activity.parameters import bit, constant, expect, number, refuse
from mixpe.explore.activity.weights import CARRY

ADDER = {"TOPADDSUB_LOWERINPUT": 2, "BOTADDSUB_LOWERINPUT": 2, "TOPADDSUB_UPPERINPUT": 1, "BOTADDSUB_UPPERINPUT": 1}


def _lut(cell):
    yield Table(bit(cell, "O"), number(cell, "LUT_INIT"), tuple(bit(cell, f"I{index}") for index in range(4)))


def _carry(cell):
    yield Table(bit(cell, "CO"), 0b11101000, tuple(bit(cell, port) for port in ("I0", "I1", "CI")), CARRY)


def _flip_flop(cell):
    """SB_DFF, with E for an enable, SR and SS for a synchronous reset and set, which wait for the enable."""
    options = cell.kind.removeprefix("SB_DFF")
    enable  = (bit(cell, "E"), False) if options.startswith("E") else None
    reset   = {"SR": "R", "SS": "S"}.get(options.removeprefix("E"))
    yield FlipFlop(bit(cell, "Q"), bit(cell, "D"), enable, (bit(cell, reset), False) if reset else None,
                   reset_first=False, value=int(reset == "S"))


def _block_ram(cell):
    expect(cell, READ_MODE=0, WRITE_MODE=0)
    pins = cell.pins

    def address(port):
        bits = [net for net in pins[port]]
        while bits and bits[-1] == "0":
            bits.pop()
        return bits

    yield BlockRam(address("RADDR"), pins["RDATA"], [bit(cell, "RE"), bit(cell, "RCLKE", "1")], address("WADDR"),
                   pins["WDATA"], pins.get("MASK", ["0"]*16), [bit(cell, "WE"), bit(cell, "WCLKE", "1")])


def _multiplier(cell):
    """16 by 16 bits, whose product goes out as it is, or through the adders with zero."""
    expect(cell, MODE_8x8=0, NEG_TRIGGER=0)
    select = number(cell, "TOPOUTPUT_SELECT")
    expect(cell, BOTOUTPUT_SELECT=select)
    if select in (0, 1):
        expect(cell, **ADDER, BOTADDSUB_CARRYSELECT=0)
        if any(net != "0" for port in ("C", "D", "ADDSUBTOP", "ADDSUBBOT", "OLOADTOP", "OLOADBOT")
               for net in cell.pins[port]):
            refuse(cell, "addends")
    elif select != 3:
        refuse(cell, "its 8-bit products")
    for port in ("AHOLD", "BHOLD", "OHOLDTOP", "OHOLDBOT", "IRSTTOP", "IRSTBOT", "ORSTTOP", "ORSTBOT"):
        if constant(cell, port):
            refuse(cell, port)
    if bit(cell, "CE", "1") != "1":
        refuse(cell, "a clock enable")
    signed, first = number(cell, "A_SIGNED"), number(cell, "TOP_8x8_MULT_REG")
    expect(cell, B_SIGNED=signed, BOT_8x8_MULT_REG=first, PIPELINE_16x16_MULT_REG1=first)
    stages = first + number(cell, "PIPELINE_16x16_MULT_REG2") + (select == 1)
    yield MultiplierBlock(cell.pins["A"], cell.pins["B"], [cell.read("O", index) for index in range(32)],
                          bool(signed), (number(cell, "A_REG"), number(cell, "B_REG")), stages)


CELLS = {"SB_LUT4": _lut, "SB_CARRY": _carry, "SB_RAM40_4K": _block_ram, "SB_MAC16": _multiplier,
         **dict.fromkeys(("SB_DFF", "SB_DFFE", "SB_DFFSR", "SB_DFFESR", "SB_DFFSS", "SB_DFFESS"), _flip_flop)}
