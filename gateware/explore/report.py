# SPDX-License-Identifier: BSD-2-Clause
"""Results as JSON, CSV and figure."""

import csv
import json
from pathlib import Path

from mixpe.gateware.explore.arithmetic import ARITHMETIC
from mixpe.gateware.explore.pareto import front
from mixpe.gateware.spec.errors import ModelError


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


def with_fidelity(rows, fidelity):
    """Cost rows joined with the fidelity of their design's arithmetic (aligned A16: of its width)."""
    joined = []
    for row in rows:
        for entry in fidelity:
            designs = ARITHMETIC[entry["arithmetic"]][0]
            width = entry["arithmetic"].rpartition("W=")[2]
            if row["design"] in designs and (row["design"] != "aligned-a16" or width == str(row.get("p_width", 12))):
                joined.append(row | {"sqnr_db": entry["sqnr_db"], "bits_per_byte": entry["bits_per_byte"]})
    return joined


def draw(rows, path):
    """Fidelity against MAC/s per LUT, the front drawn through. Needs matplotlib."""
    import matplotlib
    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(8, 5))
    best = front(rows, "mmacs_per_s_per_lut", "sqnr_db")
    axes.plot([row["mmacs_per_s_per_lut"] for row in best], [row["sqnr_db"] for row in best], "-", color="0.7",
              label="Pareto front")
    for row in rows:
        if row.get("mmacs_per_s_per_lut"):
            ours = row["design"] in ("mixpe-a8", "mixpe-a8-dense", "bitplane-a8", "aligned-a16", "mixpe-a16")
            axes.plot(row["mmacs_per_s_per_lut"], row["sqnr_db"], "o" if ours else "s",
                      color="tab:red" if ours else "tab:blue")
            width = f" W={row['p_width']}" if "p_width" in row else ""
            text = row["design"] + width + (" DSP" if row["dsps"] else "")
            axes.annotate(text, (row["mmacs_per_s_per_lut"], row["sqnr_db"]), textcoords="offset points",
                          xytext=(4, 4), fontsize=7)
    axes.set_xscale("log")
    axes.set_xlabel("million MAC/s per LUT")
    axes.set_ylabel("SQNR of layer outputs, dB")
    axes.grid(alpha=0.3)
    axes.legend()
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def pareto_rows(rows):
    """The front of fidelity against MAC/s per LUT, the columns that matter."""
    columns = ("design", "p_lanes", "p_width", "p_dsp", "device", "mmacs_per_s_per_lut", "sqnr_db", "bits_per_byte",
               "luts_per_mac", "fmax_mhz")
    return [{column: row[column] for column in columns if column in row}
            for row in front(rows, "mmacs_per_s_per_lut", "sqnr_db")]
