# SPDX-License-Identifier: BSD-2-Clause
"""The hardware of a point, ready for the harness: a unit, the SoC's array of a design, or an encoder.

A unit is a dot product with its group accumulator. An array is the SoC's own datapath (`gemm.array`) with any design
whose products it can add, so that all arrays do the same work in the same way.
"""

from dataclasses import dataclass

from migen import Module

from mixpe_gateware.contract.config import Config
from mixpe_gateware.contract.errors import ConfigError
from mixpe_gateware.gemm.array import ArrayDatapath
from mixpe_gateware.pe.interface import DotProduct
from mixpe_gateware.stream.fanout import levels


@dataclass(frozen=True, kw_only=True)
class Built:
    """A module with the ports that a harness drives and watches.

    Attributes
    ----------
    params : DotProduct
    module : Module
        With `latency`: cycles from a group's last weights to its sums, or from activations to an encoder's word.
    weights : Signal or None
    activations : list of Signal
        One a row.
    controls : list of Signal
        In the order of `control_word`.
    outputs : list of Signal
        Sums of the rows and `done`.
    skew : int
        Cycles by which activations come after the weights that they meet.
    """

    params: DotProduct
    module: Module
    weights: object
    activations: list
    controls: list
    outputs: list
    skew: int = 0

    @property
    def inputs(self):
        """Signals that the harness drives, in its order."""
        return [*([] if self.weights is None else [self.weights]), *self.activations, *self.controls]

    def control_word(self, first, last, valid):
        """Values of `controls`: the first and the last beat of a group, and whether there is a beat, in all rows."""
        word = first | last << 1
        return word if len(self.controls) == 2 else word | (valid and -1 << 2 & (1 << self._control_bits) - 1)

    @property
    def _control_bits(self):
        return sum(len(signal) for signal in self.controls)


def unit_of(params, group_size, accumulator_bits):
    """A design's dot product with its group accumulator; see `DotProduct.create_group`."""
    unit  = params.create_group(group_size, accumulator_bits)
    flags = [getattr(unit, name) for name in ("flags", "flag") if hasattr(unit, name)]  # a total without a meaning
    return Built(params=params, module=unit, weights=unit.weights, activations=[unit.activations],
                 controls=[unit.first, unit.last], outputs=[unit.total, *flags, unit.done])


def array_of(params, rows):
    """The SoC's array of a design, its sums as wide as the longest group needs.

    Raises
    ------
    ConfigError
        No SoC has such an array, or the design is no dot product whose products are added.
    """
    if type(params).create_group is not DotProduct.create_group:
        raise ConfigError(f"{params.name} has sums of its own and no array of rows")
    config = Config(rows=rows, port_bits=4*params.lanes, scalers=1)
    array  = ArrayDatapath(config, design=params)
    return Built(params=params, module=array, weights=array.weights, activations=array.activations,
                 controls=[array.first, array.last, array.valid, array.rows], outputs=[*array.sums, array.done],
                 skew=levels(config))


def encoder_of(params):
    """What writes the activations of a design.

    Raises
    ------
    ConfigError
        It takes them as they are.
    """
    encoder = params.create_encoder()
    if encoder is None:
        raise ConfigError(f"{params.name} takes activations as they are: nothing encodes them")
    controls = [encoder.start] if hasattr(encoder, "start") else []
    return Built(params=params, module=encoder, weights=None, activations=[encoder.activations], controls=controls,
                 outputs=[encoder.word])
