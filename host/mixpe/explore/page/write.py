# SPDX-License-Identifier: BSD-2-Clause
"""The comparison page, written from results: no figure on it is typed in but the paper's own and the assumptions."""

from importlib.resources import files

from mixpe.explore.cost import TARGETS
from mixpe.explore.grid import DEVICE, LANES
from mixpe.explore.page.energy import energy_values, per_device
from mixpe.explore.page.losses import loss_values
from mixpe.explore.page.paper import paper_values, speed_values
from mixpe.explore.page.tables import is_ok, name_of, not_measured, number, paragraphs, table
from mixpe.explore.page.template import fill
from mixpe.explore.resources import BUDGET_LUTS, TABLE_CHANNELS, TABLE_WRITES, best_fits, priced
from mixpe.explore.storage import bits_per_weight
from mixpe.explore.workloads import ACTIVATION_BYTES, DDR3_BYTES_S, PREFILL_TOKENS, WORKLOADS, seconds
from mixpe_gateware.baselines import DESIGNS

RATES = [("million MAC/s per LUT", "mmacs_per_s_per_lut", 2), ("per site", "mmacs_per_s_per_site", 2)]
COSTS = [
    ("design", name_of), ("MAC/cycle", "macs_per_cycle", 0), ("LUT", "luts", 0), ("placed", "placed_luts", 0),
    ("FF", "flip_flops", 0), ("DSP", "dsps", 0), ("BRAM", "block_rams", 0), ("LUT/MAC", "luts_per_mac", 1),
    ("sites/MAC", "sites_per_mac", 1), ("fmax MHz", "fmax_mhz", 0), ("seeds", lambda row: len(row["fmax_by_seed"])),
    *RATES]
SHAPES = [
    ("design", "design"), ("D", "p_lanes"), ("R", "rows"), ("G", "group_size"),
    ("sum bits", lambda row: row["accumulator_bits"] or "exact"), ("W", "p_width"), ("LUT", "luts", 0),
    ("FF", "flip_flops", 0), ("LUT/MAC", "luts_per_mac", 1), ("fmax MHz", "fmax_mhz", 0), *RATES]
NAMES = [
    ("name", lambda design: f"`{design.name}`"), ("what it does", lambda design: design.summary),
    ("weights", lambda design: design.weight_format), ("activations", lambda design: design.activation_format)]
FIDELITY = [("arithmetic", "arithmetic"), ("SQNR dB", "sqnr_db", 2), ("bits per byte", "bits_per_byte", 4)]
BUDGET = [  # of (name, Fit)
    ("design", lambda item: item[0]), ("lanes", lambda item: item[1].row.get("p_lanes")),
    ("units", lambda item: item[1].units), ("limit", lambda item: item[1].limit),
    ("MAC/cycle", lambda item: item[1].macs_per_cycle, 0), ("GOPS", lambda item: 2*item[1].rate/1e9, 0),
    ("bits a weight", lambda item: bits_per_weight(item[1].row["design"]), 2),
    *((load, lambda item, load=load: " / ".join(
        f"{seconds(item[1], load, tokens, 'board'):.3g}" for tokens in (1, PREFILL_TOKENS))) for load in WORKLOADS)]


def is_usual(row):
    """Whether a row is a unit with exact sums of groups of 128 and the usual width, of any lanes."""
    return (row.get("rows", 1) == 1 and row.get("part", "unit") == "unit" and row.get("accumulator_bits") is None
            and row.get("group_size", 128) == 128 and row.get("p_width") is None)


def is_comparison(row):
    """Whether a row is one of the units that designs are compared as, on whatever device."""
    return is_usual(row) and row.get("p_lanes") == LANES.get(row["design"], 8)


def is_array(row):
    """Whether a row is one of the whole arrays."""
    return row.get("rows", 1) > 1 and row.get("p_lanes") == 32


