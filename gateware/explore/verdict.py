# SPDX-License-Identifier: BSD-2-Clause
"""What the results say: beside the paper's figures, and where MixPE loses; only what the numbers bear out."""

PAPER = (  # design, its label, speed-up of MixPE-W4A8 over it in the authors' simulator (arXiv 2411.16158: 2.6, > 4)
    ("int8 (LUT)", "INT8 TPU", "4.4 ×"),
    ("bitfusion", "BitFusion", "3.6 ×"),
    ("olaccel", "OLAccel, the paper's best quantised design", "2.6 ×"),
)
QUANTISED = ("qserve", "bitfusion", "olaccel", "ant", "olive", "table")

PAPER_TEXT = """\
The paper's factors rest on four W4A8 PEs for the area of one INT8 PE, which was assumed. Here the ratio is measured, on
an FPGA's fabric. BitFusion and OLAccel are counted with INT8 activations and INT4 weights."""


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
    if row["rows"] > 1:
        options.append(f"{row['rows']} rows")
    if row.get("router"):
        options.append(row["router"])
    return row["design"] + (f" ({', '.join(options)})" if options else "")


def paper(by_name, arrays):
    """Section that puts measured ratios beside the paper's; `arrays` are rows of several rows, of any shape."""
    ours  = [name for name in ("mixpe-a8", "mixpe-a8-dense") if name in by_name]
    lines = []
    for name, label, factor in (*PAPER, *_best(by_name), ("bitplane-int8", "INT8 by MixPE's own means", "–")):
        other = by_name.get(name)
        if other and other["fmax_mhz"]:
            per_lut = (f"{by_name[our]['mmacs_per_s_per_lut']/other['mmacs_per_s_per_lut']:.1f} ×" for our in ours)
            luts    = (f"{other['luts_per_mac']/by_name[our]['luts_per_mac']:.1f}" for our in ours)
            lines.append((label, factor, *per_lut, *luts))
    header = ("over", "paper, MixPE-W4A8", *(f"{our}, MAC/s per LUT" for our in ours),
              *(f"PEs of {our} in its LUTs" for our in ours))
    text = ["## Beside the paper", "", table(header, lines), "", PAPER_TEXT, ""]
    if "int8 (LUT)" in by_name and len(ours) == 2:
        published, dense = (by_name["int8 (LUT)"]["luts_per_mac"]/by_name[our]["luts_per_mac"] for our in ours)
        text += [f"One INT8 PE takes the LUTs of {published:.1f} MixPE PEs as published or {dense:.1f} dense ones.", ""]
    arrays = [row for row in arrays if row["status"] == "ok" and row["fmax_mhz"] and not row.get("p_dsp")]
    int8   = _largest(row for row in arrays if row["design"] == "int8")
    dense  = _largest(row for row in arrays if row["design"] == "mixpe-a8-dense"
                      and int8 and row.get("router") == int8.get("router"))
    if dense:
        ratio  = dense["mmacs_per_s_per_lut"]/int8["mmacs_per_s_per_lut"]
        shapes = " against ".join(f"{row['rows']} × {row['p_lanes']}" for row in (dense, int8))
        router = f", both by {int8['router']}" if int8.get("router") else ""
        line   = f"Array against array ({shapes}{router}): {ratio:.1f} × the MAC/s per LUT of INT8 multipliers in LUTs."
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


def losses(by_name, fidelity, energies, rows):
    """Sentences on where MixPE is behind.

    Parameters
    ----------
    by_name : dict of str to row
        Units of the comparison by `name_of`.
    fidelity : list of dict
    energies : dict of str to float
        Energy proxy by `name_of`.
    rows : list of dict
        All rows, for those of encoders.
    """
    dense, published = by_name.get("mixpe-a8-dense"), by_name.get("mixpe-a8")
    found = {row["arithmetic"]: row for row in fidelity}
    lines = [*_against_int8(by_name, dense), *_against_tables(by_name, dense, published, rows),
             *_by_energy(energies)]
    a16, aligned = by_name.get("mixpe-a16"), by_name.get("aligned-a16")
    int8, w4     = found.get("W8A8 (INT8)"), found.get("W4A8 G128 (MixPE)")
    if published and dense:
        lines.append(f"As published MixPE costs {published['luts_per_mac']:.0f} LUTs a MAC. What brings that to "
                     f"{dense['luts_per_mac']:.0f} is stored sums and the fabric's carry cells, not shift-and-add "
                     "as such.")
    if dense and dense["flip_flops"] > dense["luts"]:
        lines.append(f"The dense unit has {dense['flip_flops']:.0f} flip-flops beside {dense['luts']:.0f} LUTs. A "
                     "slice has as many of one as of the other: in a full device flip-flops run out first.")
    if int8 and w4 and int8["sqnr_db"] > w4["sqnr_db"]:
        lines.append(f"Four-bit weights cost fidelity: {w4['sqnr_db']:.1f} dB, INT8 has {int8['sqnr_db']:.1f} dB; "
                     f"{w4['bits_per_byte']:.4f} bits per byte against {int8['bits_per_byte']:.4f}.")
    if a16 and aligned and aligned["luts_per_mac"] < a16["luts_per_mac"]:
        lines.append(f"MixPE-A16 with every FP16 case exact costs {a16['luts_per_mac']:.0f} LUTs a MAC; with groups "
                     f"aligned first the array costs {aligned['luts_per_mac']:.0f}.")
    for device in dict.fromkeys(row["device"] for row in rows):
        lines += _elsewhere(device, {name_of(row): row for row in rows if row["device"] == device and row["rows"] == 1
                                     and row["status"] == "ok" and row.get("part", "unit") == "unit"})
    return [f"- {line}" for line in lines]


