# SPDX-License-Identifier: BSD-2-Clause
"""The energy proxy of a point on given weights and activations, its results checked against the reference."""

import hashlib

from mixpe.gateware.cost.activity import CLOCK_WEIGHT, WEIGHTS, Netlist, transpose
from mixpe.gateware.cost.cache import Cache
from mixpe.gateware.cost.flow import smallest
from mixpe.gateware.cost.harness import harness_verilog
from mixpe.gateware.cost.targets import find_target
from mixpe.gateware.explore.stimulus import stimulus
from mixpe.gateware.spec.errors import ConfigError, MixpeError


class WrongResult(MixpeError):
    """The synthesised netlist computed something else than the design's reference."""


def energy_per_mac(point, w, x, cache_folder=None, reuse=1):
    """Weighted toggles for one product of weight and activation.

    Parameters
    ----------
    point : Point
        A unit on an ECP5 device.
    w, x : (streams, groups, G) float
        Weights and activations of a layer, see `stimulus`; G is the point's group size.
    cache_folder : str, optional
    reuse : int
        Weight vectors that stream past before tables are written anew, as many as the layer has channels; for designs
        without tables it means nothing.

    Returns
    -------
    float

    Raises
    ------
    WrongResult
        A group's total differs from the reference.
    ConfigError
        The point is not a unit on ECP5, or its netlist has cells that are not simulated.
    ShapeError, ToolError
    """
    target = find_target(point.device)
    if target.family != "ecp5" or point.rows > 1 or point.part != "unit":
        raise ConfigError(f"the energy proxy is of units on ECP5, not of {point.label}")
    params, unit, inputs, outputs = point.build()
    planned = stimulus(params, w, x)
    verilog, _ = harness_verilog(unit, inputs, outputs)
    cache = Cache(cache_folder)
    *_, netlist = smallest(verilog, target, getattr(params, "dsp", False), cache, multiplies=params.multiplies)
    content = hashlib.sha256(repr((planned.cycles, planned.expected)).encode()).hexdigest()
    key = cache.key(step="energy", netlist=netlist, content=content, reuse=reuse, weights=WEIGHTS, clock=CLOCK_WEIGHT)
    found = cache.get(key)
    if found is None:
        found = _simulate(point, planned, netlist, (unit.latency, *map(len, (*inputs[:2], outputs[0]))),
                          params.lanes*reuse)
        cache.put(key, found)
    return found


def _expected(point, planned, total_bits):
    """The reference's totals, which wrap where the point's sums are narrower than exact ones."""
    if point.accumulator_bits is None:
        return planned.expected
    mask = (1 << total_bits) - 1  # designs whose totals are no integers have no sums of chosen width
    return [[planned.decode(total & mask, total_bits) for total in totals] for totals in planned.expected]


def _simulate(point, planned, netlist, sizes, table_products):
    """Energy of a product; `sizes` are the latency and the widths of weights, activations and total."""
    latency, weight_bits, activation_bits, total_bits = sizes
    streams = len(planned.expected[0])
    simulated = Netlist(netlist, streams)
    totals = []

    def step(weights, activations, first, last):
        control = first | last << 1
        simulated.step(transpose([weight | (activation | control << activation_bits) << weight_bits
                                  for weight, activation in zip(weights, activations, strict=True)],
                                 len(simulated.inputs)))
        bits = simulated.outputs
        if bits[-1] & 1:  # done, the same in all streams
            words = [sum((bit >> stream & 1) << place for place, bit in enumerate(bits[:total_bits]))
                     for stream in range(streams)]
            totals.append([planned.decode(word, total_bits) for word in words])

    part  = len(planned.cycles)//planned.positions
    parts = [0.0, 0.0]  # products, writes
    for index, cycle in enumerate(planned.cycles):
        before = simulated.energy
        step(*cycle)
        parts[index % part < planned.writes] += simulated.energy - before
    for _ in range(latency + 2):
        step([0]*streams, [0]*streams, 0, 0)
    if totals[-len(planned.expected):] != _expected(point, planned, total_bits):
        raise WrongResult(f"{point.label}: the synthesised netlist disagrees with the reference")
    return parts[0]/(planned.products*streams) + parts[1]/(planned.positions*streams*table_products)
