# SPDX-License-Identifier: BSD-2-Clause
"""What the results say beside the paper's figures: cost of an element, and speed on the authors' workloads."""

from mixpe.explore.workloads import PREFILL_TOKENS, WORKLOADS, seconds

QUANTISED = ("qserve", "bitfusion", "olaccel", "ant", "olive", "table")
OURS      = ("shift-add", "dense")
PAPER     = (  # design, label, speed-up of MixPE-W4A8 over it in the authors' simulator (arXiv 2411.16158: 2.6, > 4)
    ("int8 (LUT)", "INT8 TPU", "4.4 ×"),
    ("bitfusion", "BitFusion", "3.6 ×"),
    ("olaccel", "OLAccel, the paper's best quantised design", "2.6 ×"),
)
# Times of the workloads in the authors' simulator, MixPE-W4A8 and then designs: of the settings that give the figures
# above, and, for ANT, of the last release, which has other settings.
PAPER_TIMES = {
    "int8 (LUT)": ((0.20, 0.19, 0.19, 0.19), (0.82, 0.82, 0.86, 0.86)),
    "bitfusion":  ((0.20, 0.19, 0.19, 0.19), (0.69, 0.67, 0.69, 0.69)),
    "olaccel":    ((0.20, 0.19, 0.19, 0.19), (0.54, 0.48, 0.48, 0.48)),
    "ant":        ((0.155, 0.117, 0.097, 0.096), (0.612, 0.471, 0.396, 0.403)),
}
RIVALS = ("int8 (LUT)", "int8 (DSP)", "bitplane-int8", "bitfusion", "olaccel", "ant", "olive", "qserve", "table")

PAPER_TEXT = """\
The paper's factors rest on four W4A8 PEs for the area of one INT8 PE, which was assumed. Here the ratio is measured, on
an FPGA's fabric. BitFusion and OLAccel are counted with INT8 activations and INT4 weights."""

SPEED = """\
Speed of the budget's units over others', all linear layers, by the cycle model above. The authors' simulator runs a
batch of {tokens} on an array of 64 × 64 PEs against 32 × 32 INT8 ones, with a memory of 1024 bits a cycle at 500 MHz,
far more than such a batch needs. The same memory and batch here, each cell: the simulator's factor for that workload /
*shift-add* as published / *dense*. ANT's factors are of the simulator's last release, whose MixPE is twice as
fast on the large models."""

BOARD = """\
With the board's memory, prefill of {tokens} tokens, *shift-add* / *dense*. Both are bound by memory nearly
everywhere, so they are equally fast, and the factors shrink to what the others lack beside that."""

DECODE = """\
One decode step, the range over the workloads. It uses each weight once, so memory bounds every design that keeps up
with it. There a factor is the ratio of bits a weight, and below 1 the other design needs fewer."""


def table(header, rows):
    lines = ["| " + " | ".join(header) + " |", "|" + " --- |"*len(header)]
    return "\n".join(lines + ["| " + " | ".join(map(str, row)) + " |" for row in rows])


def number(value, digits=1):
    return "–" if value is None else f"{value:,.{digits}f}"


def name_of(row):
    """Short name of a row, with what tells it from others of its design."""
    options = [f"W={row['p_width']}"] if "p_width" in row else []
    if row["design"] == "int8":
        options.append("DSP" if row.get("p_dsp") else "LUT")
    if row.get("rows", 1) > 1:
        options.append(f"{row['rows']} rows")
    if row.get("router"):
        options.append(row["router"])
    return row["design"] + (f" ({', '.join(options)})" if options else "")


def why(row):
    """Why a row has no figures, in a line."""
    lines = row.get("error", "").splitlines() or [""]
    return f"{row['status']}: {lines[0].split(': ERROR: ')[-1][:120]}"


