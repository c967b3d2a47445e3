# SPDX-License-Identifier: BSD-2-Clause
"""The comparison page on the energy proxy: units on every device, whole arrays, and where MixPE is behind."""

from mixpe.explore.cost import TARGETS
from mixpe.explore.grid import DEVICE
from mixpe.explore.page.tables import is_ok, name_of, not_measured, table
from mixpe_gateware.pe import DESIGNS as OURS

# Of MixPE-W4A8 in the authors' simulator: reduction over each design, geometric mean of the four workloads.
PAPER_ENERGY = {"olaccel": "1.4 ×", "ant": "1.7 ×", "bitfusion": "2.6 ×", "int8 (LUT)": "2.9 ×",
                "fp16-dequant": "5.8 ×"}
OTHERS       = (*PAPER_ENERGY, "int8 (DSP)", "bitplane-int8", "olive", "qserve", "table")


def energy_values(energy, compared, arrays):
    """Blocks of the page's section.

    Parameters
    ----------
    energy : list of dict
        Columns of a point, ``status``, and ``energy_per_mac`` where that is ok.
    compared, arrays : list of dict
        Those of them that are units of the comparison, and whole arrays.

    Returns
    -------
    dict of str to str
    """
    units = per_device(compared)
    names = {name: found[name] for found in reversed(units.values()) for name in found}
    found = {(name_of({**row, "router": None}), row["device"]): row for row in arrays if is_ok(row)}  # one netlist
    here  = units.get(DEVICE, {})
    ours, others = ([name for name in group if name in here] for group in (OURS, OTHERS))
    return {
        "energy_units":   table([("weighted toggles a MAC", str), *(
            (device, by_name.get, 1) for device, by_name in units.items())], sorted(names, key=names.get))
            if units else "",
        "energy_arrays":  table([("array", lambda row: name_of({**row, "router": None})), ("device", "device"), (
            "weighted toggles a MAC", "energy_per_mac", 1)], sorted(found.values(), key=lambda row: row[
                "energy_per_mac"])) if found else "",
        "energy_beside":  table([("over", str), ("the authors' simulator", PAPER_ENERGY.get), *(
            (our, lambda name, our=our: f"{here[name]/here[our]:.1f} ×") for our in ours)], others)
            if ours and others else "",
        "energy_missing": not_measured(energy, lambda row: f"{name_of(row)} on {row['device']}"),
    }


def per_device(energy):
    """Energy proxy by device, in the order of the targets, and name. Smaller siblings have the first one's netlists."""
    found = {}
    for device, target in TARGETS.items():
        for row in energy:
            if row.get("device") == device and is_ok(row) and (
                    device == DEVICE or target.family != TARGETS[DEVICE].family):
                found.setdefault(device, {})[name_of(row)] = row["energy_per_mac"]
    return found
