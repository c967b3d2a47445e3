# SPDX-License-Identifier: BSD-2-Clause
"""What every processing element of this library promises.

One frozen parameters object per design holds the choices, computes the exact result in numpy (`reference`) and builds
the hardware (`create`): one source for the model, the gateware and the tables. Integer designs are dot products of
`lanes` weights with `lanes` activations a cycle; `create_group` puts a group accumulator behind them, so that all
designs are compared doing the same work.
"""

from dataclasses import asdict, dataclass, fields
from typing import ClassVar

import numpy as np

from mixpe_gateware.contract.errors import ConfigError, DtypeError, RangeError, ShapeError
from mixpe_gateware.pe.accumulator import GroupAccumulator

TARGETS = ("portable", "ecp5")
LANES   = (1, 2, 4, 8, 16, 32, 64)


def check_operand(name, array, bits, signed, lanes):
    """`array` as int64, after checking that it is integer, in range, and (…, lanes) in shape.

    Raises
    ------
    DtypeError, ShapeError, RangeError
    """
    array = np.asarray(array)
    if array.dtype.kind not in "iu":
        raise DtypeError(f"{name} must be integers, not {array.dtype}")
    if array.ndim < 1 or array.shape[-1] != lanes:
        raise ShapeError(f"{name} must have {lanes} elements on the last axis, its shape is {array.shape}")
    low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)
    if array.size and (array.min() < low or array.max() > high):
        raise RangeError(f"{name} must be in {low}..{high}, it spans {array.min()}..{array.max()}")
    return array.astype(np.int64)


@dataclass(frozen=True, kw_only=True)
class DotProduct:
    """Parameters of a W4A8 dot product of `lanes` lanes; base of the integer designs.

    Parameters
    ----------
    lanes : int
        Weights and activations that meet in one cycle: a power of two up to 64.
    target : str
        ``"portable"`` (plain Migen) or a family whose primitives the design can use (`targets`).

    Interface of the module that `create` returns
    ---------------------------------------------
    weights : Signal(weights_bits), in
        Lane i at bits weight_bits·i and up.
    activations : Signal(activation_bits), in
        What `encode` gives; for most designs simply lane i's byte at bits 8·i and up.
    product : Signal((product_bits, True)), out
        The dot product of the inputs of `latency` cycles ago. New inputs every cycle, no back-pressure.
    latency : int
        Cycles from inputs to `product`.
    """

    lanes: int = 8
    target: str = "portable"

    name: ClassVar[str] = ""
    summary: ClassVar[str] = ""
    targets: ClassVar[tuple] = ("portable",)
    weight_format: ClassVar[str] = "UINT4"
    activation_format: ClassVar[str] = "INT8"
    weight_bits: ClassVar[int] = 4
    weights_signed: ClassVar[bool] = False
    lane_activation_bits: ClassVar[int] = 8
    cycles_per_input: ClassVar[int] = 1
    multiplies: ClassVar[bool] = False  # it has multipliers, for which synthesis has more than one structure
    lanes_min: ClassVar[int] = 1

    def __post_init__(self):
        if self.lanes not in LANES or self.lanes < self.lanes_min:
            raise ConfigError(f"{self.name}: lanes must be a power of two from {self.lanes_min} to 64, "
                              f"not {self.lanes!r}")
        if self.target not in self.targets:
            raise ConfigError(f"{self.name}: target must be one of {self.targets}, not {self.target!r}")

    @property
    def macs_per_cycle(self):
        """Weight × activation products that one unit finishes in a cycle."""
        return self.lanes/self.cycles_per_input

    @property
    def weights_bits(self):
        """Width of the `weights` port."""
        return self.weight_bits*self.lanes

    @property
    def activation_bits(self):
        """Width of the `activations` port."""
        return self.lane_activation_bits*self.lanes

    @property
    def lane_product_bits(self):
        """Width of one lane's exact product, signed."""
        return self.weight_bits + self.lane_activation_bits

    @property
    def product_bits(self):
        """Width of the exact dot product, signed."""
        return self.lane_product_bits + (self.lanes - 1).bit_length()

    @property
    def latency(self):
        raise NotImplementedError

    def to_dict(self):
        """Name and parameters, for tables and cache keys."""
        return {"design": self.name, **asdict(self)}

    @classmethod
    def options(cls):
        """Names of the parameters of this design."""
        return tuple(field.name for field in fields(cls))

    def reference(self, q, x):
        """The exact dot product.

        Parameters
        ----------
        q : (…, lanes) integer array
            Weights, 0 … 15 (or what `weight_format` says).
        x : (…, lanes) integer array
            Activations, −128 … 127.

        Returns
        -------
        (…) int64

        Raises
        ------
        DtypeError, ShapeError, RangeError
        """
        q = check_operand("weights", q, self.weight_bits, self.weights_signed, self.lanes)
        x = check_operand("activations", x, self.lane_activation_bits, True, self.lanes)
        return (q*x).sum(axis=-1)

    def encode_weights(self, q):
        """The `weights` port's value (Python integer) for weights (lanes,)."""
        q = check_operand("weights", q, self.weight_bits, self.weights_signed, self.lanes)
        mask = (1 << self.weight_bits) - 1
        return sum((int(value) & mask) << self.weight_bits*lane for lane, value in enumerate(q))

    def encode(self, x):
        """The `activations` port's value (Python integer) for activations (lanes,)."""
        x = check_operand("activations", x, self.lane_activation_bits, True, self.lanes)
        mask = (1 << self.lane_activation_bits) - 1
        return sum((int(value) & mask) << self.lane_activation_bits*lane for lane, value in enumerate(x))

    def create(self):
        """The module. Needs Migen.

        Designs with a `create_shared` take what it returns as an optional argument.
        """
        raise NotImplementedError

    def create_shared(self):
        """A module with what the units of several rows share, or None. Its `weights` are those of the units."""
        return None

    def create_encoder(self):
        """A module that makes activation words where activations are written, or None if they are stored as they are.

        It has `activations` (in), `word` (out) and `latency`.
        """
        return None

    def create_group(self, group_size=128, accumulator_bits=None):
        """The module with a group accumulator behind it (`GroupAccumulator`): the unit that designs are compared as.

        Parameters
        ----------
        group_size : int
            Products of the longest group.
        accumulator_bits : int, optional
            Width of the sum, which wraps below the exact width; exact if not given.

        Raises
        ------
        ConfigError
            When `group_size` is not a multiple of `lanes`, or the width is below 2 or above 64.
        """
        if group_size < 1 or group_size % self.lanes:
            raise ConfigError(f"group_size must be a multiple of lanes={self.lanes}, not {group_size!r}")
        if accumulator_bits is not None and not 2 <= accumulator_bits <= 64:
            raise ConfigError(f"accumulator_bits must be in 2..64, not {accumulator_bits!r}")
        return GroupAccumulator(self.create(), group_size//self.lanes, self.target, accumulator_bits)
