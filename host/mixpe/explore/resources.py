# SPDX-License-Identifier: BSD-2-Clause
"""What a unit takes of a device besides LUTs, and how many units fit in a part of the device.

A slice has LUTs and flip-flops. The *sites* of a unit are the LUT sites that are gone for others: the LUTs that the
placer uses or, where they are more, its flip-flops, each counted as the LUT site beside it. DSP blocks and block RAMs
are not in it: they limit how many units fit.
"""

from dataclasses import dataclass

from mixpe.explore.cost import TARGETS
from mixpe.explore.storage import olaccel_chunks

BUDGET_LUTS = 60_000  # LUT sites of the 83 640 of LFE5U-85F: the rest is the SoC

# Tables hold one vector of activations, and writing them takes 16 cycles. Many channels pass between two writes, and
# their partial sums wait meanwhile: 512 of up to 36 bits are one block RAM of ECP5.
TABLE_CHANNELS, TABLE_WRITES = 512, 16
WAITING_RAMS = {"table": 1}
SHARES = {  # of the cycles that make products
    "table":   TABLE_CHANNELS/(TABLE_CHANNELS + TABLE_WRITES),
    "olaccel": 1/olaccel_chunks(),
}


@dataclass(frozen=True)
class Fit:
    """Units of a design that fill a budget.

    Attributes
    ----------
    row : dict
        The unit, of `points.evaluate`.
    units : int
    limit : str
        What runs out first.
    """

    row: dict
    units: int
    limit: str

    @property
    def share(self):
        """Of the cycles that make products: the others write tables or carry a chunk's further outliers."""
        return SHARES.get(self.row["design"], 1.0)

    @property
    def macs_per_cycle(self):
        return self.units*self.row["macs_per_cycle"]

    @property
    def rate(self):
        """Products a second."""
        return self.share*self.macs_per_cycle*self.row["fmax_mhz"]*1e6


def block_rams(row):
    """Block RAMs of a unit, with those that partial sums wait in."""
    return (row.get("block_rams") or 0) + WAITING_RAMS.get(row["design"], 0)


def sites(row):
    """LUT sites that a unit takes."""
    target = TARGETS[row["device"]]
    return max(row.get("placed_luts") or row["luts"], row["flip_flops"]*target.lut_total/target.flip_flop_total)


def priced(row):
    """A row with its costs by sites and by placed LUTs; as it is if it has no cost."""
    if "luts" not in row or row["device"] not in TARGETS:
        return row
    taken, macs, fmax = sites(row), row["macs_per_cycle"], row["fmax_mhz"]
    return row | {"sites_per_mac": taken/macs, "mmacs_per_s_per_site": macs*fmax/taken if fmax else None,
                  "placed_per_mac": row["placed_luts"]/macs if row.get("placed_luts") else None}


def fit(row, budget_luts=BUDGET_LUTS):
    """As many units as a budget holds.

    The budget is LUT sites with the flip-flops beside them and the same share of the block RAMs, whose rest is for
    weights and activations. All DSP blocks are for the units.
    """
    target = TARGETS[row["device"]]
    part   = budget_luts/target.lut_total
    needs  = {  # what: (there is, a unit takes)
        "LUTs":        (budget_luts, row["luts"]),
        "placed LUTs": (budget_luts, row.get("placed_luts") or 0),
        "flip-flops":  (part*target.flip_flop_total, row["flip_flops"]),
        "DSP blocks":  (target.dsp_total, row["dsps"]),
        "block RAMs":  (part*target.block_ram_total, block_rams(row)),
    }
    units = {name: int(there//taken) for name, (there, taken) in needs.items() if taken}
    limit = min(units, key=units.get)
    return Fit(row, units[limit], limit)


def best_fits(rows, names, budget_luts=BUDGET_LUTS):
    """The fit of most products a second for each name; `names` gives a row's."""
    found = {}
    for row in rows:
        here, name = fit(row, budget_luts), names(row)
        if name not in found or here.rate > found[name].rate:
            found[name] = here
    return found
