# SPDX-License-Identifier: BSD-2-Clause
"""What `evaluate` found, as an aligned table and as a figure."""

from mixpe import terminal

SERIES = {  # quantiser and format: marker and colour, which survive greyscale and colour blindness
    ("nearest", "W4A8"):  ("o", "#0072b2"),
    ("nearest", "W4A16"): ("s", "#56b4e9"),
    ("nearest", "W4A8G"): ("D", "#009e73"),
    ("gptq", "W4A8"):     ("^", "#d55e00"),
    ("gptq", "W4A16"):    ("v", "#e69f00"),
    ("gptq", "W4A8G"):    ("P", "#cc79a7"),
}
NAMES = {"nearest": "round to nearest", "gptq": "GPTQ", None: ""}


def table(rows):
    """Rows of `evaluate.evaluate` as aligned text."""
    cells = []
    for row in rows:
        cells.append((row["format"], str(row["group_size"] or ""), NAMES[row["quantiser"]],
                      f"{row['bits_per_byte']:.4f}", f"{row['perplexity']:.3f}",
                      f"{row['cost_percent']:+.2f} %" if row["quantiser"] else ""))
    return terminal.table(("format", "G", "quantiser", "bits/byte", "perplexity", "cost"), cells, "<><>>>")


def figure(rows, gzip_bits, path):
    """Draw bits per byte against group size and write the picture; matplotlib is needed here alone.

    Parameters
    ----------
    rows : list of dict
        Of `evaluate.evaluate`.
    gzip_bits : float or None
        What ``gzip -9`` needs, for the caption.
    path : path
        Its ending picks the format.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    picture = Figure(figsize=(6.4, 4.8), layout="constrained")
    FigureCanvasAgg(picture)
    axes = picture.add_subplot()
    float_bits = rows[0]["bits_per_byte"]
    axes.axhline(float_bits, color="black", linewidth=1, label="FP32")
    axes.axhline(1.02 * float_bits, color="black", linewidth=1, linestyle=":", label="FP32 + 2 %")
    sizes = sorted({row["group_size"] for row in rows[1:]})
    for (quantiser, kind), (marker, colour) in SERIES.items():
        points = sorted((row["group_size"], row["bits_per_byte"]) for row in rows[1:]
                        if (row["quantiser"], row["format"]) == (quantiser, kind))
        if points:
            axes.plot(*zip(*points, strict=True), marker=marker, color=colour, label=f"{kind}, {NAMES[quantiser]}")
    if sizes:
        axes.set_xscale("log", base=2)
        axes.set_xticks(sizes, [str(size) for size in sizes])
        axes.minorticks_off()
    axes.set_xlabel("group size G")
    axes.set_ylabel("bits per byte of held-out text")
    axes.set_title("Cost of 4-bit weights" + (f" (gzip -9: {gzip_bits:.3f} bits per byte)" if gzip_bits else ""))
    picture.legend(loc="outside lower center", ncols=3)
    picture.savefig(path, dpi=150)
