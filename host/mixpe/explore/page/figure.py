# SPDX-License-Identifier: BSD-2-Clause
"""Figures: fidelity against a cost, the Pareto front drawn through."""

from mixpe.explore.grid import LANES
from mixpe.explore.pareto import front
from mixpe_gateware.pe import DESIGNS

MIXPE  = (*DESIGNS, "aligned-a16", "mixpe-a16")
STYLES = {  # family: (colour, mark), the same in all figures
    "shift-add":      ("#d62728", "o"),
    "dense":          ("#6a3d9a", "D"),
    "bitplane":       ("#ff7f0e", "s"),
    "aligned-a16":    ("#1f77b4", "^"),
    "mixpe-a16":      ("#2ca02c", "v"),
    "table":          ("#000000", "o"),
    "int8":           ("#17a2b8", "s"),
    "int8 DSP":       ("#0b5394", "D"),
    "bitplane-int8":  ("#7f7f7f", "^"),
    "qserve":         ("#c2185b", "s"),
    "bitfusion":      ("#e377c2", "o"),
    "olaccel":        ("#8c564b", "D"),
    "ant":            ("#b8860b", "^"),
    "olive":          ("#4e7a1e", "v"),
    "fp16-dequant":   ("#9b9b00", "o"),
}
OTHER_STYLE  = ("#444444", "P")
GAP_DB       = 5.0  # where nothing lies for so long the scale of fidelity is broken
MARGIN_DB    = 1.0
LABEL_POINTS = 9    # height of a label


def bands(values, gap=GAP_DB):
    """Ranges (low, high) that hold all values, highest first, broken where `gap` or more is empty."""
    found = []
    for value in sorted(values, reverse=True):
        if found and found[-1][0] - value < gap:
            found[-1][0] = value
        else:
            found.append([value, value])
    return [(low - MARGIN_DB, high + MARGIN_DB) for low, high in found]


def draw(rows, path, column, label):
    """Fidelity against a column, the front drawn through. Needs matplotlib.

    Parameters
    ----------
    rows : list of dict
        Of `report.with_fidelity`; those without the column are left out, all others are shown.
    path : path of a PNG
    column, label : str
    """
    import matplotlib
    matplotlib.use("Agg")
    from matplotlib import pyplot, ticker

    rows   = [row for row in rows if row.get(column) and row.get("sqnr_db") is not None]
    best   = front(rows, column, "sqnr_db")
    ranges = bands([row["sqnr_db"] for row in rows])
    figure, grid = pyplot.subplots(len(ranges), sharex=True, squeeze=False, figsize=(10, 3.5 + 1.3*len(ranges)),
                                   height_ratios=[high - low for low, high in ranges])
    parts = grid[:, 0]
    names = sorted({family(row) for row in rows}, key=lambda name: (name not in MIXPE, name))
    for axes, limits in zip(parts, ranges, strict=True):
        axes.plot([row[column] for row in best], [row["sqnr_db"] for row in best], "-", color="0.6", zorder=0)
        for name in names:
            part = [row for row in rows if family(row) == name]
            colour, mark = STYLES.get(name, OTHER_STYLE)
            axes.plot([row[column] for row in part], [row["sqnr_db"] for row in part], mark, color=colour,
                      markersize=7, markeredgewidth=1.5, alpha=0.8, label=name, zorder=2 + (name not in MIXPE),
                      markerfacecolor=None if name in MIXPE else "none")
        axes.set_ylim(*limits)
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter(ticker.FuncFormatter(lambda value, _: f"{value:g}"))
        axes.xaxis.set_minor_formatter(ticker.NullFormatter())
        axes.yaxis.set_major_locator(ticker.MaxNLocator("auto", integer=True, min_n_ticks=1))
        axes.grid(alpha=0.3)
        axes.spines.top.set_visible(axes is parts[0])
        axes.spines.bottom.set_visible(axes is parts[-1])
        axes.tick_params(bottom=axes is parts[-1], which="both")
        _mark_breaks(axes, above=axes is not parts[0], below=axes is not parts[-1])
    low, high = parts[0].get_xlim()
    parts[0].set_xlim(low, high*(high/low)**0.3)  # the labels' place
    parts[-1].set_xlabel(label)
    figure.supylabel("SQNR of layer outputs, dB", fontsize=10)
    parts[0].set_title("filled: MixPE, in all its widths, groups and shapes; line: Pareto front", fontsize=9)
    figure.legend(*parts[0].get_legend_handles_labels(), loc="center right", fontsize=8)
    figure.tight_layout(rect=(0, 0, 0.83, 1))
    for axes, limits in zip(parts, ranges, strict=True):
        _label([row for row in best if limits[0] <= row["sqnr_db"] <= limits[1]], axes, column)
    tallest = max(parts, key=lambda axes: axes.get_position().height)
    tallest.annotate("better", (0.09, 0.93), (0.015, 0.83), xycoords="axes fraction", fontsize=9, color="0.3",
        arrowprops={"arrowstyle": "->", "color": "0.3"})
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def _mark_breaks(axes, above, below):
    """Two strokes across each side of a scale where it is broken."""
    stroke = {"marker": [(-1, -0.6), (1, 0.6)], "markersize": 9, "linestyle": "none", "color": "black",
        "clip_on": False, "transform": axes.transAxes}
    for height, is_broken in ((1, above), (0, below)):
        if is_broken:
            axes.plot([0, 1], [height, height], label="_break", **stroke)


def _label(best, axes, column):
    """Names to the upper right of a front's points, where nothing can lie; each below that of the point before."""
    scale = 72/axes.figure.dpi
    above = float("inf")
    for name, x, y in dict.fromkeys((short_name(row), row[column], row["sqnr_db"]) for row in best):
        height = axes.transData.transform((x, y))[1]*scale
        place  = min(height + 4, above - LABEL_POINTS)
        above  = place
        axes.annotate(name, (x, y), xytext=(7, place - height), textcoords="offset points", fontsize=7)


def family(row):
    """Design of a row, and whether it multiplies in DSP blocks: what shares a mark in a figure."""
    return row["design"] + (" DSP" if row.get("dsps") else "")


def short_name(row):
    """Name of a row in a figure."""
    usual = LANES.get(row["design"], 8)
    parts = [f"D={row['p_lanes']}"] if row.get("p_lanes", usual) != usual else []
    parts += [f"W={row['p_width']}"] if row.get("p_width") else []
    parts += [f"G={row['group_size']}"] if row.get("group_size", 128) != 128 else []
    parts += [f"{row['accumulator_bits']}-bit sums"] if row.get("accumulator_bits") else []
    parts += ["array"] if row.get("rows", 1) > 1 else []
    return " ".join([family(row), *parts])
