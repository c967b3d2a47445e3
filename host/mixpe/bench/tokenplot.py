# SPDX-License-Identifier: BSD-2-Clause
"""A figure of where the cycles of a token go, engine by engine."""

import numpy as np

from mixpe.program.cycles import NOTHING

# Blue: the array; greens: attention; warm colours: the vector engine.
COLOURS = {
    "GEMM": "#2a7fba", "ATTENTION": "#3f9b5f", "QUANT": "#c0504d", "NORM": "#d9734e", "SELECT": "#e0a030",
    "ADD": "#e8c25a", "SILU": "#a8577e", "ROTATE": "#c98aa8", "APPEND": "#8d6e63", "QUERY": "#b9a08f",
    NOTHING: "#bbbbbb",
}
LABELS = {"GEMM": "GEMM (array, weights)", "ATTENTION": "ATTENTION", NOTHING: "none"}
LEAST  = 0.06  # share whose per cent are written into it


def where_a_token_goes(path, rows):
    """One bar a token: shares of its cycles, each cycle with the oldest record that is under way.

    Parameters
    ----------
    path : Path
    rows : list of TokenRow
    """
    import matplotlib
    matplotlib.use("Agg")
    from matplotlib import pyplot
    figure, axes = pyplot.subplots(figsize=(10.5, 0.36*len(rows) + 2.0), dpi=110, layout="constrained")
    left = np.zeros(len(rows))
    for name, colour in COLOURS.items():
        share = np.array([row.functions.get(name, 0.0)/sum(row.functions.values()) for row in rows])
        label = LABELS.get(name, f"VECTOR {name}")
        axes.barh(range(len(rows)), share, left=left, color=colour, label=label, height=0.72, linewidth=0)
        for index, (start, part) in enumerate(zip(left, share, strict=True)):
            if part >= LEAST:
                axes.text(start + part/2, index, f"{part:.0%}", ha="center", va="center", fontsize=8, color="white")
        left = left + share
    axes.set_yticks(range(len(rows)), [_label(row) for row in rows], fontsize=8)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_xlim(0, 1)
    axes.xaxis.set_major_formatter(matplotlib.ticker.PercentFormatter(1.0))
    axes.set_xlabel("share of the token's cycles, by the cycle model")
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    figure.legend(fontsize=8, ncols=4, loc="outside lower center", frameon=False)
    figure.suptitle("Where a token's cycles go, the decoder on the device", fontsize=11)
    figure.savefig(path)
    pyplot.close(figure)


def _label(row):
    counted = "" if row.counted is None else f" (model {row.prediction_error:+.1%})"
    cycles  = row.cycles if row.counted is None else row.counted["cycles"]
    return f"{row.model}, {row.place}, position {row.position}: {cycles:,.0f} cycles{counted}"
