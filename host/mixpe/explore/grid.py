# SPDX-License-Identifier: BSD-2-Clause
"""The points that are explored."""

from itertools import product as cartesian

from mixpe.explore.cost import TARGETS
from mixpe.explore.points import Point
from mixpe_gateware.baselines import DESIGNS
from mixpe_gateware.contract.errors import ConfigError
from mixpe_gateware.pe import DESIGNS as OURS

DEVICE = "LFE5U-85F-6"
SEEDS  = (1, 2, 3)
LANES  = {  # of the comparison's units; 8 where nothing is said, fewer where a lane is large
    "olaccel": 16, "int8": 4, "qserve": 4, "ant": 4, "olive": 4, "bitfusion": 2, "mixpe-a16": 2, "fp16-dequant": 1}
SIBLINGS    = (*OURS, "table", "int8", "bitplane-int8")
ARRAY_LANES = 32  # a memory port of 128 bits
ENCODED     = ("dense", "table")  # designs whose activations are written by an encoder


def parameters_for(design, lanes, device, **parameters):
    """Parameters of a design at a number of lanes, with the device's primitives where the design can use them."""
    family = TARGETS[device].family
    if family in DESIGNS[design].targets:
        parameters["target"] = family
    return {"lanes": lanes, **parameters}


def unit(design, lanes, device=DEVICE, seeds=SEEDS, shape=None, **parameters):
    """A point; `shape` are fields of `Point` besides, such as rows."""
    return Point(design=design, parameters=parameters_for(design, lanes, device, **parameters), device=device,
                 seeds=seeds, **shape or {})


def quick():
    """Small units of every design, one seed each: minutes."""
    return [
        unit("shift-add", 4, seeds=(1,)), unit("bitplane", 4, seeds=(1,)), unit("dense", 4, seeds=(1,)),
        unit("table", 4, seeds=(1,)), unit("int8", 4, seeds=(1,)), unit("int8", 4, seeds=(1,), dsp=True),
        unit("bitplane-int8", 4, seeds=(1,)), unit("qserve", 2, seeds=(1,)), unit("bitfusion", 2, seeds=(1,)),
        unit("olaccel", 16, seeds=(1,)), unit("ant", 2, seeds=(1,)), unit("olive", 2, seeds=(1,)),
        unit("aligned-a16", 4, seeds=(1,)), unit("mixpe-a16", 1, seeds=(1,)), unit("fp16-dequant", 1, seeds=(1,)),
    ]


def comparison(device=DEVICE, seeds=SEEDS):
    """Every design as a unit of `LANES` lanes; INT8 in LUTs and in DSP blocks."""
    points = [unit(design, LANES.get(design, 8), device, seeds) for design in DESIGNS]
    return points + [unit("int8", LANES["int8"], device, seeds, dsp=True)]


def shapes(seeds=SEEDS):
    """Lanes, rows, group sizes, and widths of sums and of aligned activations, on the first device."""
    def at(design, lanes, shape=None, **parameters):
        return unit(design, lanes, DEVICE, seeds, shape, **parameters)

    dense = ("bitplane", "dense")
    wide  = (*OURS, "table", "bitplane-int8")
    points  = [at(design, lanes) for design in wide for lanes in (4, 32)]
    points += [at(design, 8, {"rows": 4}) for design in (*wide, "int8")]
    points += [at(design, 8, {"group_size": size}) for design in dense for size in (32, 64, 256)]
    points += [at(design, 8, {"accumulator_bits": bits}) for design in dense for bits in (14, 16, 32)]
    points += [at("aligned-a16", 8, width=width) for width in (8, 10, 14, 16)]
    points += [unit(design, lanes, DEVICE, seeds, {"part": "encoder"}) for design in ENCODED
               for lanes in (8, ARRAY_LANES)]
    return points


def arrays():
    """Whole arrays of `ARRAY_LANES` lanes a row. INT8 in LUTs at 8 rows needs router2, half an hour for three seeds."""
    def array(design, rows, seeds, router=None, **parameters):
        return unit(design, ARRAY_LANES, seeds=seeds, shape={"rows": rows, "router": router}, **parameters)
    return [array("dense", 8, SEEDS), array("dense", 8, SEEDS, "router2"),
            array("int8", 8, SEEDS, "router2"), array("int8", 2, SEEDS), array("int8", 8, SEEDS, dsp=True),
            array("int8", 4, SEEDS, dsp=True), array("bitplane-int8", 4, SEEDS)]


def devices(seeds=SEEDS):
    """The comparison on devices of other families; on the first device's smaller siblings those for W4A8 and INT8."""
    points = [point for device, target in TARGETS.items() if device != DEVICE
              for point in comparison(device, seeds if target.place_and_route else ())]
    return [point for point in points if TARGETS[point.device].family != TARGETS[DEVICE].family
            or point.design in SIBLINGS]


def full():
    """The comparison, the shapes, the other devices, whole arrays."""
    return [*comparison(), *shapes(), *devices(), *arrays()]


def product(designs=None, devices=None, *, lanes=None, rows=None, group_sizes=None, accumulator_bits=None, widths=None,
            options=None, router=None, seeds=SEEDS):
    """Every combination of what is given; what is not given is as in the comparison.

    Parameters
    ----------
    designs, devices : list of str, optional
        All designs; the first device.
    lanes, rows, group_sizes, accumulator_bits, widths : list of int, optional
        `widths` are of aligned activations, and multiply the points of ``aligned-a16`` only.
    options : dict, optional
        Parameters that all designs get.
    router : str, optional
        See `Point`.
    seeds : tuple of int

    Returns
    -------
    list of Point
        Combinations that a design does not have are points too: they become rows with a named error.

    Raises
    ------
    ConfigError
        Unknown design or device.
    """
    for design in designs or ():
        if design not in DESIGNS:
            raise ConfigError(f"unknown design {design!r}; known: {', '.join(DESIGNS)}")
    for device in devices or ():
        if device not in TARGETS:
            raise ConfigError(f"unknown target {device!r}; known: {', '.join(TARGETS)}")
    points = []
    for device, design in cartesian(devices or [DEVICE], designs or DESIGNS):
        aligned = [{"width": width} for width in widths or ()] if design == "aligned-a16" else []
        for lane, row, size, bits, option in cartesian(
                lanes or [LANES.get(design, 8)], rows or [1], group_sizes or [128], accumulator_bits or [None],
                aligned or [{}]):
            shape = {"rows": row, "group_size": size, "accumulator_bits": bits, "router": router}
            points.append(unit(design, lane, device, seeds if TARGETS[device].place_and_route else (), shape,
                               **option, **options or {}))
    return points


GRIDS = {"quick": quick, "comparison": comparison, "shapes": shapes, "devices": devices, "arrays": arrays,
         "full": full}
