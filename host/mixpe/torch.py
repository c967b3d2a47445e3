# SPDX-License-Identifier: BSD-2-Clause
"""Run the linear layers of a PyTorch model on a device.

    model = transformers.LlamaForCausalLM.from_pretrained(…)
    mixpe.torch.offload(model, mixpe.open("sim"), group_size=128)
    model.generate(…)
    mixpe.torch.release(model)

PyTorch is imported here only. Layers compute in inference alone: a backward pass through one is refused.
"""

import torch
from torch import nn

import mixpe
from mixpe.errors import DtypeError, MixpeError, ModelError, ShapeError
from mixpe.progress import Progress


class _Forward(torch.autograd.Function):
    """The layer's result without a gradient; asking for one says so instead of stopping it silently."""

    @staticmethod
    def forward(_context, x, linear):
        rows = x.detach().to("cpu", torch.float32).reshape(-1, x.shape[-1]).contiguous().numpy()
        y = torch.from_numpy(linear(rows)).reshape(*x.shape[:-1], linear.shape[0])
        return y.to(x.device, x.dtype)

    @staticmethod
    def backward(_context, _gradient):
        raise ModelError("a layer on a mixpe device has no gradient; run the model under torch.no_grad(), "
                         "or put its own layers back with mixpe.torch.release")


class OffloadedLinear(nn.Module):
    """A linear layer whose product is computed on a device, in place of an `nn.Linear`.

    The bias is added on the host. Inputs of any float type are taken as float32, results have the input's type.

    Parameters
    ----------
    original : nn.Linear
        Kept for `release`, outside the parameters of the model.
    linear : DeviceLinear
    """

    def __init__(self, original, linear):
        super().__init__()
        self.in_features, self.out_features = original.in_features, original.out_features
        self.linear = linear
        self.bias = original.bias
        self._original = (original,)  # in a tuple, so that it is no sub-module

    @property
    def original(self):
        return self._original[0]

    def forward(self, x):
        if x.shape[-1] != self.in_features:
            raise ShapeError(f"this layer takes {self.in_features} features, not {x.shape[-1]}")
        if not x.is_floating_point():
            raise DtypeError(f"this layer takes floating tensors, not {x.dtype}")
        if not x.numel():
            return x.new_zeros(*x.shape[:-1], self.out_features)
        y = _Forward.apply(x, self.linear)
        return y if self.bias is None else y + self.bias.to(y.dtype)

    def extra_repr(self):
        return f"{self.linear.matrix!r}, {self.linear.activations}, bias={self.bias is not None}"


def _children(model):
    """Every (parent, attribute, name, child) of a model, shared children at each of their places."""
    for name, child in list(model.named_modules(remove_duplicate=False)):
        if name:
            parent, _, attribute = name.rpartition(".")
            yield model.get_submodule(parent), attribute, name, child


def _places(model, only):
    """Where each `nn.Linear` sits: dict of layer → list of (parent, attribute, name). Sub-classes are left alone."""
    places = {}
    for parent, attribute, name, child in _children(model):
        if type(child) is nn.Linear and (only is None or only(name)):
            places.setdefault(child, []).append((parent, attribute, name))
    return places


def _weight(layer, name):
    if layer.weight.is_meta:
        raise ModelError(f"{name} has no weights yet (it is on the meta device); load the model first")
    return layer.weight.detach().to("cpu", torch.float32).numpy()


def _named(error, name):
    """The same error, with the name of its layer in front."""
    try:
        return type(error)(f"{name}: {error}")
    except TypeError:  # of a type that is made of more than a message
        return ModelError(f"{name}: {error}")


def offload(model, device, group_size=128, *, activations="a8", only=None, quantiser=None):
    """Quantise the linear layers of a model, load them into a device, and put device-backed ones in their place.

    Parameters
    ----------
    model : nn.Module
        Changed in place, when all layers are loaded; an error leaves it as it was.
    device : device from `mixpe.open`
        Stays the caller's to close.
    group_size : int or None
        Weights that share a scale; see `mixpe.quantize`.
    activations : "a8", "a8g" or "a16"
    only : callable, optional
        Takes a layer's name, such as ``model.layers.0.mlp.up_proj``; layers for which it is false stay in PyTorch.
    quantiser : callable, optional
        (name, weight (n, k) float32) → Int4Matrix or Int8Matrix. Default: round to nearest, 4 bits.

    Returns
    -------
    nn.Module
        The model.

    Raises
    ------
    DtypeError
        `model` is no `nn.Module`.
    ModelError
        It has no `nn.Linear` (of those that `only` picks), or one without weights.
    MixpeError
        What quantisation and the device raise.
    """
    if not isinstance(model, nn.Module):
        raise DtypeError(f"offload takes a torch.nn.Module, not {type(model).__name__}")
    quantiser = quantiser or (lambda name, weight: mixpe.quantize(weight, group_size))
    places = _places(model, only)
    if not places:
        raise ModelError(f"{type(model).__name__} has no nn.Linear to offload" + (" that `only` picks" if only else ""))
    loaded = {}
    try:
        with Progress("offload", len(places), "layers") as progress:
            for layer, found in places.items():
                name = found[0][2]
                try:
                    linear = device.load(quantiser(name, _weight(layer, name)), activations=activations)
                except MixpeError as error:
                    raise _named(error, name) from error
                loaded[layer] = OffloadedLinear(layer, linear)
                progress.advance(1)
    except BaseException:
        for module in loaded.values():
            module.linear.free()
        raise
    for layer, found in places.items():
        loaded[layer].train(layer.training)
        for parent, attribute, _ in found:
            setattr(parent, attribute, loaded[layer])
    return model


def release(model):
    """Put a model's own layers back and free their memory on the device; returns the model."""
    for parent, attribute, _, child in list(_children(model)):
        if isinstance(child, OffloadedLinear):
            setattr(parent, attribute, child.original)
            child.linear.free()
    return model
