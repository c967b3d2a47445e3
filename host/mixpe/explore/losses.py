# SPDX-License-Identifier: BSD-2-Clause
"""Where MixPE loses: only what the rows bear out, by whatever measure another design is ahead."""

from mixpe.explore.arithmetic import ARITHMETIC
from mixpe.explore.cost import TARGETS
from mixpe.explore.energy_section import behind
from mixpe.explore.grid import DEVICE
from mixpe.explore.resources import BUDGET_LUTS, TABLE_CHANNELS, TABLE_WRITES
from mixpe.explore.verdict import number, table
from mixpe.explore.workloads import WORKLOADS, seconds

W4A8     = ("dense", "bitplane", "shift-add")
A16      = ("aligned-a16", "mixpe-a16")
MEASURES = (  # column, what it is, digits, whether more is better
    ("luts_per_mac",         "LUT/MAC",                1, False),
    ("placed_per_mac",       "placed LUT/MAC",         1, False),
    ("sites_per_mac",        "sites/MAC",              1, False),
    ("mmacs_per_s_per_lut",  "million MAC/s per LUT",  2, True),
    ("mmacs_per_s_per_site", "million MAC/s per site", 2, True),
)
HIGH_MHZ = 400  # fmax above which the model of Gowin's fabric is doubted

AHEAD = """\
By each measure and on each device, MixPE's best W4A8 unit and everything that is ahead of it. DSP blocks and block RAMs
are in none of these measures."""


def losses(units, fidelity, energies, rows, fits):
    """Lines of Markdown on where MixPE is behind.

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
    """
    here  = units.get(DEVICE, {})
    lines = [*_flips(here), *_against_int8(here), *_against_tables(here), *_encoder(rows), *_in_budget(fits),
             *behind(energies, W4A8), *_published(here), *_by_fidelity(fidelity), *_a16(here), *_caveats(units)]
    worse  = [line for device, by_name in units.items() for line in ahead(device, by_name)]
    text   = [f"- {line}" for line in lines]
    if worse:
        text += ["", AHEAD, "", table(("device", "measure", "best MixPE", "ahead of it"), worse)]
    return text


def ahead(device, by_name):
    """(device, measure, best MixPE, who is better), for each measure where anybody is."""
    for column, label, digits, more in MEASURES:
        known = {name: row[column] for name, row in by_name.items() if row.get(column) is not None}
        order = sorted(known, key=known.get, reverse=more)
        best  = next((name for name in order if name in W4A8), None)
        if best:
            better = [name for name in order if known[name] != known[best] and (known[name] > known[best]) == more
                      and name not in A16]
            if better:
                yield (device, label, f"{best} {number(known[best], digits)}",
                       ", ".join(f"{name} {number(known[name], digits)}" for name in better))


def _flips(here):
    """What changes when flip-flops count as much as LUTs do."""
    dense, plane = here.get("dense"), here.get("bitplane")
    if dense and dense["flip_flops"] > (dense.get("placed_luts") or dense["luts"]):
        yield (f"The dense unit has {dense['flip_flops']:.0f} flip-flops beside {dense['luts']:.0f} LUTs "
               f"({number(dense['placed_luts'], 0)} as placed). A slice has as many of one as of the other, so in a "
               "full device flip-flops run out first.")
    routed = {name: row for name, row in here.items() if row["fmax_mhz"] and name not in A16}
    columns = ("mmacs_per_s_per_lut", "mmacs_per_s_per_site") if routed else ()
    first   = [max(routed, key=lambda name, column=column: routed[name][column]) for column in columns]
    if dense and first and first[0] != first[1]:
        rates = [f"{name} with {routed[name][column]:.2f}" for name, column in zip(first, columns, strict=True)]
        text  = (f"The order changes with what is counted: {rates[0]} million MAC/s per LUT is first, {rates[1]} "
                 "per site")
        if plane and plane["fmax_mhz"] and dense["fmax_mhz"] and (
                plane["mmacs_per_s_per_site"] > dense["mmacs_per_s_per_site"]
                and plane["mmacs_per_s_per_lut"] < dense["mmacs_per_s_per_lut"]):
            text += (f"; among MixPE's own, bit planes without stored sums ({plane['mmacs_per_s_per_site']:.2f}) pass "
                     f"the dense unit ({dense['mmacs_per_s_per_site']:.2f})")
        yield text + "."


def _against_int8(here):
    dsp, planes, dense, int8 = (here.get(name) for name in ("int8 (DSP)", "bitplane-int8", "dense",
                                                            "int8 (LUT)"))
    if dsp and dense and dsp["luts_per_mac"] < dense["luts_per_mac"]:
        yield (f"INT8 in DSP blocks takes {dsp['luts_per_mac']:.0f} LUTs a MAC beside its DSP block, the dense unit "
               f"{dense['luts_per_mac']:.0f}: while DSP blocks are left, they are the cheaper multipliers.")
    if planes and dense:
        text = (f"Much of the distance to INT8 is not the weights' width. INT8 built as MixPE is, from bit planes with "
                f"folded gates, takes {planes['luts_per_mac']:.0f} LUTs a MAC: the dense unit is "
                f"{planes['luts_per_mac']/dense['luts_per_mac']:.1f} times smaller than that")
        yield text + (f", and {int8['luts_per_mac']/dense['luts_per_mac']:.1f} times smaller than a multiplier in LUTs."
                      if int8 else ".")


