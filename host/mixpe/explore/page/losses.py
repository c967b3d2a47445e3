# SPDX-License-Identifier: BSD-2-Clause
"""Where MixPE loses: only what the rows bear out, by whatever measure another design is ahead.

The sentences are ``losses.md``, by name; here is when each is said, and of what.
"""

from functools import cache
from importlib.resources import files

from mixpe.explore.arithmetic import ARITHMETIC
from mixpe.explore.cost import TARGETS
from mixpe.explore.grid import DEVICE
from mixpe.explore.page.tables import is_ok, number, table
from mixpe.explore.resources import BUDGET_LUTS, TABLE_CHANNELS, TABLE_WRITES
from mixpe.explore.workloads import WORKLOADS, seconds
from mixpe_gateware.pe import DESIGNS

W4A8     = tuple(reversed(DESIGNS))
A16      = ("aligned-a16", "mixpe-a16")
MEASURES = (  # column, what it is, digits, whether more is better
    ("luts_per_mac",         "LUT/MAC",                1, False),
    ("placed_per_mac",       "placed LUT/MAC",         1, False),
    ("sites_per_mac",        "sites/MAC",              1, False),
    ("mmacs_per_s_per_lut",  "million MAC/s per LUT",  2, True),
    ("mmacs_per_s_per_site", "million MAC/s per site", 2, True),
)
FIDELITY = (  # likewise, of an arithmetic
    ("sqnr_db",       "SQNR of the layers' outputs, in dB", 2, True),
    ("bits_per_byte", "bits per byte",                      4, False),
)
AHEAD    = [(header, lambda line, index=index: line[index])
            for index, header in enumerate(("device", "measure", "best MixPE", "ahead of it"))]
HIGH_MHZ = 400  # fmax above which the model of Gowin's fabric is doubted


@cache
def _sentences():
    text = files(__package__).joinpath("losses.md").read_text(encoding="utf-8")
    parts = (part.partition("\n") for part in text.removeprefix("## ").split("\n## "))
    return {name: " ".join(sentence.split()) for name, _, sentence in parts}


def say(name, **facts):
    """A sentence of ``losses.md``."""
    return _sentences()[name].format(**facts)


def loss_values(units, fidelity, energies, rows, fits):
    """Blocks on where MixPE is behind.

    Parameters
    ----------
    units : dict of str to dict
        For each device, units of the comparison by `name_of`, with what `resources.priced` adds.
    fidelity : list of dict
    energies : dict of str to dict of str to float
        Energy proxy by device and `name_of`.
    rows : list of dict
        All rows, for those of encoders.
    fits : dict of str to Fit
        What fills the budget, by `name_of`.

    Returns
    -------
    dict of str to str
    """
    here  = units.get(DEVICE, {})
    lines = [*_order(here), *_units(here), *_encoder(rows), *_in_budget(fits), *behind(energies), *_published(here),
             *_by_fidelity(fidelity), *_caveats(here, units)]
    worse = [line for device, by_name in units.items() for line in ahead(device, by_name)]
    return {"losses": "\n".join(f"- {line}" for line in lines), "ahead": table(AHEAD, worse) if worse else ""}


def better(found, ours, column, more):
    """The best of `ours` by a column, None if there is none, and all that are ahead of it, the best first: names."""
    known = {name: row[column] for name, row in found.items() if row.get(column) is not None}
    order = sorted(known, key=known.get, reverse=more)
    best  = next((name for name in order if name in ours), None)
    return best, [name for name in order if best and known[name] != known[best] and (known[name] > known[best]) == more]


def ahead(device, units):
    """(device, measure, best MixPE, who is better), for each measure where anybody is."""
    others = {name: row for name, row in units.items() if name not in A16}
    for column, label, digits, more in MEASURES:
        best, names = better(others, W4A8, column, more)
        if names:
            yield (device, label, *(", ".join(f"{name} {number(units[name][column], digits)}" for name in group)
                                    for group in ([best], names)))


def behind(energies):
    """By the energy proxy, for each device that `per_device` has."""
    for device, found in energies.items():
        rows = {name: {"energy": value} for name, value in found.items()}
        best, names = better(rows, W4A8, "energy", False)
        if names:
            yield say("energy", device=device, best=best, energy=found[best],
                      others=", ".join(f"{name} ({found[name]:.0f})" for name in names))


def _by_fidelity(fidelity):
    """Arithmetics of other designs that are ahead of MixPE's with groups of 128."""
    ours  = "W4A8 G128 (MixPE)"
    found = {row["arithmetic"]: row for row in fidelity if row["arithmetic"] == ours or row["arithmetic"] in ARITHMETIC
             and not set(ARITHMETIC[row["arithmetic"]].designs) & {*W4A8, *A16}}
    for column, label, digits, more in FIDELITY:
        _, names = better(found, (ours,), column, more)
        if names:
            yield say("fidelity", label=label, ours=f"{found[ours][column]:.{digits}f}",
                      others=", ".join(f"{name} ({found[name][column]:.{digits}f})" for name in names))


