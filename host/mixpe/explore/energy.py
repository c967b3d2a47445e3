# SPDX-License-Identifier: BSD-2-Clause
"""The energy proxy of a point on given weights and activations, its results checked against the reference."""

import hashlib
import sys
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from inspect import getsource
from pkgutil import iter_modules

import numpy as np

from mixpe.explore import activity
from mixpe.explore.activity import Netlist, transpose
from mixpe.explore.cost.cache import Cache
from mixpe.explore.cost.flow import content_of, smallest
from mixpe.explore.cost.harness import harness_verilog
from mixpe.explore.cost.targets import find_target
from mixpe.explore.points import LIMIT_S, columns_of
from mixpe.explore.stimulus import stimulus
from mixpe.tools import tool_version
from mixpe_gateware.contract.errors import ConfigError, MixpeError


class WrongResult(MixpeError):
    """The synthesised netlist computed something else than the design's reference."""


def energy_row(point, w, x, cache_folder=None, reuse=1, limit_s=LIMIT_S, known=None):
    """`energy_per_mac` as a row: an error of the point is in it, not raised, so that an exploration goes on.

    Parameters
    ----------
    point, w, x, cache_folder, reuse, limit_s
        See there; `w` and `x` are (streams, k).
    known : dict of str to dict, optional
        Earlier rows by their ``content``, which are not made again.

    Returns
    -------
    dict
        The point's columns, ``streams``, ``tools``, ``status``, and ``energy_per_mac`` or ``error``. ``content`` is the
        digest of what it depends on: netlist, layer, and the code that simulates.
    """
    row = columns_of(point) | {"streams": len(w)}
    try:
        row |= {"tools": {"yosys": tool_version("yosys")}}
        groups  = len(w), -1, point.group_size
        planned = _plan(point, w.reshape(groups), x.reshape(groups), reuse)
        found   = (known or {}).get(planned.content) or {"energy_per_mac": _measure(planned, cache_folder, limit_s)}
    except (MixpeError, ValueError) as error:  # a group size that does not divide the layer
        return row | {"status": type(error).__name__, "error": str(error)}
    return row | {"status": "ok", "energy_per_mac": found["energy_per_mac"], "content": planned.content}


def energy_per_mac(point, w, x, cache_folder=None, reuse=1, limit_s=LIMIT_S):
    """Weighted toggles for one product of weight and activation.

    Parameters
    ----------
    point : Point
        A unit or an array, on any device. Rows of an array work on different activations.
    w, x : (streams, groups, G) float
        Weights and activations of a layer, see `stimulus`; G is the point's group size.
    cache_folder : str, optional
    reuse : int
        Weight vectors that stream past before tables are written anew, as many as the layer has channels; for designs
        without tables it means nothing.
    limit_s : float
        For a run of synthesis.

    Returns
    -------
    float

    Raises
    ------
    WrongResult
        A group's total differs from the reference.
    NotSimulated
        Its netlist has cells that are not simulated.
    ConfigError
        The point is an encoder.
    ShapeError, ToolError
    """
    return _measure(_plan(point, w, x, reuse), cache_folder, limit_s)


@dataclass(frozen=True)
class _Plan:
    """What is simulated: the unit in its harness, what goes in, what must come out, and a digest of all that."""

    point: object
    params: object
    ports: object
    verilog: str
    rows: list
    reuse: int
    content: str


def _plan(point, w, x, reuse):
    if point.part != "unit":
        raise ConfigError(f"the energy proxy is of units and arrays, not of {point.label}")
    params, unit, inputs, outputs = point.build()
    rows = [stimulus(params, w, np.roll(x, row, axis=0)) for row in range(point.rows)]
    verilog, _ = harness_verilog(unit, inputs, outputs)
    layer   = hashlib.sha256(repr([(row.cycles, row.expected) for row in rows]).encode()).hexdigest()
    content = Cache.key(step="energy", layer=layer, reuse=reuse, code=_code(),
                        netlist=content_of(verilog, point.device, getattr(params, "dsp", False), params.multiplies))
    ports   = Ports(len(inputs[0]), len(inputs[1]), len(outputs[0]), unit.latency)
    return _Plan(point, params, ports, verilog, rows, reuse, content)


