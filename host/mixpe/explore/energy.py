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
from mixpe.explore.points import LIMIT_S, columns_of, synthesis_of
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
    """What is simulated: the module in its harness, what goes in, what must come out, and a digest of all that."""

    point: object
    built: object
    verilog: str
    rows: list
    reuse: int
    content: str


def _plan(point, w, x, reuse):
    if point.part != "unit":
        raise ConfigError(f"the energy proxy is of units and arrays, not of {point.label}")
    built = point.build()
    rows  = [stimulus(built.params, w, np.roll(x, row, axis=0)) for row in range(point.rows)]
    verilog, _ = harness_verilog(built.module, built.inputs, built.outputs)
    layer   = hashlib.sha256(repr([(row.cycles, row.expected) for row in rows]).encode()).hexdigest()
    content = Cache.key(step="energy", layer=layer, reuse=reuse, code=_code(),
                        netlist=content_of(verilog, point.device, *synthesis_of(built.params)))
    return _Plan(point, built, verilog, rows, reuse, content)


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
        target = find_target(planned.point.device)
        use_dsp, multiplies = synthesis_of(planned.built.params)
        *_, netlist = smallest(planned.verilog, target, use_dsp, kept, limit_s, multiplies)
        found = _simulate(planned, Netlist(netlist, target.family, len(planned.rows[0].expected[0])))
        kept.put(planned.content, found)
    return found


def _input_words(built, rows):
    """Value of the harness' inputs in each cycle, a list of the streams: as long as it takes for all sums to come out.

    The activations of an array come `skew` cycles after their weights. Where tables are written there is no beat.
    """
    first   = rows[0]
    idle    = [0]*len(first.expected[0])
    part    = len(first.cycles)//first.positions
    drained = built.module.latency + 2
    weights = [cycle[0] for cycle in first.cycles] + [idle]*drained
    ends    = [(int(cycle[2]), int(cycle[3]), int(index % part >= first.writes))
               for index, cycle in enumerate(first.cycles)] + [(0, 0, 0)]*drained
    columns = [[idle]*built.skew + [cycle[1] for cycle in row.cycles] + [idle]*(drained - built.skew) for row in rows]
    bits    = len(built.activations[0])
    for weight, end, *activations in zip(weights, ends, *columns, strict=True):
        words = []
        for each, *values in zip(weight, *activations, strict=True):
            word = built.control_word(*end)
            for value in reversed(values):
                word = word << bits | value
            words.append(word << len(built.weights) | each)
        yield words


def _expected(point, planned, total_bits):
    """The reference's totals, which wrap where the point's sums are narrower than exact ones."""
    if point.accumulator_bits is None:
        return planned.expected
    mask = (1 << total_bits) - 1  # designs whose totals are no integers have no sums of chosen width
    return [[planned.decode(total & mask, total_bits) for total in totals] for totals in planned.expected]


def _simulate(planned, simulated):
    """Energy of a product, with its share of what writing tables takes."""
    point, built, rows = planned.point, planned.built, planned.rows
    first   = rows[0]
    streams = len(first.expected[0])
    wanted  = sum(len(signal) for signal in built.inputs)
    if len(simulated.inputs) != wanted:
        raise ConfigError(f"{point.label}: the netlist has {len(simulated.inputs)} inputs, not {wanted}")
    bits   = len(built.outputs[0])
    totals = [[] for _ in rows]
    part   = len(first.cycles)//first.positions
    parts  = [0.0, 0.0]  # products, writes
    for index, words in enumerate(_input_words(built, rows)):
        before = simulated.energy
        simulated.step(transpose(words, wanted))
        if index < len(first.cycles):
            parts[index % part < first.writes] += simulated.energy - before
        if simulated.outputs[-1] & 1:  # done, the same in all streams
            for row, found in enumerate(totals):
                own = simulated.outputs[row*bits:(row + 1)*bits]
                found.append([first.decode(word, bits) for word in transpose(own, streams)])
    for number, (row, found) in enumerate(zip(rows, totals, strict=True)):
        if found[-len(row.expected):] != _expected(point, row, bits):
            raise WrongResult(f"{point.label}: row {number} of the synthesised netlist disagrees with the reference")
    written = first.positions*built.params.lanes*planned.reuse
    return (parts[0]/first.products + parts[1]/written)/(streams*point.rows)