def _against_int8(by_name, dense):
    dsp, planes = by_name.get("int8 (DSP)"), by_name.get("bitplane-int8")
    if dsp and dense and dsp["luts_per_mac"] < dense["luts_per_mac"]:
        yield (f"INT8 in DSP blocks takes {dsp['luts_per_mac']:.0f} LUTs a MAC beside its DSP block, the dense unit "
               f"{dense['luts_per_mac']:.0f}: while DSP blocks are left, they are the cheaper multipliers.")
    if planes and dense:
        text = (f"Much of the distance to INT8 is not the weights' width. INT8 built as MixPE is, from bit planes with "
                f"folded gates, takes {planes['luts_per_mac']:.0f} LUTs a MAC: the dense unit is "
                f"{planes['luts_per_mac']/dense['luts_per_mac']:.1f} times smaller than that")
        int8 = by_name.get("int8 (LUT)")
        yield text + (f", and {int8['luts_per_mac']/dense['luts_per_mac']:.1f} times smaller than a multiplier in LUTs."
                      if int8 else ".")


def _against_tables(by_name, dense, published, rows):
    tables = by_name.get("table")
    if tables and published and tables["luts_per_mac"] < published["luts_per_mac"]:
        yield (f"Table lookup takes {tables['luts_per_mac']:.0f} LUTs a MAC, MixPE as published "
               f"{published['luts_per_mac']:.0f}. It needs activations that stay for many channels, since tables take "
               "16 cycles to write.")
    if tables and dense and tables["luts_per_mac"] < dense["luts_per_mac"]:
        ratio = dense["mmacs_per_s_per_lut"]/tables["mmacs_per_s_per_lut"] if dense["fmax_mhz"] else 0
        clock = f" By MAC/s per LUT the dense unit is ahead by {ratio:.2f} ×, for its clock." if ratio > 1 else ""
        yield (f"Table lookup is smaller than the dense unit too ({dense['luts_per_mac']:.0f} LUTs a MAC), as long as "
               f"its tables stay.{clock}")
    encoders = {row["design"]: row for row in rows if row.get("part") == "encoder" and row["status"] == "ok"
                and row["p_lanes"] == 32}
    if encoders.get("mixpe-a8-dense"):
        luts = encoders["mixpe-a8-dense"]["luts"]
        yield (f"The dense unit needs its activations as pair sums, {luts:.0f} LUTs for 32 lanes: {luts/256:.1f} LUTs "
               f"a MAC more in an array of 8 rows, {luts/32:.0f} if there is one row only.")


def _by_energy(energies):
    dense = energies.get("mixpe-a8-dense")
    less  = sorted((name for name in energies if dense and energies[name] < dense), key=energies.get)
    if less:
        yield (f"By the energy proxy the dense unit ({dense:.0f} a MAC) is behind "
               + ", ".join(f"{name} ({energies[name]:.0f})" for name in less) + ".")


def _elsewhere(device, units):
    ours  = [units[name] for name in ("mixpe-a8-dense", "bitplane-a8", "mixpe-a8") if name in units]
    other = [units[name] for name in ("table", "int8 (DSP)", "bitplane-int8", "int8 (LUT)") if name in units]
    if not device.startswith("LFE5U") and ours and other:
        best, rival = (min(rows, key=lambda row: row["luts_per_mac"]) for rows in (ours, other))
        if rival["luts_per_mac"] < best["luts_per_mac"]:
            yield (f"On {device} the smallest MixPE is {best['design']} with {best['luts_per_mac']:.0f} LUTs a MAC; "
                   f"{name_of(rival)} takes {rival['luts_per_mac']:.0f}.")
