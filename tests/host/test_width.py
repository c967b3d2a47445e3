# SPDX-License-Identifier: BSD-2-Clause
"""What commands print fits 80 columns, and takes more where there is more."""

import json
from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest

from mixpe import terminal
from mixpe.bench.cases import LAYERS
from mixpe.cli import bench, explore
from mixpe.cli.main import ORDER, main
from mixpe.formats import safetensors
from mixpe.terminal import paragraph, table

WORDS = "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen"


@pytest.fixture(params=[80, 60])
def columns(request, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(request.param))
    return request.param


@pytest.fixture
def wide(monkeypatch):
    """Gives a call's output on a terminal of 250 columns."""
    def widely(call):
        monkeypatch.setenv("COLUMNS", "250")
        return call()
    return widely


def longest(text):
    return max(map(len, text.splitlines()))


@pytest.mark.parametrize("command", [(), *((name,) for name in ORDER)], ids=lambda words: " ".join(words) or "mixpe")
def test_help(command, monkeypatch, capsys):
    widths = []
    for columns in (80, 160):
        monkeypatch.setenv("COLUMNS", str(columns))
        with pytest.raises(SystemExit):
            main([*command, "--help"])
        widths.append(longest(capsys.readouterr().out))
        assert widths[-1] <= columns
    assert widths[1] > 80 or not command


@pytest.mark.parametrize("command", [
    ["boards"], ["models"], ["info", "--device", "reference"], ["program"], ["program", "--rows", "4"],
    ["bench", "--board", "ulx3s", "--prompt", "8"], ["bench", "--board", "arty_a7"],
    ["demo", "--device", "reference", "--tokens", "1"], ["selftest", "--device", "reference?mem_bytes=1048576"],
    ["evaluate", "--windows", "1", "--group-sizes", "32", "--quantisers", "nearest"],
    ["generate", "--device", "reference", "--prompt", "def ", "--tokens", "2"],
], ids=" ".join)
def test_tables(command, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "80")
    assert main(command) == 0
    out, err = capsys.readouterr()
    assert longest(out + err) <= 80


@pytest.mark.parametrize("command", [["boards"], ["program"], ["bench", "--board", "all"]], ids=" ".join)
def test_wide_terminals_get_one_line_a_row(command, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "80")
    main(command)
    narrow = capsys.readouterr().out
    assert longest(narrow) <= 80
    monkeypatch.setenv("COLUMNS", "250")
    main(command)
    out = capsys.readouterr().out
    assert 80 < longest(out) <= 250 and out.count("\n") < narrow.count("\n")


def test_quantize(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "80")
    name = f"model.language_model.layers.{'0'*20}.self_attn.q_proj.weight"
    safetensors.save(tmp_path/"in.safetensors", {name: np.ones((4, 32), np.float32)})
    assert main(["quantize", str(tmp_path/"in.safetensors"), str(tmp_path/"out.safetensors"), "--group-size", "k"]) == 0
    out = capsys.readouterr().out
    assert longest("\n".join(line for line in out.splitlines() if str(tmp_path) not in line)) <= 80
    assert name in "".join(line.split(" ")[0] for line in out.splitlines()[1:3])


def rows_of_bench():
    case = {"phase": "prefill", "mode": "partials", "activations": "a16"}
    row  = {"m": 32, "cycles": 9_999_999, "over_ceiling": 1.234, "stream_rate": 0.9999, "busy_share": 0.999,
        "prediction_error": -0.0123, "bound": "result writer"}
    return [SimpleNamespace(case=SimpleNamespace(layer=layer, **case), **row) for layer in LAYERS]


def test_bench(columns, capsys, wide):
    config = SimpleNamespace(name="8x32", port_bits=128, read_ports=4)
    bench._print_table(rows_of_bench(), config, 0.8888)
    assert longest(capsys.readouterr().out) <= columns
    wide(lambda: bench._print_table(rows_of_bench(), config, 0.8888))
    out = capsys.readouterr().out
    assert 80 < longest(out) and out.splitlines()[2].startswith(LAYERS[0].label)