def _order(here):
    """What changes when flip-flops count as much as LUTs do."""
    dense, plane = here.get("dense"), here.get("bitplane")
    if dense and dense["flip_flops"] > (dense.get("placed_luts") or dense["luts"]):
        yield say("flip-flops", dense=dense, placed=number(dense["placed_luts"], 0))
    by_lut, by_site = (column for column, *_ in MEASURES[-2:])
    routed = {name: row for name, row in here.items() if row["fmax_mhz"] and name not in A16}
    if not dense or not routed:
        return
    first, second = (max(routed, key=lambda name, column=column: routed[name][column]) for column in (by_lut, by_site))
    if first != second:
        passes = {"dense", "bitplane"} <= set(routed) and plane[by_site] > dense[by_site] and (
            plane[by_lut] < dense[by_lut])
        yield say("order", first=first, first_rate=routed[first][by_lut], second=second,
                  second_rate=routed[second][by_site],
                  own=say("order of our own", plane=plane, dense=dense) if passes else "")


def _units(here):
    """Against INT8 and against tables."""
    dsp, planes, int8, tables, dense, published = (here.get(name) for name in (
        "int8 (DSP)", "bitplane-int8", "int8 (LUT)", "table", "dense", "shift-add"))
    if dsp and dense and dsp["luts_per_mac"] < dense["luts_per_mac"]:
        yield say("DSP blocks", dsp=dsp, dense=dense)
    if planes and dense:
        yield say("our means", planes=planes, times=planes["luts_per_mac"]/dense["luts_per_mac"], multipliers=say(
            "multipliers", times=int8["luts_per_mac"]/dense["luts_per_mac"]) if int8 else "")
    if tables and dense and published and tables["luts_per_mac"] < dense["luts_per_mac"]:
        yield say("tables", tables=tables, dense=dense, published=published)
    if tables and dense and published and tables["luts_per_mac"] < published["luts_per_mac"]:
        cycles = TABLE_CHANNELS + TABLE_WRITES
        yield say("cost of tables", tables=tables, writes=TABLE_WRITES, channels=TABLE_CHANNELS, cycles=cycles,
                  share=100*TABLE_CHANNELS/cycles)


def _encoder(rows):
    for row in rows:
        if (row["design"], row.get("part"), row.get("p_lanes"), row["device"]) == ("dense", "encoder", 32, DEVICE) and (
                is_ok(row)):
            yield say("encoder", luts=row["luts"], share=row["luts"]/256, alone=row["luts"]/32)


def _in_budget(fits):
    gops = {name: 2*fitted.rate/1e9 for name, fitted in fits.items() if name not in A16}
    ours = [name for name in W4A8 if name in gops]
    best = max(ours, key=gops.get, default=None)
    more = sorted((name for name in gops if best and gops[name] > gops[best]), key=gops.get, reverse=True)
    if more:
        rest = [f"{name} {gops[name]:.0f}" for name in ours if name != best]
        yield say("budget", luts=BUDGET_LUTS, others=", ".join(f"{name} makes {gops[name]:.0f} GOPS" for name in more),
                  best=gops[best], ours=", ".join([best, *rest]))
    times = {name: max(seconds(fits[name], load, 1, "board")/seconds(fits[best], load, 1, "board")
                       for load in WORKLOADS) for name in gops if best and name not in W4A8}
    fewer = sorted((name for name in times if times[name] < 0.9995), key=times.get)
    if fewer:
        yield say("decoding", others=", ".join(f"{name} takes {100*times[name]:.1f} %" for name in fewer))


def _published(here):
    published, dense = here.get("shift-add"), here.get("dense")
    if published and dense:
        yield say("published", published=published, dense=dense)
        if dense.get("placed_per_mac"):
            yield say("placed", dense=dense)


def _caveats(here, units):
    """The price of exact A16, and what the flow does not see, where it would change the order."""
    exact, aligned, dsp, luts = (here.get(name) for name in ("mixpe-a16", "aligned-a16", "int8 (DSP)", "int8 (LUT)"))
    if exact and aligned and aligned["luts_per_mac"] < exact["luts_per_mac"]:
        yield say("A16", exact=exact, aligned=aligned)
    if dsp and luts and dsp["flip_flops"] == luts["flip_flops"]:
        yield say("registers of DSP blocks", dsp=dsp)
    for device, by_name in units.items():
        fmax = max((row["fmax_mhz"] or 0 for row in by_name.values()), default=0)
        if fmax > HIGH_MHZ and TARGETS[device].family == "gowin":
            yield say("clocks of Gowin", asked=HIGH_MHZ, fmax=fmax, device=device)
