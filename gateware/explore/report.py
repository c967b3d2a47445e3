# SPDX-License-Identifier: BSD-2-Clause
"""Results as JSON, CSV and figure."""

import csv
import json
from pathlib import Path

from mixpe.gateware.explore.arithmetic import ARITHMETIC
from mixpe.gateware.explore.grid import DEVICE
from mixpe.gateware.explore.pareto import front
from mixpe.gateware.spec.errors import ModelError

MIXPE = ("mixpe-a8", "mixpe-a8-dense", "bitplane-a8", "aligned-a16", "mixpe-a16")
POINT_COLUMNS = ("design", "p_lanes", "p_width", "p_dsp", "rows", "group_size", "accumulator_bits", "device")
SHOWN_DB = (19.5, 25.5, 39.5, 41.5)  # lower half, upper half
MARKERS  = "os"
FRONTS = {  # name of the files: (column, label)
    "pareto":        ("mmacs_per_s_per_lut", "million MAC/s per LUT"),
    "pareto-energy": ("macs_per_toggle", "MAC per weighted toggle"),
}

def write_rows(rows, folder, name):
    """``name``.json and ``name``.csv in a folder."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder/f"{name}.json").write_text(json.dumps(rows, indent=1) + "\n")
    columns = list(dict.fromkeys(column for row in rows for column in row))
    with open(folder/f"{name}.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows({column: json.dumps(value) if isinstance(value, dict) else value
                          for column, value in row.items()} for row in rows)


def read_rows(folder, name):
    """Rows that `write_rows` wrote; an empty list if there are none.

    Raises
    ------
    ModelError
        The file is damaged.
    """
    path = Path(folder)/f"{name}.json"
    if not path.exists():
        return []
    try:
        return json.loads(path.read_text())
    except json.JSONDecodeError as error:
        raise ModelError(f"{path} is damaged: {error}; remove it and explore again") from error


def by_content(folder):
    """Rows of all results in a folder that say what they depend on, by that."""
    rows = [row for path in sorted(Path(folder).glob("*.json")) for row in read_rows(folder, path.stem)]
    return {row["content"]: row for row in rows if row.get("status") == "ok" and "content" in row}


def distinct(rows):
    """Rows without those that describe a point a second time."""
    found = {}
    for row in rows:
        columns = {name: value for name, value in row.items() if name.startswith("p_") and name != "p_target"}
        key = tuple(row.get(name, usual) for name, usual in (
            ("design", None), ("rows", 1), ("group_size", 128), ("accumulator_bits", None), ("part", "unit"),
            ("device", None), ("router", None)))
        found.setdefault((key, tuple(sorted(columns.items()))), row)
    return list(found.values())


def is_compared(row):
    """Whether a row is a unit or an array on the device that designs are compared on."""
    return row["device"] == DEVICE and row.get("part", "unit") == "unit"


def with_fidelity(rows, fidelity, energy=()):
    """Cost rows joined with the fidelity of their arithmetic and with their energy proxy, where it is known.

    ``macs_per_toggle`` is the inverse of the energy proxy, so that larger is better everywhere.
    """
    joined = []
    for row in rows:
        for entry in fidelity:
            if entry["arithmetic"] in ARITHMETIC and ARITHMETIC[entry["arithmetic"]].is_of(row):
                row = row | {"sqnr_db": entry["sqnr_db"], "bits_per_byte": entry["bits_per_byte"]}
                for found in energy:
                    if all(found.get(name) == row.get(name) for name in POINT_COLUMNS):
                        row |= {"energy_per_mac": found["energy_per_mac"],
                                "macs_per_toggle": 1/found["energy_per_mac"]}
                joined.append(row)
                break
    return joined


def draw(rows, path, column, label):
    """Fidelity against a column, the front drawn through. Needs matplotlib.

    The scale of fidelity is broken between four-bit weights and eight-bit ones; what is below SHOWN_DB is left out.
    """
    import matplotlib
    matplotlib.use("Agg")
    from matplotlib import pyplot, ticker

    rows = [row for row in rows if row.get(column) and row["sqnr_db"] >= SHOWN_DB[0]]
    best = front(rows, column, "sqnr_db")
    figure, axes = pyplot.subplots(2, sharex=True, figsize=(10, 6), height_ratios=(1, 4))
    names = sorted({family(row) for row in rows}, key=lambda name: (name not in MIXPE, name))
    for half, limits in zip(axes, (SHOWN_DB[2:], SHOWN_DB[:2]), strict=True):
        half.plot([row[column] for row in best], [row["sqnr_db"] for row in best], "-", color="0.6", zorder=0)
        for index, name in enumerate(names):
            part = [row for row in rows if family(row) == name]
            half.plot([row[column] for row in part], [row["sqnr_db"] for row in part], MARKERS[index//10],
                      color=f"C{index % 10}", markersize=8 if name in MIXPE else 6, alpha=0.8,
                      markerfacecolor=None if name in MIXPE else "none", markeredgewidth=1.5, label=name)
        for row in best:
            if limits[0] <= row["sqnr_db"] <= limits[1]:
                half.annotate(short_name(row), (row[column], row["sqnr_db"]), xytext=(-8, 6),
                              textcoords="offset points", ha="right", fontsize=7)
        half.set_ylim(*limits)
        half.set_xscale("log")
        half.xaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
        half.xaxis.set_major_formatter(ticker.FuncFormatter(lambda value, _: f"{value:g}"))
        half.xaxis.set_minor_formatter(ticker.NullFormatter())
        half.grid(alpha=0.3)
    axes[0].spines.bottom.set_visible(False)
    axes[1].spines.top.set_visible(False)
    axes[0].tick_params(bottom=False, which="both")
    axes[1].set_xlabel(label)
    axes[1].set_ylabel("SQNR of layer outputs, dB")
    axes[0].set_title("filled: MixPE, in all its widths, groups and shapes; line: Pareto front", fontsize=9)
    figure.legend(*axes[1].get_legend_handles_labels(), loc="center right", fontsize=8)
    figure.tight_layout(rect=(0, 0, 0.83, 1))
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def family(row):
    """Design of a row, and whether it multiplies in DSP blocks: what shares a mark in a figure."""
    return row["design"] + (" DSP" if row["dsps"] else "")


def short_name(row):
    """Name of a row in a figure."""
    parts = [f"W={row['p_width']}"] if row.get("p_width") else []
    parts += [f"G={row['group_size']}"] if row["group_size"] != 128 else []
    parts += [f"{row['accumulator_bits']}-bit sums"] if row.get("accumulator_bits") else []
    parts += ["DSP"] if row["dsps"] else []
    parts += ["array"] if row["rows"] > 1 else []
    return " ".join([row["design"], *parts])


def pareto_rows(rows, column):
    """The front of fidelity against a column, the columns that matter."""
    columns = ("design", "p_lanes", "p_width", "p_dsp", "rows", "group_size", "accumulator_bits", "device", column,
               "sqnr_db", "bits_per_byte", "luts_per_mac", "fmax_mhz", "energy_per_mac")
    return [{name: row[name] for name in dict.fromkeys(columns) if row.get(name) is not None}
            for row in front(rows, column, "sqnr_db")]
