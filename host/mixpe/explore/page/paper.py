# SPDX-License-Identifier: BSD-2-Clause
"""What the results say beside the paper's figures: cost of an element, and speed on the authors' workloads."""

from mixpe.explore.page.tables import is_ok, table
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
RIVALS   = ("int8 (LUT)", "int8 (DSP)", "bitplane-int8", "bitfusion", "olaccel", "ant", "olive", "qserve", "table")
MEMORIES = (("board", "board's memory"), ("simulator", "the simulator's"))


def paper_values(units, arrays):
    """Blocks that put measured ratios beside the paper's.

    Parameters
    ----------
    units : dict of str to row
        Units of the comparison by `name_of`, with what `resources.priced` adds.
    arrays : list of dict
        Rows of several rows, of any shape.

    Returns
    -------
    dict of str to str
    """
    def rates(our, item):
        return " / ".join(f"{units[our][column]/units[item[0]][column]:.1f} ×"
                          for column in ("mmacs_per_s_per_lut", "mmacs_per_s_per_site"))

    def elements(our, item):
        return units[item[0]]["luts_per_mac"]/units[our]["luts_per_mac"]

    ours    = [name for name in OURS if name in units]
    rivals  = [item for item in (*PAPER, *_best(units), ("bitplane-int8", "INT8 by MixPE's own means", "–"))
               if item[0] in units and units[item[0]]["fmax_mhz"]]
    columns = [("over", lambda item: item[1]), ("paper, MixPE-W4A8", lambda item: item[2])]
    columns += [(f"{our}, MAC/s per LUT / per site", lambda item, our=our: rates(our, item)) for our in ours]
    columns += [(f"PEs of {our} in its LUTs", lambda item, our=our: elements(our, item), 1) for our in ours]
    is_full = "int8 (LUT)" in units and len(ours) == len(OURS)
    return {
        "paper":          table(columns, rivals) if units else "",
        "paper_elements": "One INT8 PE takes the LUTs of {:.1f} MixPE PEs as published or {:.1f} dense ones.".format(
            *(elements(our, PAPER[0]) for our in ours)) if is_full else "",
        "paper_arrays":   _arrays(arrays) if units else "",
    }


def _arrays(rows):
    """The largest dense array against the largest one of multipliers in LUTs, both routed alike."""
    def largest(design, **columns):
        return max((row for row in rows if is_ok(row) and row["fmax_mhz"] and not row.get("p_dsp")
                    and row["design"] == design and all(row.get(name) == value for name, value in columns.items())),
                   key=lambda row: row["macs_per_cycle"], default=None)

    int8  = largest("int8")
    dense = largest("dense", router=int8.get("router")) if int8 else None
    if not dense:
        return ""
    ratio, sites = (dense[column]/int8[column] for column in ("mmacs_per_s_per_lut", "mmacs_per_s_per_site"))
    shapes = " against ".join(f"{row['rows']} × {row['p_lanes']}" for row in (dense, int8))
    router = f", both by {int8['router']}" if int8.get("router") else ""
    return (f"Array against array ({shapes}{router}): {ratio:.1f} × the MAC/s per LUT of INT8 multipliers in LUTs, "
            f"{sites:.1f} × per site.")


def _best(units):
    """The best quantised design that was measured here, beside the paper's best."""
    found = sorted((name for name in QUANTISED if name in units and units[name]["fmax_mhz"]),
                   key=lambda name: units[name]["mmacs_per_s_per_lut"], reverse=True)
    rest  = [name for name in found if name not in ("table", "bitfusion", "olaccel")]
    return [(name, f"{name}, the best quantised design here" + (" with multipliers" if name != found[0] else ""), "–")
            for name in dict.fromkeys([*found[:1], *rest[:1]])]


def speed_values(fits):
    """Blocks on the speed of MixPE over other designs at an equal budget, workload by workload.

    Parameters
    ----------
    fits : dict of str to Fit
        By `name_of`, see `resources.best_fits`.

    Returns
    -------
    dict of str to str
    """
    ours   = [name for name in OURS if name in fits]
    rivals = [name for name in RIVALS if name in fits]

    def factor(rival, our, workload, tokens, memory):
        return seconds(fits[rival], workload, tokens, memory)/seconds(fits[our], workload, tokens, memory)

    def prefill(rival, workload, memory):
        return " / ".join(f"{factor(rival, our, workload, PREFILL_TOKENS, memory):.1f}" for our in ours)

    def published(rival, index):
        mixpe, other = PAPER_TIMES.get(rival, (None, None))
        return f"{other[index]/mixpe[index]:.1f}" if mixpe else "–"

    def decode(rival, our, memory):
        values = [factor(rival, our, workload, 1, memory) for workload in WORKLOADS]
        return " … ".join(dict.fromkeys(f"{value:.2f}" for value in (min(values), max(values))))

    columns = {
        "speed_simulator": [(load, lambda rival, index=index, load=load: " / ".join(
            [published(rival, index), prefill(rival, load, "simulator")])) for index, load in enumerate(WORKLOADS)],
        "speed_board":     [(load, lambda rival, load=load: prefill(rival, load, "board")) for load in WORKLOADS],
        "speed_decode":    [(f"{our}, {label}", lambda rival, our=our, memory=memory: decode(rival, our, memory))
                            for memory, label in MEMORIES for our in ours],
    }
    return {name: table([("over", str), *found], rivals) if ours and rivals else "" for name, found in columns.items()}
