# SPDX-License-Identifier: BSD-2-Clause
"""The comparison page and its figures: what they say is what the rows say."""

import json
from pathlib import Path

import pytest

from mixpe.explore import grid, report
from mixpe.explore.page import figure, page
from mixpe.explore.page.energy import energy_values, per_device
from mixpe.explore.page.losses import behind
from mixpe.explore.page.template import fill
from mixpe.explore.page.write import is_array, is_comparison
from mixpe.explore.resources import priced
from mixpe_gateware.baselines import DESIGNS

pytest.importorskip("migen")


def made(design, macs, luts, fmax, **columns):
    """A row of `points.evaluate`."""
    return {"design": design, "p_lanes": 32, "rows": 1, "group_size": 128, "accumulator_bits": None, "part": "unit",
            "device": grid.DEVICE, "status": "ok", "macs_per_cycle": macs, "luts": luts, "placed_luts": None,
            "flip_flops": 10, "dsps": 0, "block_rams": 0, "luts_per_mac": luts/macs, "fmax_mhz": fmax,
            "fmax_by_seed": {"1": fmax}, "mmacs_per_s_per_lut": macs*fmax/luts if fmax else None,
            "tools": {"yosys": "Yosys 9"}, **columns}


ROWS = [
    made("dense", 8, 300, 280, p_lanes=8), made("shift-add", 8, 640, 230, p_lanes=8),
    made("table", 8, 260, 230, p_lanes=8), made("int8", 4, 840, 130, p_lanes=4),
    made("bitplane-int8", 8, 680, 280, p_lanes=8), made("dense", 32, 640, None, part="encoder"),
    made("dense", 256, 8000, 200, rows=8), made("int8", 64, 16000, 100, rows=2),
    made("table", 8, 240, None, p_lanes=8, device="XC7"), made("shift-add", 8, 480, None, p_lanes=8, device="XC7"),
    {"design": "int8", "p_lanes": 32, "p_dsp": True, "rows": 8, "device": grid.DEVICE, "status": "DoesNotFit",
     "error": "156 DSPs, the design needs 256"},
]


def test_results_survive_and_page_is_written(tmp_path):
    row = made("shift-add", 8, 640, 200.0, p_lanes=8, placed_luts=700, flip_flops=800)
    report.write_rows([row], tmp_path, "comparison")
    assert report.read_rows(tmp_path, "comparison") == [row]
    assert json.loads((tmp_path/"comparison.json").read_text()) == [row] and (tmp_path/"comparison.csv").exists()
    text = page([row], [], [], {})
    assert "| shift-add | 8 | 640 | 700 | 800 | 0 | 0 | 80.0 | 100.0 | 200 | 1 | 2.50 | 2.00 |" in text


def test_page_of_nothing_but_failures():
    """Of a design, an array, a unit of other lanes, an encoder; also of points that have no lanes at all."""
    def failed(design, **columns):
        return {"design": design, "device": grid.DEVICE, "rows": 1, "status": "ToolCrash", "error": "boom", **columns}

    text = page([failed("ant", p_lanes=4), failed("int8", p_lanes=32, rows=4), failed("shift-add", p_lanes=64),
                 failed("abacus"), failed("table", part="encoder", p_lanes=8), failed("int8", p_lanes=4, device="XC7"),
                 failed("ant", p_lanes=4, device="XC7", status="WorkerDied", error="")], [], [], {})
    for line in ("ant (ToolCrash: boom)", "int8 (LUT, 4 rows) (ToolCrash: boom)",
                 "shift-add of 64 lanes (ToolCrash: boom)", "abacus of ? lanes (ToolCrash: boom)",
                 "table (ToolCrash: boom)", "ant (WorkerDied: )"):
        assert line in text


def test_page_says_what_the_rows_say():
    """Arrays against arrays, shares of an encoder, other devices, what did not fit, what loses."""
    energy = [row | {"energy_per_mac": value} for row, value in zip(ROWS[:3], (40.0, 50.0, 18.0), strict=True)]
    wrong  = ROWS[3] | {"status": "WrongResult", "error": "channel 3: 7, not 8"}
    text = page(ROWS, [], [*energy, wrong], {"pareto-energy": "front.png"})
    assert "Array against array (8 × 32 against 2 × 32): 16.0 ×" in text
    assert "MAC/s per LUT of dense (8 rows) over int8 (LUT, 2 rows) 16.0 ×." in text
    both = page([*ROWS, made("dense", 256, 8000, 150, rows=8, router="router2"),
                 made("int8", 256, 64000, 80, rows=8, router="router2")], [], [], {})
    assert "Array against array (8 × 32 against 8 × 32, both by router2): 15.0 ×" in both  # like with like
    assert ("MAC/s per LUT of dense (8 rows) over int8 (LUT, 2 rows) 16.0 ×; of dense (8 rows, "
            "router2) over int8 (LUT, 8 rows, router2) 15.0 ×.") in both
    assert "| dense | 32 | 640 | 10 | – | 2.5 | 40.0 |" in text
    assert "int8 (DSP, 8 rows) (DoesNotFit: 156 DSPs, the design needs 256)" in text
    assert "### XC7, synthesis only" in text and "| XC7 | LUT/MAC | shift-add 60.0 | table 30.0 |" in text
    assert "| INT8 TPU | 4.4 × | 4.6 × / 4.6 × | 12.1 × / 12.1 × | 2.6 | 5.6 |" in text
    assert "MixPE's best W4A8 unit, dense (40 a MAC), is behind table (18)." in text
    assert "| weighted toggles a MAC | LFE5U-85F-6 |" in text
    assert "![Fidelity against the energy proxy](front.png)" in text
    assert "Not measured: int8 (LUT) on LFE5U-85F-6 (WrongResult: channel 3: 7, not 8)." in text


