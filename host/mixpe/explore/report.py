# SPDX-License-Identifier: BSD-2-Clause
"""Results as JSON and CSV, joined (cost with fidelity and energy), and as a page with figures."""

import csv
import json
import os
from pathlib import Path

from mixpe.explore.arithmetic import ARITHMETIC
from mixpe.explore.grid import DEVICE
from mixpe.explore.page import page
from mixpe.explore.page.figure import draw
from mixpe.explore.pareto import front
from mixpe.explore.resources import priced
from mixpe_gateware.contract.errors import ModelError

POINT_COLUMNS = ("design", "p_lanes", "p_width", "p_dsp", "rows", "group_size", "accumulator_bits", "device")
FRONTS = {  # name of the files: (column, label)
    "pareto":        ("mmacs_per_s_per_lut", "million MAC/s per LUT"),
    "pareto-sites":  ("mmacs_per_s_per_site", "million MAC/s per site: LUTs as placed, or flip-flops if they are more"),
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

    ``macs_per_toggle`` is the inverse of the energy proxy, so that larger is better everywhere; see
    `resources.priced` for what a site is.
    """
    joined = []
    for row in map(priced, rows):
        for entry in fidelity:
            if entry["arithmetic"] in ARITHMETIC and ARITHMETIC[entry["arithmetic"]].is_of(row):
                row = row | {"sqnr_db": entry["sqnr_db"], "bits_per_byte": entry["bits_per_byte"]}
                for found in energy:
                    if found.get("status", "ok") == "ok" and all(
                            found.get(name) == row.get(name) for name in POINT_COLUMNS):
                        row |= {"energy_per_mac": found["energy_per_mac"],
                                "macs_per_toggle": 1/found["energy_per_mac"]}
                joined.append(row)
                break
    return joined


def pareto_rows(rows, column):
    """The front of fidelity against a column, the columns that matter."""
    columns = (*POINT_COLUMNS, column, "sqnr_db", "bits_per_byte", "luts_per_mac", "sites_per_mac", "fmax_mhz",
               "energy_per_mac")
    return [{name: row[name] for name in dict.fromkeys(columns) if row.get(name) is not None}
            for row in front(rows, column, "sqnr_db")]


def write_page(folder, path):
    """The comparison page and its figures, from the results in a folder.

    Parameters
    ----------
    folder : path
        Gets the figures and what is on their fronts.
    path : path
        Of the page.

    Raises
    ------
    ModelError
        A file of results is damaged.
    """
    folder, path = Path(folder), Path(path)
    names   = [name for name in ("full", "comparison", "arrays") if (folder/f"{name}.json").exists()] or ["quick"]
    rows    = distinct([row for name in names for row in read_rows(folder, name)])
    found   = read_rows(folder, "fidelity")
    energy  = read_rows(folder, "energy")
    here    = [row for row in rows if row["status"] == "ok" and is_compared(row)]
    joined  = with_fidelity(here, found, energy)
    figures = {}
    for name, (column, text) in FRONTS.items():
        if any(row.get(column) for row in joined):
            draw(joined, folder/f"{name}.png", column, text)
            write_rows(pareto_rows(joined, column), folder, name)
            figures[name] = os.path.relpath(folder/f"{name}.png", path.parent)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page(rows, found, energy, figures))