def page(rows, fidelity, energy, figures):
    """Markdown of the comparison.

    Parameters
    ----------
    rows : list of dict
        Of `points.evaluate`.
    fidelity : list of dict
        ``arithmetic``, ``sqnr_db``, ``bits_per_byte``.
    energy : list of dict
        Columns of a point, ``status``, and ``energy_per_mac`` where that is ok.
    figures : dict of str to str
        Paths of those of `report.FRONTS` that there are.
    """
    rows    = [priced(row) for row in rows]
    here    = [row for row in rows if row["device"] == DEVICE]
    others  = [device for device in TARGETS if device != DEVICE and any(row["device"] == device for row in rows)]
    units   = {device: {name_of(row): row for row in rows if row["device"] == device and is_ok(row)
                        and is_comparison(row)} for device in (DEVICE, *others)}
    arrays  = [row for row in rows if is_array(row)]
    fits    = best_fits([row for row in here if is_ok(row) and is_usual(row) and row["fmax_mhz"]], name_of)
    compared = [row for row in energy if is_comparison(row)]
    return fill(files(__package__).joinpath("comparison.md").read_text(encoding="utf-8"), {
        "device":       DEVICE,
        "designs":      table(NAMES, DESIGNS.values()),
        "units":        _measured([row for row in here if is_comparison(row)]),
        "tools":        ", ".join(sorted({text for row in rows for text in row.get("tools", {}).values()})),
        "arrays":       _measured(arrays),
        "array_ratios": _array_ratios([row for row in arrays if is_ok(row) and row["fmax_mhz"]]),
        "shapes":       _shapes([row for row in here if not is_comparison(row) and not is_array(row)]),
        "encoders":     _encoders([row for row in rows if row.get("part") == "encoder"], units[DEVICE]),
        "devices":      paragraphs(*(_device(device, rows) for device in others)),
        "fidelity":     table(FIDELITY, fidelity) if fidelity else "",
        **{name.replace("-", "_"): f"![Fidelity against {label}]({figures[name]})" if name in figures else ""
           for name, label in (("pareto", "MAC/s per LUT"), ("pareto-sites", "MAC/s per site"),
                               ("pareto-energy", "the energy proxy"))},
        **energy_values(energy, compared, [row for row in energy if is_array(row)]),
        "budget":       table(BUDGET, sorted(fits.items(), key=lambda item: -item[1].rate)) if fits else "",
        "budget_luts":  number(BUDGET_LUTS, 0), "device_luts": number(TARGETS[DEVICE].lut_total, 0),
        "table_writes": TABLE_WRITES, "table_channels": TABLE_CHANNELS, "tokens": PREFILL_TOKENS,
        "memory_gb_s":  number(DDR3_BYTES_S/1e9), "on_chip_kib": ACTIVATION_BYTES//1024,
        **speed_values(fits),
        **paper_values(units[DEVICE] if fits else {}, [row for row in rows if row.get("rows", 1) > 1]),
        **loss_values(units, fidelity, per_device(compared), rows, fits),
    })


def _measured(rows):
    """Table of what was measured, then a sentence on what was not and why; nothing without rows."""
    good = sorted((row for row in rows if is_ok(row)), key=lambda row: row["luts_per_mac"])
    return paragraphs(table(COSTS, good), not_measured(rows)) if rows else ""


def _device(device, rows):
    area = "" if TARGETS[device].place_and_route else ", synthesis only"
    compared = [row for row in rows if row["device"] == device and is_comparison(row)]
    return paragraphs(f"### {device}{area}", _measured(compared) or table(COSTS, []))


def _array_ratios(routed):
    """Each dense array over the others that were routed likewise."""
    ratios = []
    for best in sorted((row for row in routed if row["design"] == "dense"), key=lambda row: -row["rows"]):
        others = [row for row in routed if row["design"] != best["design"] and row.get("router") == best.get("router")]
        if others:
            ratios.append(f"of {name_of(best)} over " + ", ".join(
                f"{name_of(row)} {best['mmacs_per_s_per_lut']/row['mmacs_per_s_per_lut']:.1f} ×" for row in others))
    return f"MAC/s per LUT {'; '.join(ratios)}." if ratios else ""


def _shapes(rows):
    """Units and arrays that are not those of the comparison: other lanes, rows, groups, widths."""
    rows = [row for row in rows if row.get("part", "unit") == "unit"]
    good = sorted((row for row in rows if is_ok(row)), key=lambda row: (
        row["design"], row["rows"], row["group_size"], row["accumulator_bits"] or 0, row.get("p_lanes", 0),
        row.get("p_width") or 0))
    return paragraphs(table(SHAPES, good), not_measured(
        rows, lambda row: f"{name_of(row)} of {row.get('p_lanes', '?')} lanes")) if rows else ""


def _encoders(rows, units):
    def share(row):
        return row["luts"]/(8*row["p_lanes"])

    columns = [
        ("for", "design"), ("lanes", "p_lanes"), ("LUT", "luts", 0), ("FF", "flip_flops", 0),
        ("fmax MHz", "fmax_mhz", 0), ("LUT/MAC of 8 rows", share, 1),
        ("unit and its share", lambda row: units[row["design"]]["luts_per_mac"] + share(row)
         if row["design"] in units else None, 1)]
    good = sorted((row for row in rows if is_ok(row)), key=lambda row: (row["design"], row["p_lanes"]))
    return paragraphs(table(columns, good), not_measured(rows, lambda row: row["design"])) if rows else ""
