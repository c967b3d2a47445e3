# SPDX-License-Identifier: BSD-2-Clause
"""The comparison page's section on the energy proxy: units on every device, whole arrays, and where MixPE is behind."""

from mixpe.explore.cost import TARGETS
from mixpe.explore.grid import DEVICE
from mixpe.explore.verdict import name_of, number, table, why

METHOD = """\
Toggles of the synthesised netlist, cell by cell and without glitches, while a layer of the project's model runs through
it: its real weights, quantised as the design does it, and activations of held-out text; rows of an array work on
different tokens. A LUT's output or a carry cell's sum counts 1, a wide multiplexer or a sum behind LUTs 0.5, a
flip-flop 0.5 and its clock 0.1 a cycle, a carry between cells 0.25, a bit that a write to LUT RAM changes 0.5. What
drives no routing, inside a hard block, counts a fourteenth of that (what standard cells take of a fabric's dynamic
power, Kuon and Rose 2007): a DSP block is an array multiplier's full adders and its registers, a block RAM its bit
lines at each access. Its outputs count as the fabric's. Tables serve as many channels as the layer has.

Every result of every netlist is compared with the design's reference on the way, so this is a test of the synthesis
too. For comparing designs within one column, not devices, and not watts: multipliers in LUTs glitch more than this
shows, and what a vendor's DSP block is made of is not known. Units only: what writes activations for the dense and the
table unit, what aligns them, and the block RAM in which a table's partial sums wait are in none of these figures. Units
have the lanes of the tables above, and more lanes share more: 4 for INT8, 8 for MixPE."""

BESIDE = """\
Energy of others over MixPE's, for a product. The authors' figures are the geometric mean of their four workloads in
their simulator's last release, for static power, DRAM, buffers and PEs whose power is another design's, and their FP16
multiplies without dequantising in the loop; here it is the PEs' own toggles on {device}."""

# Of MixPE-W4A8 in the authors' simulator: reduction over each design, geometric mean of the four workloads.
PAPER_ENERGY = {"olaccel": "1.4 ×", "ant": "1.7 ×", "bitfusion": "2.6 ×", "int8 (LUT)": "2.9 ×",
                "fp16-dequant": "5.8 ×"}
OURS         = ("shift-add", "bitplane", "dense")
OTHERS       = (*PAPER_ENERGY, "int8 (DSP)", "bitplane-int8", "olive", "qserve", "table")


def energy_section(energy, is_comparison, figures):
    """Lines of Markdown.

    Parameters
    ----------
    energy : list of dict
        Columns of a point, ``status``, and ``energy_per_mac`` where that is ok.
    is_comparison : callable
        Whether a row is one of the units that designs are compared as.
    figures : dict of str to str
        See `page.page`.
    """
    if not energy:
        return []
    units = by_device([row for row in energy if is_comparison(row)])
    order = sorted({name for found in units.values() for name in found},
                   key=lambda name: next(found[name] for found in units.values() if name in found))
    text = ["## Energy proxy", "", METHOD, ""]
    if units:
        text += [table(("weighted toggles a MAC", *units),
                       [(name, *(number(found.get(name)) for found in units.values())) for name in order]), ""]
    arrays = {(name_of({**row, "router": None}), row["device"]): row["energy_per_mac"] for row in energy
              if is_ok(row) and row.get("rows", 1) > 1 and row.get("p_lanes") == 32}  # a router changes no netlist
    if arrays:
        text += ["Whole arrays of 32 lanes a row, as synthesised, whether they fit or not:", "",
                 table(("array", "device", "weighted toggles a MAC"),
                       [(*key, number(arrays[key])) for key in sorted(arrays, key=arrays.get)]), ""]
    text += _beside(units.get(DEVICE, {}))
    bad = {f"{name_of(row)} on {row['device']}": why(row) for row in energy if not is_ok(row)}
    text += ["Not measured: " + "; ".join(f"{name} ({text})" for name, text in bad.items()) + ".", ""] if bad else []
    return text + ([f"![Fidelity against the energy proxy]({figures['pareto-energy']})", ""]
                   if "pareto-energy" in figures else [])


def _beside(found):
    """Ratios beside the authors'."""
    ours   = [name for name in OURS if name in found]
    others = [name for name in OTHERS if name in found]
    if not ours or not others:
        return []
    return [BESIDE.format(device=DEVICE), "",
            table(("over", "the authors' simulator", *ours),
                  [(name, PAPER_ENERGY.get(name, "–"), *(f"{found[name]/found[our]:.1f} ×" for our in ours))
                   for name in others]), ""]


def is_ok(row):
    return row.get("status", "ok") == "ok"


def by_device(energy):
    """Energy proxy by device, in the order of the targets, and name. Smaller siblings have the first one's netlists."""
    found = {}
    for device, target in TARGETS.items():
        for row in energy:
            if row.get("device") == device and is_ok(row) and (
                    device == DEVICE or target.family != TARGETS[DEVICE].family):
                found.setdefault(device, {})[name_of(row)] = row["energy_per_mac"]
    return found


def behind(energies, designs):
    """Sentences on where the best of `designs` is behind others, for each device that `by_device` has."""
    for device, found in energies.items():
        ours = [name for name in found if name in designs]
        if not ours:
            continue
        best = min(ours, key=found.get)
        less = sorted((name for name in found if found[name] < found[best]), key=found.get)
        if less:
            yield (f"By the energy proxy on {device} MixPE's best W4A8 unit, {best} ({found[best]:.0f} a MAC), is "
                   "behind " + ", ".join(f"{name} ({found[name]:.0f})" for name in less) + ".")
