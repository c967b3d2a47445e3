# SPDX-License-Identifier: BSD-2-Clause
"""Tables, carry bits and flip-flops of the simulated netlists, against what the vendors' models say in numbers."""

import numpy as np
import pytest

from mixpe.explore.activity import ecp5, gowin, ice40, xilinx
from mixpe.explore.activity.cells import table_expression
from mixpe.explore.activity.netlist import next_value
from mixpe.explore.activity.parameters import Cell, NotSimulated

SEED = 1
ONES = (1 << 64) - 1


def cell(kind, parameters=None, used=(), **pins):
    return Cell("cell", kind, {port: bits if isinstance(bits, list) else [bits] for port, bits in pins.items()},
                parameters or {}, frozenset(used))


def evaluate(primitives, values):
    """Values of all nets after some primitives, in their order."""
    values = dict(values)
    for item in primitives:
        lines = item.lines(lambda bit: {"0": "0", "1": "M"}.get(bit, f"v[{bit!r}]"),
                           lambda bit, expression, weight: f"v[{bit!r}] = {expression}")
        exec("\n".join(lines), {"v": values, "M": ONES})
    return values


def random(*bits):
    rng = np.random.default_rng(SEED)
    return {bit: int(rng.integers(0, 1 << 63)) << 1 | int(rng.integers(0, 2)) for bit in bits}


def bits_of(values, *bits):
    """For each stream the values of some bits."""
    return [[0 if bit == "0" else 1 if bit == "1" else values[bit] >> stream & 1 for bit in bits]
            for stream in range(64)]


def test_table_expression():
    """Tables of all kinds, at all 16 places of their inputs, two streams at once."""
    rng = np.random.default_rng(SEED)
    names = "abcd"
    for init in [0, 0xffff, 0x6996, 0x8000, 0x7fff, 0xaaaa, 0x5555, 0x7888, 0xca00, *rng.integers(0, 1 << 16, 200)]:
        code = compile(table_expression(int(init), list(names)), "table", "eval")
        for index in range(16):
            other = index*7 % 16
            values = {name: (index >> bit & 1) | (other >> bit & 1) << 1 for bit, name in enumerate(names)}
            got = eval(code, {"M": 0b11, **values})
            assert got == (int(init) >> index & 1) | (int(init) >> other & 1) << 1, f"{init:04x} at {index}"


@pytest.mark.parametrize("family, kind, name, inputs, output", [
    (ecp5, "LUT4", "INIT", "ABCD", "Z"), (ice40, "SB_LUT4", "LUT_INIT", ("I0", "I1", "I2", "I3"), "O"),
    (gowin, "LUT3", "INIT", ("I0", "I1", "I2"), "F"), (xilinx, "LUT6", "INIT", [f"I{i}" for i in range(6)], "O")])
def test_luts(family, kind, name, inputs, output):
    init   = int(np.random.default_rng(SEED).integers(0, 1 << 62)) & (1 << (1 << len(inputs))) - 1
    pins   = dict(zip(inputs, range(len(inputs)), strict=True))
    found  = family.CELLS[kind](cell(kind, {name: f"{init:b}"}, **pins, **{output: 99}))
    values = evaluate(found, random(*pins.values()))
    for *index, out in bits_of(values, *pins.values(), 99):
        assert out == init >> sum(bit << place for place, bit in enumerate(index)) & 1


@pytest.mark.parametrize("family, kind, pins", [
    (ecp5, "PFUMX", ("BLUT", "ALUT", "C0", "Z")), (ecp5, "L6MUX21", ("D0", "D1", "SD", "Z")),
    (gowin, "MUX2_LUT6", ("I0", "I1", "S0", "O")), (xilinx, "MUXF7", ("I0", "I1", "S", "O"))])
def test_multiplexers(family, kind, pins):
    values = evaluate(family.CELLS[kind](cell(kind, **dict(zip(pins, range(4), strict=True)))), random(0, 1, 2))
    assert all(out == (high if select else low) for low, high, select, out in bits_of(values, 0, 1, 2, 3))


