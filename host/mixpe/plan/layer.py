# SPDX-License-Identifier: BSD-2-Clause
"""What a layer is on a device, from its shape and the device's configuration alone."""

from dataclasses import dataclass
from functools import lru_cache, partial

from mixpe.plan.call import plan_call
from mixpe.plan.cut import cut_k, slab_block_bytes
from mixpe.plan.kinds import KINDS
from mixpe_gateware.contract.config import CHANNELS_PER_BLOCK
from mixpe_gateware.contract.errors import ConfigError
from mixpe_gateware.contract.scaling import Form, groups_along

CALLS_KEPT = 32  # plans of one layer: decode asks for one, prefill for some lengths of prompts


@dataclass(frozen=True, kw_only=True)
class LayerShape:
    """A quantised matrix without its numbers.

    Parameters
    ----------
    n, k : int
        Output channels and reduction length, k without padding.
    span : int
        Weights of one group, padding included.
    planes : int
        1, or 2 for 8-bit weights.
    form : Form
        What stands beside its scales.
    """

    n: int
    k: int
    span: int
    planes: int = 1
    form: Form = Form.ZERO

    @classmethod
    def of(cls, matrix):
        """The shape of an Int4Matrix or Int8Matrix."""
        return cls(n=matrix.n, k=matrix.k, span=matrix.span, planes=matrix.planes, form=matrix.form)

    @property
    def groups(self):
        """Groups along k."""
        return groups_along(self.k, self.span, self.form)


class LayerPlan:
    """A layer cut along k, and its calls cut along rows and channels. Never changes.

    Parameters
    ----------
    shape : LayerShape
    config : Config
    wide, shift : bool
        A token is two rows; groups have alignment shifts. See `plan.kinds`.
    fused : bool, optional
        Dequantise on the device (True), on the host (False), or on the device where it can (left out).

    Attributes
    ----------
    n, k, span, planes, groups, form
        Those of the shape.
    k_padded : int
        k in whole groups.
    fused : bool
        As decided.
    slabs : tuple of Slab
    block_bytes, stream_bytes : tuple of int
        Of each slab's weight stream: eight channels, and all of them.

    Raises
    ------
    ConfigError
        `fused` is asked for and this device cannot, or it has not the layer's form.
    """

    def __init__(self, shape, config, *, wide=False, shift=False, fused=None):
        self.config = config
        self.wide   = wide
        self.shift  = shift
        self.n, self.k, self.span, self.planes, self.groups = shape.n, shape.k, shape.span, shape.planes, shape.groups
        self.form     = shape.form
        self.k_padded = self.groups*self.span
        if self.form and not config.minima:
            raise ConfigError(f"this device is built without minima and cannot take a layer with {self.form.text}; "
                "build it with minima=True, or convert the weights to an integer zero a group")
        self.slabs    = tuple(cut_k(self.k_padded, self.span, self.planes, config))
        able = config.fused and len(self.slabs) == 1 and not (wide and config.rows % 2)
        if fused and not able:
            kind = next((name for name, kind in KINDS.items() if (kind.wide, kind.shift) == (wide, shift)), "these")
            raise ConfigError(f"this device cannot dequantise k={self.k} with {kind} itself "
                f"(fused {config.fused}, rows {config.rows}, k_max {config.k_max}); leave fused out")
        self.fused  = able if fused is None else bool(fused)
        self.block_bytes  = tuple(slab_block_bytes(slab, self.planes, config, self.form) for slab in self.slabs)
        self.stream_bytes = tuple(-(-self.n//CHANNELS_PER_BLOCK)*size for size in self.block_bytes)
        self._plan_call   = lru_cache(CALLS_KEPT)(partial(plan_call, self))

    def call(self, tokens, *, out_bytes_max, room_bytes, raw=False):
        """The plan of one call; asked for again, it is there already.

        Parameters
        ----------
        tokens : int
        out_bytes_max : int
            Size of the largest result buffer.
        room_bytes : int
            Largest free piece of the device's memory.
        raw : bool
            Results are the partial sums of int8 activations, one row a token, and not the dequantised layer.

        Returns
        -------
        CallPlan

        Raises
        ------
        ConfigError
            `out_bytes_max` is too small for eight channels.
        """
        plan = self._plan_call(tokens, raw, out_bytes_max, None)
        return plan if plan.room_bytes <= room_bytes else self._plan_call(tokens, raw, out_bytes_max, room_bytes)
