# SPDX-License-Identifier: BSD-2-Clause
"""The energy proxy of a point on given weights and activations, its results checked against the reference."""

import numpy as np

from mixpe.gateware.cost.activity import Netlist, transpose
from mixpe.gateware.cost.cache import Cache
from mixpe.gateware.cost.flow import synthesise
from mixpe.gateware.cost.harness import harness_verilog
from mixpe.gateware.cost.targets import find_target
from mixpe.gateware.spec.errors import MixpeError, ShapeError

DESIGNS = ("mixpe-a8", "bitplane-a8", "mixpe-a8-dense", "int8")  # those that take weights and INT8 activations alone


class WrongResult(MixpeError):
    """The synthesised netlist computed something else than the design's reference."""


def energy_per_mac(point, q, x, cache_folder=None):
    """Weighted toggles for one product of weight and activation.

    Parameters
    ----------
    point : Point
        rows 1, an ECP5 device, a design whose `reference` takes weights and activations alone.
    q, x : (streams, groups, G, …) arrays
        Weights and activations as the design takes them, reduction on the last axis, G the point's group size.
    cache_folder : str, optional

    Returns
    -------
    float

    Raises
    ------
    WrongResult
        A group's total differs from the reference.
    ConfigError, ShapeError, ToolError
    """
    params, unit, inputs, outputs = point.build()
    streams, groups, size = q.shape
    if x.shape != q.shape or size != point.group_size:
        raise ShapeError(f"weights and activations must be (streams, groups, {point.group_size}), "
                         f"not {q.shape} and {x.shape}")
    target = find_target(point.device)
    verilog, _ = harness_verilog(unit, inputs, outputs)
    _, netlist = synthesise(verilog, target, getattr(params, "dsp", False), Cache(cache_folder))
    simulated = Netlist(netlist, streams)
    beats = size//params.lanes
    shape = (streams, groups, beats, params.lanes)
    q, x = q.reshape(shape), x.reshape(shape)
    expected = params.reference(q, x)
    expected = (expected[0] if isinstance(expected, tuple) else expected).sum(axis=-1)
    totals = []

    def step(words):
        simulated.step(transpose(words, len(simulated.inputs)))
        bits = simulated.outputs
        if bits[-1] & 1:  # done, the same in all streams
            totals.append([_signed([bit >> stream & 1 for bit in bits[:-1]]) for stream in range(streams)])

    width = len(inputs[0]), len(inputs[1])
    for group in range(groups):
        for beat in range(beats):
            control = (beat == 0) | (beat == beats - 1) << 1
            step([params.encode_weights(q[stream, group, beat])
                  | (params.encode(x[stream, group, beat]) | control << width[1]) << width[0]
                  for stream in range(streams)])
    energy = simulated.energy
    for _ in range(unit.latency + 2):
        step([0]*streams)
    if not np.array_equal(np.array(totals[-groups:], dtype=object).T, expected):
        raise WrongResult(f"{point.label}: the synthesised netlist disagrees with the reference")
    return energy/(streams*groups*size)


def _signed(bits):
    value = sum(bit << place for place, bit in enumerate(bits))
    return value - (1 << len(bits)) if bits[-1] else value