def test_carry_chains_add():
    """Four bits and the carry of each family, at random numbers."""
    a, b, total = [f"a{i}" for i in range(4)], [f"b{i}" for i in range(4)], [f"s{i}" for i in range(4)]
    carries, start = [f"c{i}" for i in range(5)], random("in", *a, *b)
    chains = {
        "ecp5": [item for half in (0, 2) for item in ecp5.CELLS["CCU2C"](Cell(
            f"pair{half}", "CCU2C",
            {**{f"{port}{place}": [bits[half + place]] for place in (0, 1) for port, bits in (("A", a), ("B", b))},
             **{f"{port}{place}": [value] for place in (0, 1) for port, value in (("C", "0"), ("D", "1"))},
             "CIN": ["in" if half == 0 else "c2"], "COUT": ["c2" if half == 0 else "out"],
             "S0": [total[half]], "S1": [total[half + 1]]},
            {"INIT0": f"{0x96AA:b}", "INIT1": f"{0x96AA:b}", "INJECT1_0": "NO", "INJECT1_1": "NO"},
            frozenset([*total, "c2", "out"])))],
        "gowin": [item for i in range(4) for item in gowin.CELLS["ALU"](cell(
            "ALU", {"ALU_MODE": "0"}, [*total, *carries, "out"], I0=a[i], I1=b[i], I3="0", CIN=f"c{i}" if i else "in",
            COUT="out" if i == 3 else f"c{i + 1}", SUM=total[i]))],
    }
    for name, chain in chains.items():
        values = evaluate(chain, start)
        for stream in bits_of(values, "in", *a, *b, *total, "out"):
            carry, numbers = stream[0], [sum(bit << place for place, bit in enumerate(stream[1 + 4*i:5 + 4*i]))
                                         for i in range(3)]
            assert numbers[2] + 16*stream[13] == numbers[0] + numbers[1] + carry, name


def test_ice40_and_xilinx_carries():
    values = evaluate(ice40.CELLS["SB_CARRY"](cell("SB_CARRY", I0=0, I1=1, CI=2, CO=3)), random(0, 1, 2))
    assert all(out == (x + y + z >= 2) for x, y, z, out in bits_of(values, 0, 1, 2, 3))
    s, di, o, co = ([f"{name}{i}" for i in range(4)] for name in ("s", "d", "o", "c"))
    for first in ({"CI": ["in"], "CYINIT": ["0"]}, {"CI": ["0"], "CYINIT": ["in"]}):
        chain  = list(xilinx.CELLS["CARRY4"](cell("CARRY4", used=[*o, co[3]], S=s, DI=di, O=o, CO=co, **first)))
        values = evaluate(chain, random("in", *s, *di))
        for stream in bits_of(values, "in", *s, *di, *o, *co):
            carry = stream[0]
            for place in range(4):
                select, data = stream[1 + place], stream[5 + place]
                assert stream[9 + place] == select ^ carry
                carry = carry if select else data
                assert stream[13 + place] == carry
    assert [item.carry_weight for item in chain] == [0, 0, 0, 0.25]  # inside the cell nothing is driven


def test_gowin_subtracts():
    for mode, expected in ((1, lambda x, y, n: (x - y) & 1), (2, lambda x, y, n: (x + y if n else x - y) & 1)):
        carry  = "1"
        values = evaluate(gowin.CELLS["ALU"](cell("ALU", {"ALU_MODE": f"{mode:b}"}, [3], I0=0, I1=1, I3=2, CIN=carry,
                                                  SUM=3, COUT=4)), random(0, 1, 2))
        for x, y, add, out in bits_of(values, 0, 1, 2, 3):
            assert out == expected(x, y, add) ^ (add if mode == 2 else 0)  # the carry that came in is one
    with pytest.raises(NotSimulated, match="ALU_MODE 9"):
        list(gowin.CELLS["ALU"](cell("ALU", {"ALU_MODE": "1001"}, I0=0, I1=1, I3=2, CIN="0", SUM=3)))