def test_explore(columns, capsys):
    common = {"design": "mixpe-a8-dense", "p_lanes": 32, "p_width": 8, "p_dsp": True, "rows": 8, "device": "ecp5-85k-6"}
    explore._print([{**common, "status": "ok", "luts": 12345.0, "luts_per_mac": 43.2, "dsps": 64, "fmax_mhz": 123.4},
        {**common, "status": "DoesNotFit", "error": WORDS}])
    assert longest(capsys.readouterr().out) <= columns


def test_models_as_json_are_not_wrapped(columns, capsys):
    assert main(["models", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)


HEAD = ("name", "n", "text")
ROWS = [("first", "1", WORDS), ("second", "22", "short"), ("second", "333", "")]


def test_a_table_that_fits_is_aligned(monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    assert table(HEAD, ROWS, "<><").splitlines() == [
        "name      n  text", f"first     1  {WORDS}", "second   22  short", "second  333"]


def test_a_text_is_wrapped_in_its_column(columns):
    lines = table(HEAD, ROWS, "<><", wrap=(2,)).splitlines()
    assert max(map(len, lines)) <= columns and lines[0] == "name      n  text"
    assert all(line.startswith(" "*13) for line in lines[2:-2]) and lines[-2:] == ["second   22  short", "second  333"]
    assert " ".join(line[13:].strip() for line in lines[1:-2]) == WORDS


def test_columns_become_lines_below_or_above(columns):
    below = table(HEAD, ROWS, "<><", below=(2,)).splitlines()
    assert below[0] == "name      n" and below[1] == "    text" and below[2] == "first     1"
    assert below[-3:] == ["second   22", "    short", "second  333"] and max(map(len, below)) <= columns
    rows  = [("x"*30, str(i), "y"*25, "z"*20) for i in (1, 2)] + [("other", "3", "y", "z")]
    above = table(("a", "b", "c", "d"), rows, "<><<", heading=1).splitlines()
    if columns == 60:
        assert above == [f"  b  c{' '*24}  d", "x"*30, f"  1  {'y'*25}  {'z'*20}", f"  2  {'y'*25}  {'z'*20}", "other",
            f"  3  y{' '*24}  z"]
    assert max(map(len, above)) <= columns


def test_a_table_goes_on_below(columns):
    head  = [f"c{i}" for i in range(30)]
    rows  = [[f"row{j}", *(str(10**(i % 7)) for i in range(1, 30))] for j in range(3)]
    lines = table(head, rows, "<" + ">"*29).splitlines()
    assert max(map(len, lines)) <= columns
    parts = [part.splitlines() for part in "\n".join(lines).split("\n\n")]
    assert len(parts) > 1 and all(len(part) == 4 and part[1].startswith("row0") for part in parts)
    for j, row in enumerate([head, *rows]):
        assert sum((part[j].split()[1:] for part in parts), []) == row[1:]


def test_every_line_fits_whatever_is_in_it(monkeypatch):
    rng = np.random.default_rng(0)
    for _ in range(300):
        monkeypatch.setenv("COLUMNS", str(limit := int(rng.integers(40, 120))))
        count = int(rng.integers(1, 9))
        cells = [tuple("".join(rng.choice(list("ab ./-"), int(rng.integers(0, 18)))).strip() for _ in range(count))
            for _ in range(4)]
        text = table(cells[0], cells[1:], "<"*count, wrap=(0,) if rng.random() < 0.5 else (), heading=int(count > 2),
            below=(count - 1,) if count > 1 and rng.random() < 0.5 else ())
        assert not text or max(map(len, text.split("\n"))) <= limit
        for row in cells:
            missing = Counter("".join(row).replace(" ", "")) - Counter(text)
            assert not missing, (row, text)


def test_paragraphs_and_widths(columns, monkeypatch):
    text = paragraph(WORDS, "  ")
    assert longest(text) <= columns and text.splitlines()[1].startswith("  ") and " ".join(text.split()) == WORDS
    monkeypatch.setenv("COLUMNS", "3")
    assert terminal.width() == 40