def _against_tables(here):
    tables, dense, published = (here.get(name) for name in ("table", "dense", "shift-add"))
    if not (tables and dense and published):
        return
    if tables["luts_per_mac"] < dense["luts_per_mac"]:
        yield (f"Table lookup takes {tables['luts_per_mac']:.0f} LUTs a MAC, the dense unit "
               f"{dense['luts_per_mac']:.0f}, MixPE as published {published['luts_per_mac']:.0f}.")
    if tables["luts_per_mac"] < published["luts_per_mac"]:
        lanes = tables["p_lanes"]
        yield (f"What that does not show: tables hold the {lanes} activations of one step and take {TABLE_WRITES} "
               "cycles to write, so channels pass in blocks and their partial sums wait. With "
               f"{TABLE_CHANNELS} channels a block that is a block RAM a unit, and {TABLE_CHANNELS} of "
               f"{TABLE_CHANNELS + TABLE_WRITES} cycles make products "
               f"({100*TABLE_CHANNELS/(TABLE_CHANNELS + TABLE_WRITES):.0f} %). The budget above counts both; MAC/s per "
               "LUT and per site count neither.")


def _encoder(rows):
    encoders = {row["design"]: row for row in rows if row.get("part") == "encoder" and row["status"] == "ok"
                and row.get("p_lanes") == 32 and row["device"] == DEVICE}
    if encoders.get("dense"):
        luts = encoders["dense"]["luts"]
        yield (f"The dense unit needs its activations as pair sums, {luts:.0f} LUTs for 32 lanes: {luts/256:.1f} LUTs "
               f"a MAC more in an array of 8 rows, {luts/32:.0f} if there is one row only.")


def _in_budget(fits):
    ours = [name for name in W4A8 if name in fits]
    if not ours:
        return
    best = max(ours, key=lambda name: fits[name].rate)
    more = sorted((name for name in fits if name not in (*W4A8, *A16) and fits[name].rate > fits[best].rate),
                  key=lambda name: -fits[name].rate)
    if more:
        yield (f"In {BUDGET_LUTS:,} LUT sites "
               + ", ".join(f"{name} makes {2*fits[name].rate/1e9:.0f} GOPS" for name in more)
               + f", the best of MixPE's {2*fits[best].rate/1e9:.0f} ({best}"
               + "".join(f", {name} {2*fits[name].rate/1e9:.0f}" for name in ours if name != best) + ").")
    times = {name: max(seconds(fits[name], workload, 1, "board")/seconds(fits[best], workload, 1, "board")
                       for workload in WORKLOADS) for name in fits if name not in (*W4A8, *A16)}
    fewer = sorted((name for name in times if times[name] < 0.9995), key=times.get)
    if fewer:
        yield ("Decoding from the board's memory is a matter of bits a weight, and a scale and a zero for each group "
               "are more of them than a scale for each channel. Of MixPE's time "
               + ", ".join(f"{name} takes {100*times[name]:.1f} %" for name in fewer) + ".")


def _published(here):
    published, dense = here.get("shift-add"), here.get("dense")
    if published and dense:
        yield (f"As published MixPE costs {published['luts_per_mac']:.0f} LUTs a MAC. What brings that to "
               f"{dense['luts_per_mac']:.0f} is stored sums and the fabric's carry cells, not shift-and-add as such.")
        if dense.get("placed_per_mac"):
            yield (f"As placed, with the LUTs through which carry chains are entered and left, the dense unit of "
                   f"{dense['p_lanes']} lanes takes {dense['placed_per_mac']:.1f} LUTs a MAC.")


def _by_fidelity(fidelity):
    """Arithmetics of other designs that are ahead of MixPE's with groups of 128."""
    found = {row["arithmetic"]: row for row in fidelity}
    ours  = found.get("W4A8 G128 (MixPE)")
    if ours is None:
        return
    others = [row for name, row in found.items() if name in ARITHMETIC
              and not set(ARITHMETIC[name].designs) & {*W4A8, *A16}]
    for column, label, digits, more in (("sqnr_db", "SQNR of the layers' outputs, in dB", 2, True),
                                        ("bits_per_byte", "bits per byte", 4, False)):
        better = sorted((row for row in others if row[column] != ours[column]
                         and (row[column] > ours[column]) == more), key=lambda row: row[column], reverse=more)
        if better:
            yield (f"By {label}, MixPE at W4A8 G128 ({ours[column]:.{digits}f}) is behind "
                   + ", ".join(f"{row['arithmetic']} ({row[column]:.{digits}f})" for row in better) + ".")


def _a16(here):
    exact, aligned = here.get("mixpe-a16"), here.get("aligned-a16")
    if exact and aligned and aligned["luts_per_mac"] < exact["luts_per_mac"]:
        yield (f"MixPE-A16 with every FP16 case exact costs {exact['luts_per_mac']:.0f} LUTs a MAC; with groups "
               f"aligned first the array costs {aligned['luts_per_mac']:.0f}.")


def _caveats(units):
    """What the flow does not see, where it would change the order."""
    dsp, luts = (units.get(DEVICE, {}).get(name) for name in ("int8 (DSP)", "int8 (LUT)"))
    if dsp and luts and dsp["flip_flops"] == luts["flip_flops"]:
        yield (f"The open flow puts no registers into DSP blocks and so does not time them: the DSP unit has the "
               f"{dsp['flip_flops']:.0f} flip-flops of the one in LUTs, and its clock is that of a product between two "
               "registers of slices. A flow that uses the block's own registers would show INT8 in DSP blocks with "
               "fewer flip-flops and a faster clock.")
    for device, by_name in units.items():
        fast = [row["fmax_mhz"] for row in by_name.values() if row["fmax_mhz"] and row["fmax_mhz"] > HIGH_MHZ]
        if fast and device in TARGETS and TARGETS[device].family == "gowin":
            yield (f"Clocks of {HIGH_MHZ} … {max(fast):.0f} MHz on {device} are what nextpnr's model of it says. They "
                   "look high; rely on the order there rather than on the rates.")