def test_energy_of_devices_and_arrays():
    """A column a device, but none for a sibling with the same netlists; an array once, whatever its router."""
    dense, table = (row for row in ROWS[:3] if row["design"] in ("dense", "table"))
    energy = [dense | {"energy_per_mac": 40.0}, table | {"energy_per_mac": 18.0},
              dense | {"energy_per_mac": 40.0, "device": "LFE5U-25F-6"},
              dense | {"energy_per_mac": 50.0, "device": "GW2A-18"},
              dense | {"status": "WrongResult", "error": "row 0 disagrees", "device": "XC7"},
              made("dense", 256, 8000, 150, rows=8) | {"energy_per_mac": 26.0},
              made("dense", 256, 8000, 150, rows=8, router="router2") | {"energy_per_mac": 26.0}]
    text = "\n".join(energy_values(energy, [row for row in energy if is_comparison(row)],
                                   [row for row in energy if is_array(row)]).values())
    assert "| weighted toggles a MAC | LFE5U-85F-6 | GW2A-18 |" in text
    assert "| table | 18.0 | – |" in text and "| dense | 40.0 | 50.0 |" in text
    assert "| over | the authors' simulator | dense |" in text and "| table | – | 0.5 × |" in text
    assert text.count("dense (8 rows) | LFE5U-85F-6 | 26.0 |") == 1
    assert "Not measured: dense on XC7 (WrongResult: row 0 disagrees)." in text
    assert list(behind(per_device(energy[:4]))) == [
        "By the energy proxy on LFE5U-85F-6 MixPE's best W4A8 unit, dense (40 a MAC), is behind table (18)."]
    assert set(energy_values([], [], []).values()) == {""}


def test_a_unit_of_the_lanes_it_has_by_itself():
    """A point may leave the lanes out."""
    row = {name: value for name, value in ROWS[1].items() if name != "p_lanes"}
    text = page([row], [], [], {})
    assert "| shift-add | – | 1 | 128 | exact | – | 640 |" in text and "| shift-add | – | 93 | LUTs |" in text


def test_losses_follow_the_rows():
    """A design is said to be ahead where it is, and by flip-flops the order is another one."""
    wide = made("dense", 8, 300, 280, p_lanes=8, flip_flops=600, placed_luts=340)
    text = page([wide, *ROWS[1:]], [], [], {})
    assert f"| {grid.DEVICE} | million MAC/s per LUT |" not in text
    assert f"| {grid.DEVICE} | million MAC/s per site | dense 3.73 | table 7.08 |" in text
    assert "The dense unit has 600 flip-flops beside 300 LUTs (340 as placed)." in text
    assert ("dense with 7.47 million MAC/s per LUT is first, table with 7.08 per site" in text)
    slow = page([*ROWS[:2], made("table", 8, 900, 230, p_lanes=8), *ROWS[3:5]], [], [], {})
    assert "ahead of it" not in slow and "Table lookup takes" not in slow
    fidelity = [{"arithmetic": "FP32", "sqnr_db": None, "bits_per_byte": 1.0},
                {"arithmetic": "W4A8 G128 (MixPE)", "sqnr_db": 22.5, "bits_per_byte": 1.2},
                {"arithmetic": "ANT", "sqnr_db": 22.0, "bits_per_byte": 1.1},
                {"arithmetic": "W8A8 (INT8)", "sqnr_db": 40.0, "bits_per_byte": 1.3}]
    text = page(ROWS, fidelity, [], {})
    assert "in dB, MixPE at W4A8 G128 (22.50) is behind W8A8 (INT8) (40.00)." in text
    assert "By bits per byte, MixPE at W4A8 G128 (1.2000) is behind ANT (1.1000)." in text


def test_figure_shows_every_row(tmp_path):
    """The scale of fidelity is broken where nothing lies, never where something does."""
    pytest.importorskip("matplotlib")
    values = [2.2, 20.4, 22.8, 25.0, 31.0, 40.5]
    ranges = figure.bands(values)
    assert ranges == [(39.5, 41.5), (30.0, 32.0), (19.4, 26.0), (pytest.approx(1.2), 3.2)]
    assert all(any(low < value < high for low, high in ranges) for value in values)
    rows = [row | {"sqnr_db": value} for row, value in zip(ROWS, values, strict=False)]
    figure.draw(rows, tmp_path/"front.png", "mmacs_per_s_per_lut", "million MAC/s per LUT")
    assert (tmp_path/"front.png").read_bytes()[:4] == b"\x89PNG"
    families = {"int8 DSP" if point.parameters.get("dsp") else point.design for point in grid.comparison()}
    assert set(figure.STYLES) <= families and len(set(figure.STYLES.values())) == len(figure.STYLES)


