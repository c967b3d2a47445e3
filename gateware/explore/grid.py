# SPDX-License-Identifier: BSD-2-Clause
"""The points that are explored."""

from mixpe.gateware.cost import TARGETS
from mixpe.gateware.explore.points import Point
from mixpe.gateware.pe import DESIGNS

DEVICE = "LFE5U-85F-6"
LANES  = {  # of the comparison's units; 8 where nothing is said, fewer where a lane is large
    "olaccel": 16, "int8": 4, "qserve": 4, "ant": 4, "olive": 4, "bitfusion": 2, "mixpe-a16": 2, "fp16-dequant": 1}


def parameters_for(design, lanes, device, **parameters):
    """Parameters of a design at a number of lanes, with the device's primitives where the design can use them."""
    family = TARGETS[device].family
    if family in DESIGNS[design].targets:
        parameters["target"] = family
    return {"lanes": lanes, **parameters}


def unit(design, lanes, device=DEVICE, seeds=(1, 2, 3), **parameters):
    return Point(design=design, parameters=parameters_for(design, lanes, device, **parameters), device=device,
                 seeds=seeds)


def quick():
    """Small units of every design, one seed each: minutes."""
    return [
        unit("mixpe-a8", 4, seeds=(1,)), unit("bitplane-a8", 4, seeds=(1,)), unit("mixpe-a8-dense", 4, seeds=(1,)),
        unit("table", 4, seeds=(1,)), unit("int8", 4, seeds=(1,)), unit("int8", 4, seeds=(1,), dsp=True),
        unit("qserve", 2, seeds=(1,)), unit("bitfusion", 2, seeds=(1,)), unit("olaccel", 16, seeds=(1,)),
        unit("ant", 2, seeds=(1,)), unit("olive", 2, seeds=(1,)), unit("aligned-a16", 4, seeds=(1,)),
        unit("mixpe-a16", 1, seeds=(1,)), unit("fp16-dequant", 1, seeds=(1,)),
    ]


def comparison(device=DEVICE, seeds=(1, 2, 3)):
    """Every design as a unit of `LANES` lanes; INT8 in LUTs and in DSP blocks."""
    points = [unit(design, LANES.get(design, 8), device, seeds) for design in DESIGNS]
    return points + [unit("int8", LANES["int8"], device, seeds, dsp=True)]


def full():
    """The comparison, the shapes of the MixPE designs, the widths of aligned A16, other devices, whole arrays."""
    points = comparison()
    points += [unit(design, lanes) for design in ("mixpe-a8", "bitplane-a8", "mixpe-a8-dense", "table")
               for lanes in (4, 16, 32)]
    points += [unit("aligned-a16", 8, width=width) for width in (8, 10, 14, 16)]
    for device in ("GW2A-18", "iCE40UP5K"):
        points += [unit(design, LANES.get(design, 8), device)
                   for design in ("mixpe-a8", "bitplane-a8", "mixpe-a8-dense", "int8")]
    points += comparison("XC7", seeds=())
    points += [Point(design=design, parameters=parameters_for(design, 32, DEVICE), rows=8)
               for design in ("mixpe-a8-dense", "int8")]
    return points


GRIDS = {"quick": quick, "comparison": comparison, "full": full}