@cache
def _code():
    """Digest of the code that simulates: a figure of another one is not this one's."""
    modules = [import_module(f"mixpe.explore.activity.{found.name}") for found in iter_modules(activity.__path__)]
    texts   = [getsource(module) for module in modules] + [getsource(sys.modules[__name__])]
    return hashlib.sha256("".join(texts).encode()).hexdigest()


def _measure(planned, cache_folder, limit_s):
    kept  = Cache(cache_folder)
    found = kept.get(planned.content)
    if found is None:
        target, params = find_target(planned.point.device), planned.params
        *_, netlist = smallest(planned.verilog, target, getattr(params, "dsp", False), kept, limit_s,
                               params.multiplies)
        simulated = Netlist(netlist, target.family, len(planned.rows[0].expected[0]))
        found = _simulate(planned.point, planned.rows, simulated, planned.ports, params.lanes*planned.reuse)
        kept.put(planned.content, found)
    return found


@dataclass(frozen=True)
class Ports:
    """Widths of a unit's ports, and its latency."""

    weight_bits: int
    activation_bits: int
    total_bits: int
    latency_cycles: int

    def word(self, weights, activations, first, last):
        """The harness' inputs of one stream: weights, activations of all rows, first, last."""
        word = first | last << 1
        for activation in reversed(activations):
            word = word << self.activation_bits | activation
        return word << self.weight_bits | weights


def _expected(point, planned, total_bits):
    """The reference's totals, which wrap where the point's sums are narrower than exact ones."""
    if point.accumulator_bits is None:
        return planned.expected
    mask = (1 << total_bits) - 1  # designs whose totals are no integers have no sums of chosen width
    return [[planned.decode(total & mask, total_bits) for total in totals] for totals in planned.expected]


def _simulate(point, rows, simulated, ports, table_products):
    """Energy of a product. `rows` have the same weights and cycles."""
    planned = rows[0]
    streams = len(planned.expected[0])
    wanted  = ports.weight_bits + point.rows*ports.activation_bits + 2
    if len(simulated.inputs) != wanted:
        raise ConfigError(f"{point.label}: the netlist has {len(simulated.inputs)} inputs, not {wanted}")
    totals = [[] for _ in rows]

    def step(weights, activations, first, last):
        simulated.step(transpose([ports.word(weight, each, first, last)
                                  for weight, each in zip(weights, zip(*activations, strict=True), strict=True)],
                                 wanted))
        bits = simulated.outputs
        if bits[-1] & 1:  # done, the same in all streams
            for row, found in enumerate(totals):
                own = bits[row*ports.total_bits:(row + 1)*ports.total_bits]
                found.append([planned.decode(word, ports.total_bits) for word in transpose(own, streams)])

    part  = len(planned.cycles)//planned.positions
    parts = [0.0, 0.0]  # products, writes
    for index, (weights, _, first, last) in enumerate(planned.cycles):
        before = simulated.energy
        step(weights, [row.cycles[index][1] for row in rows], first, last)
        parts[index % part < planned.writes] += simulated.energy - before
    for _ in range(ports.latency_cycles + 2):
        step([0]*streams, [[0]*streams]*len(rows), 0, 0)
    for number, (row, found) in enumerate(zip(rows, totals, strict=True)):
        if found[-len(row.expected):] != _expected(point, row, ports.total_bits):
            raise WrongResult(f"{point.label}: row {number} of the synthesised netlist disagrees with the reference")
    return (parts[0]/planned.products + parts[1]/(planned.positions*table_products))/(streams*point.rows)
