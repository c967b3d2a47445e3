# SPDX-License-Identifier: BSD-2-Clause
"""A linear layer of PyTorch whose product is computed on a device.

`attach` changes a layer's class, so that it is the same object at all its places, with its parameters, ties and hooks;
`detach` changes it back.
"""

import copyreg
import sys
from functools import cache

import torch
from torch import nn

from mixpe.errors import DtypeError, MixpeError, ModelError, ShapeError

HELD = "_mixpe"  # the attribute of a layer that holds what it has on the device


def named(error, name):
    """The same error, with the name of its layer in front."""
    try:
        return type(error)(f"{name}: {error}")
    except TypeError:  # of a type that is made of more than a message
        return ModelError(f"{name}: {error}")


def conv1d():
    """The Conv1D of GPT-2, a linear layer with its weight transposed; None where transformers is not loaded."""
    return getattr(sys.modules.get("transformers.pytorch_utils"), "Conv1D", None)


def is_linear(module):
    """Whether a module is a linear layer itself; sub-classes may compute something else."""
    return type(module) in (nn.Linear, conv1d())


def rows_of(layer):
    """A layer's weight, one row an output: (n, k)."""
    weight = layer.weight.detach()
    return weight if isinstance(layer, nn.Linear) else weight.T


class Held:
    """What a layer has on a device: it is loaded again when the weight is another than the one that was loaded.

    Parameters
    ----------
    name : str
        Of the layer, for errors.
    load : callable
        Weight (n, k) float32 → DeviceLinear.
    """

    def __init__(self, name, load):
        self.name   = name
        self.load   = load
        self.linear = None
        self._of    = None

    def update(self, layer):
        """Load the layer's weight, unless it is there; returns the DeviceLinear."""
        weight = layer.weight
        of = weight, weight.data_ptr(), tuple(weight.shape), None if weight.is_inference() else weight._version
        if self._of is None or self._of[0] is not weight or self._of[1:] != of[1:]:
            if weight.is_meta:
                raise ModelError("has no weights yet (it is on the meta device); load the model first")
            self.free()
            self.linear = self.load(rows_of(layer).to("cpu", torch.float32).contiguous().numpy())
            self._of    = of
        return self.linear

    def free(self):
        """Give the device's memory back."""
        if self.linear is not None:
            self.linear.free()
        self.linear = self._of = None


class _Product(torch.autograd.Function):
    """The layer's product without a gradient; asking for one says so instead of stopping it silently."""

    @staticmethod
    def forward(_context, x, _weight, linear):
        rows = x.detach().to("cpu", torch.float32).reshape(-1, x.shape[-1]).contiguous().numpy()
        return torch.from_numpy(linear(rows)).reshape(*x.shape[:-1], linear.shape[0]).to(x.device)

    @staticmethod
    def backward(_context, _gradient):
        raise ModelError("a layer on a mixpe device has no gradient; run the model under torch.no_grad(), "
                         "or put its own layers back with mixpe.torch.release")


def _result_dtype(x):
    """Of a linear layer: autocast's where it is on, else the input's."""
    kind = x.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else x.dtype


class OffloadedLayer:
    """The part of an offloaded layer that is the same for every kind; mixed into its class.

    The bias is added on the host. Inputs of any float type are taken as float32; results have the input's type, or
    autocast's. `torch.compile` breaks its graph here.
    """

    plain: type | None = None  # the class that the layer had before

    @property
    def linear(self):
        """DeviceLinear: of the weight that the layer had at its last call."""
        return self.__dict__[HELD].linear

    @torch.compiler.disable
    def forward(self, x):
        """The layer's result: (…, k) → (…, n)."""
        held = self.__dict__[HELD]
        if torch.jit.is_tracing():
            raise ModelError(f"{held.name}: torch.jit.trace would keep this device's numbers as constants; "
                             "release the model first")
        if x.is_nested:
            return torch.nested.as_nested_tensor([self.forward(part) for part in x.unbind()], layout=x.layout)
        k = rows_of(self).shape[1]
        if x.shape[-1] != k:
            raise ShapeError(f"{held.name}: this layer takes {k} features, not {x.shape[-1]}")
        if not x.is_floating_point():
            raise DtypeError(f"{held.name}: this layer takes floating tensors, not {x.dtype}")
        try:
            linear = held.update(self)
            y = _Product.apply(x, self.weight, linear) if x.numel() else x.new_zeros(*x.shape[:-1], linear.shape[0])
        except MixpeError as error:
            raise named(error, held.name) from error
        y = y.to(_result_dtype(x))
        return y if self.bias is None else y + self.bias.to(y.dtype)

    def current(self):
        """The layer's DeviceLinear with the weight that it has now."""
        return self.__dict__[HELD].update(self)

    __repr__ = nn.Module.__repr__  # a sub-class may have one that leaves out `extra_repr`

    def extra_repr(self):
        return f"{self.linear!r}, bias={self.bias is not None}"

    def __reduce_ex__(self, _protocol):
        """Copies and pickles are plain layers."""
        state = {name: value for name, value in self.__dict__.items() if name != HELD}
        state["_forward_pre_hooks"] = type(self._forward_pre_hooks)(
            (key, hook) for key, hook in self._forward_pre_hooks.items() if hook is not pass_on)
        return copyreg._reconstructor, (self.plain, object, None), state


def pass_on(_layer, _inputs):
    """A hook that does nothing: nn.TransformerEncoderLayer then calls its layers instead of reading their weights."""


class OffloadedLinear(OffloadedLayer, nn.Linear):
    """An `nn.Linear` on a device."""

    plain = nn.Linear


@cache
def _offloaded_class(plain):
    if plain is nn.Linear:
        return OffloadedLinear
    return type(f"Offloaded{plain.__name__}", (OffloadedLayer, plain), {"__module__": __name__, "plain": plain})


def attach(layer, held):
    """Have a layer compute on the device."""
    layer.__dict__[HELD] = held
    layer.__class__ = _offloaded_class(type(layer))


def detach(layer):
    """Have a layer compute in PyTorch again, and free its memory on the device."""
    for key in [key for key, hook in layer._forward_pre_hooks.items() if hook is pass_on]:
        del layer._forward_pre_hooks[key]
    layer.__class__ = layer.plain
    layer.__dict__.pop(HELD).free()