def paper(by_name, arrays):
    """Section that puts measured ratios beside the paper's.

    Parameters
    ----------
    by_name : dict of str to row
        Units of the comparison by `name_of`, with what `resources.priced` adds.
    arrays : list of dict
        Rows of several rows, of any shape.
    """
    ours  = [name for name in OURS if name in by_name]
    lines = []
    for name, label, factor in (*PAPER, *_best(by_name), ("bitplane-int8", "INT8 by MixPE's own means", "–")):
        other = by_name.get(name)
        if other and other["fmax_mhz"]:
            rates = (" / ".join(f"{by_name[our][column]/other[column]:.1f} ×"
                                for column in ("mmacs_per_s_per_lut", "mmacs_per_s_per_site")) for our in ours)
            luts  = (f"{other['luts_per_mac']/by_name[our]['luts_per_mac']:.1f}" for our in ours)
            lines.append((label, factor, *rates, *luts))
    header = ("over", "paper, MixPE-W4A8", *(f"{our}, MAC/s per LUT / per site" for our in ours),
              *(f"PEs of {our} in its LUTs" for our in ours))
    text = ["## Beside the paper", "", table(header, lines), "", PAPER_TEXT, ""]
    if "int8 (LUT)" in by_name and len(ours) == 2:
        published, dense = (by_name["int8 (LUT)"]["luts_per_mac"]/by_name[our]["luts_per_mac"] for our in ours)
        text += [f"One INT8 PE takes the LUTs of {published:.1f} MixPE PEs as published or {dense:.1f} dense ones.", ""]
    arrays = [row for row in arrays if row["status"] == "ok" and row["fmax_mhz"] and not row.get("p_dsp")]
    int8   = _largest(row for row in arrays if row["design"] == "int8")
    dense  = _largest(row for row in arrays if row["design"] == "dense"
                      and int8 and row.get("router") == int8.get("router"))
    if dense:
        ratio  = dense["mmacs_per_s_per_lut"]/int8["mmacs_per_s_per_lut"]
        shapes = " against ".join(f"{row['rows']} × {row['p_lanes']}" for row in (dense, int8))
        router = f", both by {int8['router']}" if int8.get("router") else ""
        sites  = dense["mmacs_per_s_per_site"]/int8["mmacs_per_s_per_site"]
        line   = (f"Array against array ({shapes}{router}): {ratio:.1f} × the MAC/s per LUT of INT8 multipliers in "
                  f"LUTs, {sites:.1f} × per site.")
        text  += [line, ""]
    return text


def _largest(rows):
    return max(rows, key=lambda row: row["macs_per_cycle"], default=None)


def _best(by_name):
    """The best quantised design that was measured here, beside the paper's best."""
    found = [name for name in QUANTISED if name in by_name and by_name[name]["fmax_mhz"]]
    if not found:
        return ()
    best = max(found, key=lambda name: by_name[name]["mmacs_per_s_per_lut"])
    rest = [name for name in found if name not in ("table", "bitfusion", "olaccel")]
    more = [max(rest, key=lambda name: by_name[name]["mmacs_per_s_per_lut"])] if rest else []
    return tuple((name, f"{name}, the best quantised design here" + (" with multipliers" if name != best else ""), "–")
                 for name in dict.fromkeys([best, *more]))


def speedups(fits):
    """Section on the speed of MixPE over other designs at an equal budget, workload by workload.

    Parameters
    ----------
    fits : dict of str to Fit
        By `name_of`, see `resources.best_fits`.
    """
    ours   = [name for name in OURS if name in fits]
    rivals = [name for name in RIVALS if name in fits]
    if not ours or not rivals:
        return []

    def factors(rival, workload, tokens, memory):
        slow = seconds(fits[rival], workload, tokens, memory)
        return [slow/seconds(fits[our], workload, tokens, memory) for our in ours]

    def cell(rival, workload, memory, known=()):
        return " / ".join([*known, *(f"{value:.1f}" for value in factors(rival, workload, PREFILL_TOKENS, memory))])

    def published(rival, index):
        if rival not in PAPER_TIMES:
            return "–"
        mixpe, other = PAPER_TIMES[rival]
        return f"{other[index]/mixpe[index]:.1f}"

    simulated = [(rival, *(cell(rival, name, "simulator", [published(rival, index)])
                           for index, name in enumerate(WORKLOADS))) for rival in rivals]
    board     = [(rival, *(cell(rival, name, "board") for name in WORKLOADS)) for rival in rivals]
    decode    = [(rival, *(_range([factors(rival, name, 1, memory)[index] for name in WORKLOADS])
                           for memory in ("board", "simulator") for index in range(len(ours)))) for rival in rivals]
    return ["### Speed on the authors' workloads", "", SPEED.format(tokens=PREFILL_TOKENS), "",
            table(("over", *WORKLOADS), simulated), "", BOARD.format(tokens=PREFILL_TOKENS), "",
            table(("over", *WORKLOADS), board), "", DECODE, "",
            table(("over", *(f"{our}, {memory}" for memory in ("board's memory", "the simulator's") for our in ours)),
                  decode), ""]


def _range(values):
    texts = dict.fromkeys(f"{value:.2f}" for value in (min(values), max(values)))
    return " … ".join(texts)