@pytest.mark.parametrize("family, kind, parameters, pins, enabled, reset, first, value", [
    (ecp5,   "TRELLIS_FF", {"CEMUX": "CE", "LSRMUX": "LSR", "SRMODE": "LSR_OVER_CE", "REGSET": "SET"},
     {"DI": "d", "CE": "e", "LSR": "r"}, True, True, True, 1),
    (ecp5,   "TRELLIS_FF", {"CEMUX": "1", "REGSET": "RESET"}, {"DI": "d"}, False, False, True, 0),
    (gowin,  "DFF",   {}, {"D": "d"}, False, False, True, 0),
    (gowin,  "DFFE",  {}, {"D": "d", "CE": "e"}, True, False, True, 0),
    (gowin,  "DFFRE", {}, {"D": "d", "CE": "e", "RESET": "r"}, True, True, True, 0),
    (gowin,  "DFFS",  {}, {"D": "d", "SET": "r"}, False, True, True, 1),
    (ice40,  "SB_DFF",    {}, {"D": "d"}, False, False, True, 0),
    (ice40,  "SB_DFFESR", {}, {"D": "d", "E": "e", "R": "r"}, True, True, False, 0),
    (ice40,  "SB_DFFSS",  {}, {"D": "d", "S": "r"}, False, True, False, 1),
    (xilinx, "FDRE", {"INIT": "0"}, {"D": "d", "CE": "e", "R": "r"}, True, True, True, 0),
    (xilinx, "FDSE", {"INIT": "1"}, {"D": "d", "CE": "1", "S": "r"}, False, True, True, 1),
])
def test_flip_flops(family, kind, parameters, pins, enabled, reset, first, value):
    """All states of data, enable, reset and what is there; `first`: the reset acts without the enable."""
    item, = family.CELLS[kind](cell(kind, parameters, **pins, Q="q"))
    values = {name: sum((index >> place & 1) << index for index in range(16)) for place, name in enumerate("derq")}
    later  = next_value(item, values, values["q"], 0xffff)
    for index in range(16):
        d, e, r, q = (values[name] >> index & 1 for name in "derq")
        taken = d if e or not enabled else q
        if reset and r and (first or e or not enabled):
            taken = value
        assert later >> index & 1 == taken, f"{kind}: d {d} e {e} r {r} q {q}"


def test_inverted_enable_and_reset():
    item, = ecp5.CELLS["TRELLIS_FF"](cell("TRELLIS_FF", {"CEMUX": "INV", "LSRMUX": "INV", "SRMODE": "LSR_OVER_CE"},
                                          M="d", CE="e", LSR="r", Q="q"))
    for e, r, expected in ((0, 1, 1), (1, 1, 0), (0, 0, 0)):
        assert next_value(item, {"d": 1, "e": e, "r": r}, 0, 1) == expected


@pytest.mark.parametrize("family, kind, parameters, pins, text", [
    (ecp5,   "TRELLIS_FF", {"CLKMUX": "INV"}, {"DI": 1, "Q": 2}, "CLKMUX INV, only CLK"),
    (ecp5,   "TRELLIS_FF", {"SRMODE": "ASYNC"}, {"DI": 1, "Q": 2, "LSR": 3}, "SRMODE ASYNC"),
    (ecp5,   "TRELLIS_DPR16X4", {"WCKMUX": "INV"}, {}, "WCKMUX INV"),
    (ecp5,   "MULT18X18D", {"REG_OUTPUT_CLK": "CLK0"}, {}, "REG_OUTPUT_CLK CLK0"),
    (ecp5,   "MULT18X18D", {}, {"SIGNEDA": "1", "SIGNEDB": "0"}, "of which one is signed"),
    (ecp5,   "MULT18X18D", {}, {"SIGNEDA": 7}, "SIGNEDA that is not constant"),
    (gowin,  "MULT9X9", {"OUT_REG": "1"}, {}, "OUT_REG 1"),
    (gowin,  "MULT9X9", {}, {"ASEL": "1"}, "factors of another block"),
    (ice40,  "SB_MAC16", {"MODE_8x8": "1"}, {}, "MODE_8x8 1"),
    (ice40,  "SB_RAM40_4K", {"READ_MODE": "01"}, {}, "READ_MODE 1"),
    (xilinx, "FDRE", {"IS_C_INVERTED": "1"}, {"D": 1, "Q": 2}, "IS_C_INVERTED 1"),
    (xilinx, "CARRY4", {}, {"CI": 1, "CYINIT": 2}, "CI and CYINIT"),
    (xilinx, "DSP48E1", {}, {"OPMODE": list("1010110")}, "its adders"),
])
def test_what_is_not_simulated_is_refused(family, kind, parameters, pins, text):
    with pytest.raises(NotSimulated, match=f"{kind} cell is not simulated with .*{text}"):
        list(family.CELLS[kind](cell(kind, parameters, **pins)))
