# SPDX-License-Identifier: BSD-2-Clause
"""Figures of a benchmark: the roofline, and where the cycles of each layer go."""

import numpy as np

COLOURS = {"busy": "#2a7fba", "wait_weights": "#e0a030", "wait_results": "#c0504d", "other": "#bbbbbb"}
LABELS  = {"busy": "array busy", "wait_weights": "waits for weights", "wait_results": "waits for results",
    "other": "start, end, scales"}


SAME_PLACE   = 1.3  # points of a layer no further apart than this ratio share a name, those of all a column of names
NAME_ROOM    = 2.5  # a column of names needs so much of the scale
LABEL_POINTS = 8.5  # height of a name


def _figure(width, height):
    import matplotlib
    matplotlib.use("Agg")
    from matplotlib import pyplot
    return pyplot.subplots(figsize=(width, height), dpi=110)


def roofline(path, rows, config, read_rate):
    """MAC a cycle over MAC a byte of weights, under the memory's and the array's roofs."""
    figure, axes = _figure(10, 6.5)
    peak = config.rows*config.lanes
    intensity = np.geomspace(1, 512, 200)
    axes.loglog(intensity, np.minimum(peak, intensity*config.beat_bytes*read_rate), color="black", linewidth=1,
        label=f"array {peak} MAC/cycle, bare reader {config.beat_bytes*read_rate:.1f} B/cycle")
    axes.loglog(intensity, np.minimum(peak, intensity*config.beat_bytes), color="black", linewidth=1, linestyle=":",
        label=f"port {config.beat_bytes} B/cycle")
    for marker, mode in (("o", "fused"), ("s", "partials")):
        for colour, phase in (("#2a7fba", "decode"), ("#c0504d", "prefill")):
            points = [row for row in rows if row.case.mode == mode and row.case.phase == phase]
            if points:
                macs = np.array([row.m*row.case.layer.n_run*row.case.layer.k for row in points])
                axes.loglog(macs/[row.stream_bytes for row in points], macs/[row.cycles for row in points], marker,
                    color=colour, markersize=5, alpha=0.8, label=f"{phase}, {mode}")
    low, high = axes.get_ylim()
    axes.set_ylim(low*0.6, high*1.5)  # the names' place
    _name_layers(axes, rows)
    axes.annotate("better", (0.03, 0.97), (0.03, 0.85), xycoords="axes fraction", ha="center", fontsize=9, color="0.3",
        arrowprops={"arrowstyle": "->", "color": "0.3"})
    axes.set_xlabel("MAC per byte of weights, scales and zeros")
    axes.set_ylabel("MAC per cycle (A8 rows)")
    axes.set_title(f"{config.name} array on a {config.port_bits}-bit port, simulated")
    axes.grid(True, which="both", alpha=0.25)
    axes.legend(fontsize=8, loc="lower right")
    figure.tight_layout()
    figure.savefig(path)


def _columns(points):
    """Points (x, y, name) in groups of nearly the same x, each from the top down."""
    groups = []
    for x, y, name in sorted(points):
        if groups and x/groups[-1][-1][0] < SAME_PLACE:
            groups[-1].append((x, y, name))
        else:
            groups.append([(x, y, name)])
    return [sorted(group, key=lambda point: -point[1]) for group in groups]


def _name_layers(axes, rows):
    """The name of each layer beside its points and below that of the point above, with a line to its point.

    Runs of a layer at about the same place share a name, which points to the middle of them.
    """
    places = {}  # of each layer: lists of points at about the same place
    for row in sorted(rows, key=lambda row: row.cycles):
        macs  = row.m*row.case.layer.n_run*row.case.layer.k
        point = np.log((macs/row.stream_bytes, macs/row.cycles))
        known = places.setdefault(row.case.layer.label, [])
        near  = next((found for found in known if np.abs(found[0] - point).max() < np.log(SAME_PLACE)), None)
        if near is None:
            known.append([point])
        else:
            near.append(point)
    columns = _columns([(*np.exp(np.mean(found, axis=0)), name) for name, known in places.items() for found in known])
    scale   = 72/axes.figure.dpi
    for group, after in zip(columns, [*columns[1:], []], strict=True):
        left  = any(x/group[0][0] < NAME_ROOM and 1/SAME_PLACE < y/other < SAME_PLACE
            for x, y, _ in after for _, other, _ in group)  # the next column's points are in the way
        above = float("inf")
        for x, y, name in group:
            height = axes.transData.transform((x, y))[1]*scale
            above  = min(height - LABEL_POINTS/2, above - LABEL_POINTS)
            axes.annotate(name, (x, y), xytext=(-18 if left else 18, above - height), textcoords="offset points",
                fontsize=6.5, va="center", ha="right" if left else "left",
                arrowprops={"arrowstyle": "-", "color": "0.7", "linewidth": 0.5})


def where_cycles_go(path, rows):
    """One bar a case: shares of its cycles."""
    figure, axes = _figure(9, 0.28*len(rows) + 1.4)
    left = np.zeros(len(rows))
    for name in COLOURS:
        if name == "other":
            share = 1 - left
        else:
            share = np.array([getattr(row, name)/row.cycles for row in rows])
        axes.barh(range(len(rows)), share, left=left, color=COLOURS[name], label=LABELS[name], height=0.75)
        left = left + share
    axes.set_yticks(range(len(rows)), [f"{row.case.layer.label} {row.case.phase} {row.case.mode} {row.case.activations}"
        for row in rows], fontsize=7)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_xlim(0, 1)
    axes.set_xlabel("share of the job's cycles")
    axes.legend(fontsize=8, ncols=4, loc="lower center", bbox_to_anchor=(0.4, 1.0))
    figure.tight_layout()
    figure.savefig(path)
