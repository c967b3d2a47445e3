# SPDX-License-Identifier: BSD-2-Clause
"""Put the linear layers of a model on a device, and take them back."""

from collections.abc import Callable

import numpy as np
from torch import nn

import mixpe
from mixpe.devices.device import Device
from mixpe.errors import DtypeError, MixpeError, ModelError
from mixpe.progress import Progress
from mixpe.quant.matrix import QuantizedMatrix
from mixpe.torch.layer import HELD, Held, OffloadedLayer, attach, detach, is_linear, named, pass_on
from mixpe.torch.readers import CALLS_WHERE_HOOKED, readers


def layers_of(model, only=None, wanted=is_linear):
    """The layers of a kind that `only` picks: dict of layer → its names, the first of which is its own."""
    layers = {}
    for name, child in model.named_modules(remove_duplicate=False):
        if wanted(child) and (only is None or only(name)):
            layers.setdefault(child, []).append(name)
    return layers


def _check(model, layers, only):
    """Refuse what would not work, before anything is changed."""
    if model in layers:
        raise ModelError(f"the model is a {type(model).__name__} itself; put it into a module, such as nn.Sequential")
    if not layers:
        raise ModelError(f"{type(model).__name__} has no nn.Linear to offload" + (" that `only` picks" if only else ""))
    for layer, names in layers.items():
        if layer.weight.is_meta:
            raise ModelError(f"{names[0]} has no weights yet (it is on the meta device); load the model first")
        if "forward" in layer.__dict__:
            raise ModelError(f"{names[0]}: its forward was replaced (accelerate does that to place layers); "
                             "take its hooks away first, or leave it out with `only`")
    found = readers(model, set(layers))
    if found:
        layer, method = next(iter(found.items()))
        ends = tuple(sorted({layers[layer][0].rpartition(".")[2] for layer in found}))
        raise ModelError(f"{layers[layer][0]}: {method} computes with its weight without calling it, where the "
            f"device has no part; leave such layers to PyTorch with only=lambda name: not name.endswith({ends})")


def _hook(model):
    """Have modules with a fast path of their own call their layers."""
    for module in model.modules():
        if isinstance(module, CALLS_WHERE_HOOKED):
            for layer in module.modules():
                if isinstance(layer, OffloadedLayer) and pass_on not in layer._forward_pre_hooks.values():
                    layer.register_forward_pre_hook(pass_on)


def offload(model: nn.Module, device: Device, group_size: int | None = 128, *, activations: str = "a8",
        only: Callable[[str], bool] | None = None,
        quantiser: Callable[[str, np.ndarray], QuantizedMatrix] | None = None) -> nn.Module:
    """Quantise the linear layers of a model, load them into a device, and have them compute there.

    The layers are `nn.Linear` and GPT-2's `Conv1D`; sub-classes of these are left alone, such as the projection of
    `nn.MultiheadAttention`. A layer whose weight is changed later is quantised and loaded again at its next call.

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
        It has no linear layer (of those that `only` picks), one without weights, or one whose weight is computed with
        without calling it.
    MixpeError
        What quantisation and the device raise.
    """
    if not isinstance(model, nn.Module):
        raise DtypeError(f"offload takes a torch.nn.Module, not {type(model).__name__}")
    quantiser = quantiser or (lambda name, weight: mixpe.quantize(weight, group_size))
    layers    = layers_of(model, only)
    _check(model, layers, only)
    loaded = {}
    try:
        with Progress("offload", len(layers), "layers") as progress:
            for layer, (name, *_) in layers.items():
                loaded[layer] = Held(name, lambda weight, name=name:
                    device.load(quantiser(name, weight), activations=activations, name=name))
                try:
                    loaded[layer].update(layer)
                except MixpeError as error:
                    raise named(error, name) from error
                progress.advance(1)
    except BaseException:
        for held in loaded.values():
            held.free()
        raise
    for layer, held in loaded.items():
        attach(layer, held)
    _hook(model)
    return model


def release(model: nn.Module) -> nn.Module:
    """Have a model's layers compute in PyTorch again, and free their memory on the device; returns the model."""
    for layer in list(model.modules()):
        if isinstance(layer, OffloadedLayer) and HELD in layer.__dict__:
            detach(layer)
    return model