@pytest.mark.parametrize("columns, name", [
    ({"design": "shift-add", "p_lanes": 8}, "shift-add"),
    ({"design": "shift-add", "p_lanes": 32, "rows": 8}, "shift-add D=32 array"),
    ({"design": "int8", "p_lanes": 4, "dsps": 4}, "int8 DSP"),
    ({"design": "aligned-a16", "p_width": 10, "group_size": 64, "accumulator_bits": 24},
     "aligned-a16 W=10 G=64 24-bit sums"),
])
def test_names_in_figures(columns, name):
    assert figure.short_name(columns) == name


def test_rows_of_a_front():
    rows = [row | {"sqnr_db": 20.0 + index} for index, row in enumerate(ROWS[:3])]
    kept = report.pareto_rows(rows, "mmacs_per_s_per_lut")
    assert [row["design"] for row in kept] == ["table", "dense"]
    assert kept[0]["sqnr_db"] == 22.0 and "p_width" not in kept[0] and kept[0]["p_lanes"] == 8


def test_template():
    """A block takes the paragraph above it with it, and the last one its section."""
    text = "# A {x}\n\nOne.\n\n## B\n\nTwo.\n{b}\n\nThree:\n{c}\n\n### D\n\n{d}\n"
    assert fill(text, {"x": 7, "b": "", "c": "| c |", "d": ""}) == "# A 7\n\nOne.\n\n## B\n\nThree:\n\n| c |\n"
    assert fill(text, {"x": 7, "b": "", "c": "", "d": "d"}) == "# A 7\n\nOne.\n\n### D\n\nd\n"
    with pytest.raises(KeyError, match="d"):
        fill(text, {"x": 7, "b": "", "c": ""})


ROOT    = Path(__file__).parents[2]
RESULTS = ROOT/"docs"/"results"


def test_committed_page_is_of_the_committed_results():
    figures = {name: f"results/{name}.png" for name in report.FRONTS}
    rows, fidelity, energy = (report.read_rows(RESULTS, name) for name in ("full", "fidelity", "energy"))
    text = page(report.distinct(rows), fidelity, energy, figures)
    assert (ROOT/"docs"/"comparison.md").read_text(encoding="utf-8") == text
    assert {row["design"] for row in (*rows, *energy)} <= set(DESIGNS)


README = {  # how a line of the table begins: the point it is of
    "MixPE-A8 dense (signed digits over pair sums), array of 8 rows × 32 lanes": {
        "design": "dense", "rows": 8, "p_lanes": 32},
    "MixPE-A8 dense, unit of 8 lanes (the SoC's `pe=dense`)": {"design": "dense", "p_lanes": 8},
    "the same, array of 4 rows × 8 lanes":                    {"design": "dense", "rows": 4, "p_lanes": 8},
    "MixPE-A8 bit planes, 8 lanes (`pe=bitplane`)":           {"design": "bitplane", "p_lanes": 8},
    "MixPE-A8 as published, 8 lanes (`pe=shift-add`)":        {"design": "shift-add", "p_lanes": 8},
    "table lookup":                                           {"design": "table", "p_lanes": 8},
    "INT8 from bit planes, by the same means":                {"design": "bitplane-int8", "p_lanes": 8},
    "INT8, multipliers in LUTs (Booth)":                      {"design": "int8", "p_lanes": 4},
    "the same, array of 2 rows × 32 lanes":                   {"design": "int8", "rows": 2, "p_lanes": 32},
    "the same, array of 8 rows × 32 lanes, by router2":       {
        "design": "int8", "rows": 8, "p_lanes": 32, "router": "router2"},
    "INT8, DSP blocks":                                       {"design": "int8", "p_lanes": 4, "p_dsp": True},
}


def test_readme_says_what_the_results_say():
    """Each line of its table of processing elements."""
    usual = {"rows": 1, "group_size": 128, "accumulator_bits": None, "part": "unit", "device": grid.DEVICE,
             "p_dsp": None, "p_width": None, "router": None}
    text  = (ROOT/"README.md").read_text(encoding="utf-8")
    lines = text.partition("**Processing elements**")[2].partition("\n|---")[2].partition("\n\n")[0].splitlines()[1:]
    assert len(lines) >= 8
    for line in lines:
        title, *cells = line.strip("| ").split(" | ")
        point = usual | README[title.partition(" (the dense array by")[0]]
        row, energy = (next(row for row in report.read_rows(RESULTS, name)
                            if all(row.get(column) == value for column, value in point.items()))
                       for name in ("full", "energy"))
        row = priced(row)
        assert cells == [f"{row['luts_per_mac']:.{0 if row['luts_per_mac'] > 100 else 1}f}", f"{row['fmax_mhz']:.0f}",
                         f"{row['mmacs_per_s_per_lut']:.2f}", f"{row['mmacs_per_s_per_site']:.2f}",
                         f"{energy['energy_per_mac']:.1f}"], title
